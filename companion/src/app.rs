//! The companion, wired: one identity source, one minter, a signer for trust bundles and one for the policy, two
//! reconcilers for each Envoy, two listeners.
//!
//! ```text
//! identity source ─┬─> minter ──> token API
//!                  └─> signer ──> newest envelope ─┬─> reconcilers ──> Envoys
//! policy source ─────> signer ──> newest envelope ─┴─> admin API
//! ```

use crate::admin_api::{self, AdminApi};
use crate::clock;
use crate::control_client::ControlClient;
use crate::dev_source::DevSource;
use crate::dev_state::DevStateError;
use crate::envelope_key::{EnvelopeKey, EnvelopeKeyError};
use crate::envelopes::{Envelopes, Signer};
use crate::http_client::Endpoint;
use crate::identity::{Check, Identity, Source};
use crate::listen::{BindError, Listener, Purpose};
use crate::metrics::Metrics;
use crate::minter::Minter;
use crate::policy_source::{PolicySettings, PolicyState, PolicyWatch};
use crate::readiness::{PolicyStatus, Status, Target};
use crate::reconciler::{Reconciler, Shared, TargetState};
use crate::serve::serve;
use crate::settings::{IdentitySettings, Settings};
use crate::state::{StateDir, StateError};
use crate::subject::Subject;
use crate::token_api::{self, TokenApi};
use crate::workload_api::WorkloadApi;
use scbte_core::spiffe_id::SpiffeId;
use std::io;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

const TOKEN: Purpose = Purpose { name: "token API", flag: "--token-listen", variable: "SCBTE_TOKEN_LISTEN" };
const ADMIN: Purpose = Purpose { name: "admin API", flag: "--admin-listen", variable: "SCBTE_ADMIN_LISTEN" };

/// Why the companion does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no envelope key.
    #[error(transparent)]
    EnvelopeKey(#[from] EnvelopeKeyError),
    /// The embedded CA cannot be used.
    #[error(transparent)]
    DevCa(#[from] DevStateError),
    /// A listener is not free.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system gives no signals or addresses.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A part that should run for ever has ended.
    #[error("a part of the companion ended unexpectedly")]
    Ended,
}

/// Runs the companion until it is told to stop.
pub(crate) async fn run(settings: Settings) -> Result<(), RunError> {
    let stop = stop_signal()?;
    let folder = StateDir::create(&settings.state_dir)?;
    let key = Arc::new(envelope_key(&settings, &folder)?);
    // Before anything else happens: a taken port is the commonest mistake.
    let token_listener = Listener::bind(&settings.token_listen, TOKEN).await?;
    let admin_listener = Listener::bind(&settings.admin_listen, ADMIN).await?;

    let is_dev = matches!(settings.identity, IdentitySettings::Dev(_));
    let (source, first) = identity_source(&settings.identity, &folder)?;
    let (publish, identity) = watch::channel(first);
    let (check, checks) = mpsc::channel(1);
    let metrics = Arc::new(Metrics::default());
    let minter = Arc::new(Minter::new(identity.clone(), settings.reuse_tokens));
    let mut tasks = JoinSet::new();
    let signing = Signing { key, target: settings.target.clone(), is_dev, folder, metrics: Arc::clone(&metrics) };
    let bundles = signing.deliver(identity.clone(), Some(check), &mut tasks).await;
    let policies = match settings.policy {
        Some(policy) => Some(signing.deliver(watch_policy(policy, &mut tasks), None, &mut tasks).await),
        None => None,
    };
    let target = |endpoint: &Endpoint| Target {
        endpoint: endpoint.to_string(),
        state: spawn_reconciler(endpoint, &bundles, &mut tasks),
        policy: policies.as_ref().map(|policies| spawn_reconciler(endpoint, policies, &mut tasks)),
    };
    let targets = settings.push.iter().map(target).collect();
    tasks.spawn(source.run(publish, checks));

    info!(address = %token_listener.address()?, "token API listens");
    info!(address = %admin_listener.address()?, "admin API listens");
    let policy = policies.map(|Shared { subject: state, newest, .. }| PolicyStatus { state, newest });
    let status = Status { identity, newest: bundles.newest, policy, minter: Arc::clone(&minter), targets };
    let Settings { guards, allow_list, .. } = settings;
    let token_api = token_api::router(TokenApi { minter, guards, allow_list, metrics: Arc::clone(&metrics) });
    let admin_api = admin_api::router(AdminApi { status, metrics });
    let servers = async {
        tokio::join!(
            serve(token_listener, token_api, stopped(stop.clone())),
            serve(admin_listener, admin_api, stopped(stop.clone()))
        );
    };
    tokio::select! {
        () = servers => Ok(()),
        _ = tasks.join_next() => Err(RunError::Ended),
    }
}

fn envelope_key(settings: &Settings, folder: &StateDir) -> Result<EnvelopeKey, EnvelopeKeyError> {
    let key = match &settings.envelope_key {
        Some(path) => EnvelopeKey::load(path)?,
        None => {
            let (key, made) = EnvelopeKey::load_or_create(folder)?;
            if made {
                info!("made a new envelope key: filters must pin its public half, envelope.pub.jwk");
            }
            key
        }
    };
    info!(kid = key.public().kid(), "envelope key");
    Ok(key)
}

/// The source, and what it says at once: nothing yet, where somebody else has to be asked.
fn identity_source(settings: &IdentitySettings, folder: &StateDir) -> Result<(Source, Identity), DevStateError> {
    match settings {
        IdentitySettings::Dev(id) => {
            warn_of_dev(id);
            let (source, first) = DevSource::open(folder.clone(), id.clone(), clock::now())?;
            Ok((Source::Dev(Box::new(source)), first))
        }
        IdentitySettings::WorkloadApi { socket, wanted } => {
            info!(%socket, "identity comes from the SPIFFE Workload API");
            Ok((Source::WorkloadApi(WorkloadApi::new(socket.clone(), wanted.clone())), Identity::default()))
        }
    }
}

fn warn_of_dev(id: &SpiffeId) {
    warn!(
        trust_domain = %id.trust_domain(),
        "DEV TRUST DOMAIN, NOT FOR PRODUCTION: identities come from an embedded CA whose key is a file in the state folder"
    );
}

/// What every kind of envelope is signed with.
struct Signing {
    key: Arc<EnvelopeKey>,
    target: String,
    is_dev: bool,
    folder: StateDir,
    metrics: Arc<Metrics>,
}

impl Signing {
    /// Keeps the newest envelope of a subject current.
    async fn deliver<S: Subject>(
        &self,
        subject: watch::Receiver<S>,
        checks: Option<mpsc::Sender<Check>>,
        tasks: &mut JoinSet<()>,
    ) -> Shared<S> {
        let signer = Signer::new(Arc::clone(&self.key), self.target.clone(), self.is_dev, &self.folder, S::KIND);
        let (envelopes, newest, contest) = Envelopes::start(signer, subject.clone(), checks).await;
        tasks.spawn(envelopes.run());
        Shared { newest, subject, contest, metrics: Arc::clone(&self.metrics) }
    }
}

fn watch_policy(settings: PolicySettings, tasks: &mut JoinSet<()>) -> watch::Receiver<PolicyState> {
    let (publish, state) = watch::channel(PolicyState::default());
    tasks.spawn(PolicyWatch::new(settings).run(publish));
    state
}

fn spawn_reconciler<S: Subject>(
    endpoint: &Endpoint,
    shared: &Shared<S>,
    tasks: &mut JoinSet<()>,
) -> watch::Receiver<TargetState> {
    let (reconciler, state) = Reconciler::new(ControlClient::new(endpoint.clone()), shared.clone());
    tasks.spawn(reconciler.run());
    state
}

/// Becomes true with SIGTERM or SIGINT.
fn stop_signal() -> io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping: open requests may finish");
        stop.send_replace(true);
    });
    Ok(stopping)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that nobody can stop it any more: then it is over as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
