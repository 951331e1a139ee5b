//! The root context: reads the configuration, ticks, and makes a stream for each request.
//!
//! `on_configure` runs in a base VM, on the main thread and on each worker, so it has no side effects but its own
//! state; statics survive a configuration update, so there are none.

use crate::control::{ControlPlane, ControlStream};
use crate::data::DataStream;
use crate::host;
use crate::host_verifier;
use crate::pull::{Fetched, Need, Puller};
use crate::roots::{self, RootReport};
use crate::service::Service;
use crate::store::Refused;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel};
use scbte_core::cache::CacheSecret;
use scbte_core::config::{Config, ConfigError, DataConfig};
use scbte_core::policy::AdmissionError;
use scbte_core::time::Timestamp;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Characters of a text that are told of in the list of roots.
const MAX_REPORTED: usize = 200;
/// How often it looks at shared data.
const TICK: Duration = Duration::from_secs(1);

/// What a listener is for.
#[derive(Default)]
enum Role {
    /// No configuration was accepted: nothing passes.
    #[default]
    Unconfigured,
    /// Judges requests.
    Data(Box<DataRole>),
    /// Takes envelopes.
    Control(Rc<RefCell<ControlPlane>>),
}

struct DataRole {
    service: Rc<RefCell<Service>>,
    bundles: Option<Puller>,
    policies: Option<Puller>,
    nonce: String,
}

/// What is fetched.
#[derive(Clone, Copy)]
enum Pulled {
    Bundle,
    Policy,
}

impl Pulled {
    /// As metrics and messages call it.
    const fn label(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Policy => "policy",
        }
    }
}

/// A root context.
#[derive(Default)]
pub(crate) struct Root {
    role: Role,
}

/// Why a configuration is refused.
enum Unusable {
    Config(ConfigError),
    Policy(AdmissionError),
    NoRandomness,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(error) => error.fmt(formatter),
            Self::Policy(error) => write!(formatter, "configuration: policy: {error}"),
            Self::NoRandomness => formatter.write_str("the host has no randomness"),
        }
    }
}

impl Role {
    fn configure(text: &[u8]) -> Result<Self, Unusable> {
        let signatures = host_verifier::choose();
        match Config::parse(text, &host::node_metadata).map_err(Unusable::Config)? {
            Config::Control(config) => {
                Ok(Self::Control(Rc::new(RefCell::new(ControlPlane::new(config, signatures, host::now())))))
            }
            Config::Data(config) => {
                let random = || host::random().ok_or(Unusable::NoRandomness);
                let nonce: String = random()?.iter().map(|byte| format!("{byte:02x}")).collect();
                let (bundles, policies) = pullers(&config, &nonce);
                let service = Service::new(*config, &nonce, signatures, CacheSecret::new(random()?), host::now());
                let service = Rc::new(RefCell::new(service.map_err(Unusable::Policy)?));
                Ok(Self::Data(Box::new(DataRole { service, bundles, policies, nonce })))
            }
        }
    }
}

/// One for trust bundles, and one for policies where they come from the companion.
fn pullers(config: &DataConfig, nonce: &str) -> (Option<Puller>, Option<Puller>) {
    let target = &config.trust.envelopes.target;
    let pull = config.trust.pull.as_ref();
    let puller = |path: &str| pull.map(|pull| Puller::new(pull.clone(), path, target, nonce.to_owned()));
    let from_companion = pull.filter(|_| config.policy.inline.is_none());
    let policies = from_companion.and_then(|pull| puller(&beside(&pull.path)));
    (pull.and_then(|pull| puller(&pull.path)), policies)
}

/// Policy envelopes lie beside bundle envelopes: `/v1/bundle` → `/v1/policy`.
fn beside(bundle: &str) -> String {
    let folder = bundle.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/policy")
}

impl DataRole {
    fn tick(&mut self, now: Timestamp) {
        let Ok(mut service) = self.service.try_borrow_mut() else { return };
        service.tick(now);
        let need = need(&mut service, now);
        if let Some(puller) = &mut self.bundles {
            puller.tick(need, now);
        }
        let need = if service.lacks_policy(now) { Need::Everything } else { Need::Renewal };
        if let Some(puller) = &mut self.policies {
            puller.tick(need, now);
        }
        roots::publish(&service.config.trust.envelopes.target, &self.report(&service, now), now);
    }

    fn report(&self, service: &Service, now: Timestamp) -> RootReport {
        let bundle = service.bundles.current();
        RootReport {
            nonce: self.nonce.clone(),
            seq: bundle.map(|envelope| envelope.seq),
            revision: bundle.map(|envelope| envelope.revision().to_string()),
            policy: service.policy.version().digest.map(str::to_owned),
            policy_revision: service.policy.version().revision.map(short),
            policy_error: service.policy.error().map(short),
            policy_source: service.policy.source().to_owned(),
            mode: service.config.mode.label().to_owned(),
            time: now.secs(),
        }
    }

    fn pulled(&mut self, call: u32, body_size: Option<usize>, now: Timestamp) {
        let pullers = [(Pulled::Bundle, &mut self.bundles), (Pulled::Policy, &mut self.policies)];
        for (what, puller) in pullers {
            let Some(puller) = puller else { continue };
            let Some(fetched) = puller.answer(call, body_size, now) else { continue };
            let Ok(mut service) = self.service.try_borrow_mut() else { return };
            let result = take(what, fetched, puller, &mut service, now);
            service.metrics.pull(what.label(), result);
        }
    }
}

/// Offers what was fetched to where it belongs; the metric's word for what became of it.
fn take(what: Pulled, fetched: Fetched, puller: &mut Puller, service: &mut Service, now: Timestamp) -> &'static str {
    let envelope = match fetched {
        Fetched::Unchanged => return "unchanged",
        Fetched::Failed(_) => return "failed",
        Fetched::Envelope(envelope) => envelope,
    };
    let offered = match what {
        Pulled::Bundle => service.bundles.offer(&envelope, now).map(drop),
        Pulled::Policy => service.policy.offer(&envelope, now),
    };
    match offered {
        Ok(()) => {
            puller.taken();
            "ok"
        }
        // Said when it was compiled; the same is not fetched again.
        Err(Refused::Policy(_)) => {
            puller.taken();
            "refused"
        }
        Err(refused) => {
            let what = what.label();
            host::log(LogLevel::Warn, &format!("the {what} envelope that was fetched is refused: {refused}"));
            "refused"
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(MAX_REPORTED).collect()
}

fn need(service: &mut Service, now: Timestamp) -> Need {
    match (service.has_usable_bundle(now), std::mem::take(&mut service.misses_authority)) {
        (false, _) => Need::Everything,
        (true, true) => Need::Authority,
        (true, false) => Need::Renewal,
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body_size: usize, _: usize) {
        if let Role::Data(data) = &mut self.role {
            // Without headers there is no answer, and the SDK panics when one is read all the same.
            let body_size = (headers > 0).then_some(body_size);
            data.pulled(call, body_size, host::now());
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default();
        match Role::configure(&text) {
            Ok(role) => {
                self.role = role;
                host::tick_every(TICK);
                true
            }
            Err(refused) => {
                host::log(LogLevel::Error, &refused.to_string());
                false
            }
        }
    }

    fn on_tick(&mut self) {
        match &mut self.role {
            Role::Unconfigured => {}
            Role::Data(data) => data.tick(host::now()),
            Role::Control(plane) => {
                if let Ok(mut plane) = plane.try_borrow_mut() {
                    plane.look(host::now());
                }
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.role {
            Role::Unconfigured => Box::new(Closed),
            Role::Data(data) => Box::new(DataStream::new(Rc::clone(&data.service))),
            Role::Control(plane) => Box::new(ControlStream::new(Rc::clone(plane))),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// A stream of a root without a configuration.
struct Closed;

impl Context for Closed {}

impl HttpContext for Closed {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        host::respond(503, &[("content-type", "application/json")], r#"{"error":"policy_unavailable"}"#);
        Action::Pause
    }
}
