//! The control API: signed envelopes in, the status out. It answers on a listener of its own and nowhere else.
//!
//! Nothing here is trusted for where it came from: an envelope counts by its signature only.

use crate::header_map;
use crate::host;
use crate::policy::{self, Admission};
use crate::service::BUNDLES;
use crate::status;
use crate::store::{Refused, Store};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};
use scbte_core::bundle::BundleSet;
use scbte_core::config::ControlConfig;
use scbte_core::envelope::{Order, PolicyPayload};
use scbte_core::header_map::{entries, value};
use scbte_core::policy::Limits;
use scbte_core::signature::SignatureVerifier;
use scbte_core::time::Timestamp;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

/// What a control listener knows.
pub(crate) struct ControlPlane {
    config: ControlConfig,
    signatures: &'static dyn SignatureVerifier,
    bundles: Store<BundleSet>,
    policies: Store<PolicyPayload>,
    admission: Admission,
}

/// An answer: status and JSON body.
type Answer = (u16, Value);

impl ControlPlane {
    /// A control plane with what shared data has.
    pub(crate) fn new(config: ControlConfig, signatures: &'static dyn SignatureVerifier, now: Timestamp) -> Self {
        let mut plane = Self {
            bundles: Store::new(BUNDLES, config.trust.clone(), signatures),
            policies: Store::new(policy::KIND, config.policy_trust.clone(), signatures),
            // The data roots have limits of their own on data: what fits into a body may fit there.
            admission: Admission::new(Limits { max_data_bytes: config.max_body, ..Limits::default() }),
            config,
            signatures,
        };
        plane.look(now);
        plane
    }

    /// Looks for what other listeners or VMs took.
    pub(crate) fn look(&mut self, now: Timestamp) {
        self.bundles.look(now);
        if self.policies.look(now) {
            self.admission.forget();
        }
    }

    fn status(&mut self, now: Timestamp) -> Answer {
        self.look(now);
        let error = self.admission.error();
        let (target, verifier) = (self.config.trust.target.as_str(), self.signatures.name());
        (200, status::status(&self.bundles, &self.policies, error, target, verifier, now))
    }

    fn put(&mut self, resource: Resource, envelope: &[u8], now: Timestamp) -> Answer {
        let taken = match resource {
            Resource::Bundle => self.bundles.offer(envelope, now),
            Resource::Policy => self.put_policy(envelope, now),
        };
        match taken {
            Ok((seq, revision)) => (200, json!({"seq": seq, "revision": revision})),
            Err(refused) => error(refused.status(), refused.code(), &refused),
        }
    }

    /// A policy must be admitted before it replaces one that runs. That takes time on a thread that serves traffic, so
    /// only what is new is compiled.
    fn put_policy(&mut self, text: &[u8], now: Timestamp) -> Result<(u64, String), Refused> {
        let envelope = self.policies.open(text, now)?;
        self.look(now);
        let known = self.policies.current().is_some_and(|current| current.revision() == envelope.revision());
        if !known && self.policies.order(&envelope, text, now) == Order::Newer {
            self.admission.check(&envelope)?;
        }
        let taken = self.policies.take(envelope, text, now)?;
        self.admission.forget();
        Ok(taken)
    }
}

fn error(status: u16, code: &str, detail: &impl ToString) -> Answer {
    (status, json!({"error": code, "detail": detail.to_string()}))
}

/// What can be put.
#[derive(Clone, Copy)]
enum Resource {
    Bundle,
    Policy,
}

/// One request to the control API.
pub(crate) struct ControlStream {
    plane: Rc<RefCell<ControlPlane>>,
    awaits: Option<Resource>,
}

impl ControlStream {
    /// A stream of a control plane.
    pub(crate) fn new(plane: Rc<RefCell<ControlPlane>>) -> Self {
        Self { plane, awaits: None }
    }

    fn answer(&mut self, answer: impl FnOnce(&mut ControlPlane) -> Answer) -> Action {
        self.awaits = None;
        let (status, body) = match self.plane.try_borrow_mut() {
            Ok(mut plane) => answer(&mut plane),
            Err(_) => error(503, "busy", &"try again"),
        };
        host::respond(
            status,
            &[("content-type", "application/json"), ("cache-control", "no-store")],
            &body.to_string(),
        );
        Action::Pause
    }

    fn take(&mut self, resource: Resource, size: usize) -> Action {
        let body = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size).ok().flatten().unwrap_or_default();
        self.answer(|plane| match body.is_empty() {
            true => empty_body(),
            false => plane.put(resource, &body, host::now()),
        })
    }
}

impl Context for ControlStream {}

impl HttpContext for ControlStream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let map = header_map::fetch(MapType::HttpRequestHeaders);
        let Some(headers) = map.as_ref().ok().and_then(|map| entries(map)) else {
            return self.answer(|_| error(503, "busy", &"the headers cannot be read"));
        };
        let resource = match (value(&headers, ":method"), value(&headers, ":path")) {
            (b"GET", b"/v1/status") => return self.answer(|plane| plane.status(host::now())),
            (b"PUT", b"/v1/bundle") => Resource::Bundle,
            (b"PUT", b"/v1/policy") => Resource::Policy,
            _ => return self.answer(|_| error(404, "not_found", &"GET /v1/status, PUT /v1/bundle, PUT /v1/policy")),
        };
        if end_of_stream {
            return self.answer(|_| empty_body());
        }
        self.awaits = Some(resource);
        Action::Pause
    }

    /// `size` is what has arrived so far, since the body is held back until it is complete.
    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(resource) = self.awaits else { return Action::Pause };
        let limit = self.plane.try_borrow().map_or(0, |plane| plane.config.max_body);
        match (size > limit, end_of_stream) {
            (true, _) => self.answer(|_| error(413, "too_large", &format!("at most {limit} bytes"))),
            (false, true) => self.take(resource, size),
            (false, false) => Action::Pause,
        }
    }
}

fn empty_body() -> Answer {
    error(400, "malformed_envelope", &"the body is empty")
}
