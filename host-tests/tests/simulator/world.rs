//! One Envoy: a host, workers with a data and a control listener, the envelope key. Everything is good as it comes.

use crate::common::key::Key;
use crate::common::pki::{Issued, bundle_json};
use crate::common::scene::{AUDIENCE, Scene};
use crate::common::{NOW, pki};
use p256::ecdsa::SigningKey;
use scbte_core::bundle::BundleSet;
use scbte_core::envelope::sign::{Signing, seal};
use scbte_core::envelope::{Payload, PolicyPayload};
use scbte_core::jwk::PublicKey;
use scbte_core::time::Timestamp;
use scbte_host_tests::simulator::{Exchange, Host, Module, Plugin, Request, Root, Vm, VmConfig, verify_signature};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What `trust.target` is.
pub(crate) const TARGET: &str = "production";

/// Admits every authenticated caller but one context, and says why not.
pub(crate) const POLICY: &str = r#"
package scbte

default allow := {"allow": false, "reason": "context not granted"}

allow := {"allow": true} if input.ctx == "read:users"
"#;

/// An Envoy with its clock at [`NOW`] and a working `verify_signature`.
pub(crate) fn host() -> Host {
    let host = Host::new();
    host.clock().set(Duration::from_secs(NOW));
    host.foreign().register("verify_signature", verify_signature);
    host
}

/// The key that signs envelopes.
pub(crate) fn envelope_key() -> Key {
    Key::p256(42)
}

/// A key pair's public half as JWK.
pub(crate) fn jwk(key: &Key) -> Value {
    serde_json::to_value(PublicKey::from_point(key.public()).unwrap()).unwrap()
}

/// A data listener's configuration.
pub(crate) fn data_config() -> Value {
    json!({
        "audiences": [AUDIENCE],
        "trust": {"target": TARGET, "envelope_keys": [jwk(&envelope_key())]},
        "policy": {"rego": POLICY},
        "bypass": [{"method": "GET", "path": "/healthz"}],
    })
}

/// A control listener's configuration.
pub(crate) fn control_config() -> Value {
    json!({"control": {"max_body": "64KiB"}, "trust": {"target": TARGET, "envelope_keys": [jwk(&envelope_key())]}})
}

/// An envelope before it is sealed.
pub(crate) struct Envelope {
    pub(crate) target: &'static str,
    pub(crate) signed_at: u64,
    /// Microseconds after the signing time.
    pub(crate) seq_offset: i64,
    pub(crate) dev: bool,
    pub(crate) key: SigningKey,
}

impl Envelope {
    /// A good one, signed now.
    pub(crate) fn at(signed_at: u64) -> Self {
        let key = envelope_key().signing().clone();
        Self { target: TARGET, signed_at, seq_offset: 0, dev: false, key }
    }

    /// Its `seq`.
    pub(crate) fn seq(&self) -> u64 {
        (self.signed_at * 1_000_000).strict_add_signed(self.seq_offset)
    }

    /// With these trust bundles.
    pub(crate) fn bundles(&self, trust_domains: Map<String, Value>) -> String {
        self.seal::<BundleSet>("trust_domains", Value::Object(trust_domains))
    }

    /// With this policy.
    pub(crate) fn policy(&self, rego: &str) -> String {
        self.policy_with(rego, json!({}))
    }

    /// With this policy and further members.
    pub(crate) fn policy_with(&self, rego: &str, more: Value) -> String {
        let mut policy =
            json!({"modules": {"policy.rego": rego}, "data": {}, "entrypoint": "data.scbte.allow", "rego_version": 1});
        policy.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.seal::<PolicyPayload>("policy", policy)
    }

    fn seal<P: Payload>(&self, member: &str, payload: Value) -> String {
        let now = Timestamp::from_secs(self.signed_at);
        let signing = Signing { target: self.target, now, seq: self.seq(), dev: self.dev, kid: None };
        seal::<P>(&signing, (member, payload), &self.key)
    }
}

/// The trust bundles of a good call: the authority of [`Scene::good`].
pub(crate) fn good_bundles() -> Map<String, Value> {
    bundles_of(&[&Scene::good().recipe.authority.self_signed()])
}

/// The trust bundles with these authorities.
pub(crate) fn bundles_of(authorities: &[&Issued]) -> Map<String, Value> {
    bundle_json(&[(pki::TRUST_DOMAIN, authorities)])
}

/// A worker with a data and a control listener.
pub(crate) struct Worker {
    pub(crate) vm: Vm,
    pub(crate) data: Root,
    pub(crate) control: Root,
}

impl Worker {
    /// A worker that has no trust bundle yet.
    pub(crate) fn start(host: &Host, data: &Value) -> Self {
        Self::start_with(&Module::built().unwrap(), host, data)
    }

    fn start_with(module: &Module, host: &Host, data: &Value) -> Self {
        let mut vm = Vm::start(host, module, &VmConfig::with_vm_id("scbte")).unwrap();
        let data = vm.configure(&Plugin::new("scbte-data", data.to_string())).unwrap();
        let control = Plugin::new("scbte-control", control_config().to_string()).allow_on_headers_stop_iteration();
        let control = vm.configure(&control).unwrap();
        Self { vm, data, control }
    }

    /// A worker with the good trust bundle.
    pub(crate) fn ready(data: &Value) -> Self {
        Self::ready_with(&Module::built().unwrap(), data)
    }

    /// The same with another module.
    pub(crate) fn ready_with(module: &Module, data: &Value) -> Self {
        let mut worker = Self::start_with(module, &host(), data);
        assert_eq!(worker.push(&Envelope::at(NOW).bundles(good_bundles())).0, 200);
        worker.vm.tick_all().unwrap();
        worker
    }

    /// A request on the data listener.
    pub(crate) fn call(&mut self, request: Request) -> Exchange {
        self.vm.request(self.data, request).unwrap()
    }

    /// A call as a scene has it.
    pub(crate) fn play(&mut self, scene: &Scene) -> Exchange {
        self.call(request_of(scene))
    }

    /// A request to the control API: status and JSON body.
    pub(crate) fn control(&mut self, request: Request) -> (u16, Value) {
        let exchange = self.vm.request(self.control, request).unwrap();
        let reply = exchange.local_reply();
        assert_eq!(reply.headers.text("content-type"), Some("application/json"));
        (exchange.status(), serde_json::from_slice(&reply.body).unwrap())
    }

    /// `PUT /v1/bundle`.
    pub(crate) fn push(&mut self, envelope: &str) -> (u16, Value) {
        self.control(Request::put("/v1/bundle").body(envelope))
    }

    /// `GET /v1/status`.
    pub(crate) fn status(&mut self) -> Value {
        self.control(Request::get("/v1/status")).1
    }

    /// A second passes.
    pub(crate) fn second(&mut self) {
        self.vm.host().clock().advance(Duration::from_secs(1));
        self.vm.tick_all().unwrap();
    }
}

/// The request of a scene.
pub(crate) fn request_of(scene: &Scene) -> Request {
    Request::new(scene.method, scene.path).header("authorization", format!("Bearer {}", scene.token()))
}

/// A denial's `error` and `detail`.
pub(crate) fn denial(exchange: &Exchange) -> (u16, String, Option<String>) {
    let body: Value = serde_json::from_slice(&exchange.local_reply().body).unwrap();
    let text = |member: &str| body.get(member).and_then(Value::as_str).map(str::to_owned);
    (exchange.status(), text("error").unwrap(), text("detail"))
}
