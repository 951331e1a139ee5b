//! A request on a data listener: headers in, verdict out. The steps are numbered as in the design.

use crate::header_map;
use crate::host;
use crate::service::{Judged, Request, Service};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel, MapType, Status};
use scbte_core::config::Mode;
use scbte_core::header_map::{entries, value};
use scbte_core::headers::{self, CONTEXT, DECISION_ID, SUBJECT, TOKEN_ID};
use scbte_core::reason::Reason;
use scbte_core::verdict::{Denial, Grant, Verdict};
use std::cell::RefCell;
use std::rc::Rc;

/// One HTTP stream.
pub(crate) struct DataStream {
    service: Rc<RefCell<Service>>,
    response_headers: Vec<(String, String)>,
}

impl DataStream {
    /// A stream of a service.
    pub(crate) fn new(service: Rc<RefCell<Service>>) -> Self {
        Self { service, response_headers: Vec::new() }
    }

    fn judge(&mut self) -> Action {
        let Ok(map) = header_map::fetch(MapType::HttpRequestHeaders) else {
            return failed("the host gives no headers");
        };
        // Every request has a method, so a host that gives nothing has not given them.
        let Some(headers) = entries(&map).filter(|headers| !headers.is_empty()) else {
            return failed("the host gives no headers that can be read");
        };
        #[cfg(feature = "test-hooks")]
        trap_if_asked(&headers);
        // 1. Nobody but this filter speaks in its name. Where that fails nothing passes, in shadow mode neither.
        if let Err(status) = remove_reserved(&headers) {
            return failed(&format!("a reserved header stays: {status:?}"));
        }
        let service = Rc::clone(&self.service);
        let Ok(mut service) = service.try_borrow_mut() else { return failed("another stream is being judged") };
        let Judged { verdict, id } = service.judge(&request(&headers));
        publish(&service, &verdict, id.as_deref());
        match (verdict, service.config.mode) {
            (Verdict::Allow(grant), _) => self.admit(&service, *grant),
            (Verdict::Deny(denial), Mode::Enforce) => {
                refuse(&denial, service.config.expose_detail, id.as_deref().unwrap_or_default())
            }
            (Verdict::Bypass, _) | (Verdict::Deny(_), Mode::Shadow) => Action::Continue,
        }
    }

    /// 8. The upstream learns who calls; the token ends here.
    fn admit(&mut self, service: &Service, grant: Grant) -> Action {
        match hand_over(service, &grant) {
            Ok(()) => {
                self.response_headers = grant.response_headers;
                Action::Continue
            }
            Err(status) => failed(&format!("a header was not set: {status:?}")),
        }
    }
}

impl Context for DataStream {}

impl HttpContext for DataStream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.judge()
    }

    /// Trailers come after the verdict, but before an upstream that merges them into the headers.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match remove_reserved_trailers() {
            Ok(()) => Action::Continue,
            // Held back for good: the upstream never sees the end of the request.
            Err(_) => Action::Pause,
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        for (name, value) in &self.response_headers {
            if let Err(status) = host::add_response_header(name, value) {
                host::log(LogLevel::Warn, &format!("response header `{name}` was not added: {status:?}"));
            }
        }
        Action::Continue
    }
}

fn remove_reserved(headers: &[(&str, &[u8])]) -> Result<(), Status> {
    let mut reserved = headers.iter().filter(|(name, _)| headers::is_reserved(name));
    reserved.try_for_each(|(name, _)| host::remove_request_header(name))
}

fn remove_reserved_trailers() -> Result<(), Status> {
    let map = header_map::fetch(MapType::HttpRequestTrailers)?;
    let trailers = entries(&map).ok_or(Status::InternalFailure)?;
    let mut reserved = trailers.iter().filter(|(name, _)| headers::is_reserved(name));
    reserved.try_for_each(|(name, _)| host::remove_request_trailer(name))
}

fn request<'a>(headers: &'a [(&'a str, &'a [u8])]) -> Request<'a> {
    let text = |wanted| std::str::from_utf8(value(headers, wanted)).unwrap_or_default();
    Request { method: text(":method"), target: value(headers, ":path"), host: text(":authority"), headers }
}

fn hand_over(service: &Service, grant: &Grant) -> Result<(), Status> {
    let claims = grant.caller.claims();
    if !service.config.forward_token {
        host::remove_request_header(service.config.token_header.name())?;
    }
    // Added, not set: whatever had such a name is gone since step 1, and looking again costs.
    host::add_request_header(SUBJECT, claims.sub.as_str())?;
    host::add_request_header(CONTEXT, claims.ctx.as_str())?;
    host::add_request_header(TOKEN_ID, &claims.jti)?;
    set_all(&grant.headers)
}

/// The policy's headers replace the client's; several of one name stay several.
fn set_all(headers: &[(String, String)]) -> Result<(), Status> {
    headers.iter().try_for_each(|(name, _)| host::remove_request_header(name))?;
    headers.iter().try_for_each(|(name, value)| host::add_request_header(name, value))
}

fn refuse(denial: &Denial, expose_detail: bool, id: &str) -> Action {
    let challenge = denial.challenge(expose_detail);
    let mut headers = vec![("content-type", "application/json"), (DECISION_ID, id)];
    headers.extend(challenge.as_deref().map(|challenge| ("www-authenticate", challenge)));
    headers.extend(denial.response_headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    host::respond(denial.status, &headers, &denial.body(expose_detail, id));
    Action::Pause
}

/// The host does not do its part, or the SDK calls two streams at a time: if it is so all the same, nothing passes.
fn failed(why: &str) -> Action {
    host::log(LogLevel::Error, &format!("refused: {why}"));
    refuse(&Denial::new(Reason::PolicyEngineError), false, "none")
}

/// What access logs and later filters can read. Each value costs about half a microsecond.
fn publish(service: &Service, verdict: &Verdict, id: Option<&str>) {
    let outcome = service.outcome(verdict);
    host::publish("scbte_verdict", outcome.verdict());
    if matches!(verdict, Verdict::Deny(_)) {
        host::publish("scbte_reason", outcome.reason());
    }
    if let Some(id) = id {
        host::publish("scbte_decision_id", id);
    }
    if let Some(caller) = verdict.caller() {
        host::publish("scbte_subject", caller.claims().sub.as_str());
    }
}

#[cfg(feature = "test-hooks")]
#[expect(clippy::panic, reason = "this build exists to trap")]
fn trap_if_asked(headers: &[(&str, &[u8])]) {
    if headers.iter().any(|(name, _)| *name == "x-test-trap") {
        panic!("asked to trap");
    }
}
