//! The identity source of a workload: X.509-SVIDs and trust bundles, federated ones included, streamed from the SPIFFE
//! Workload API (SPIFFE Workload API §5.2, `FetchX509SVID`).
//!
//! Each message is complete and replaces what was known. What cannot be used, and a stream that ends, change nothing but
//! liveness: the last material stays in use, and the stream is opened again with back-off. Only PERMISSION_DENIED
//! withdraws the SVID, because then the agent is there and says that this workload has no identity any more.
//!
//! What takes something away counts when it lasts: while SPIRE's agent replaces SVIDs of a tainted authority, it denies
//! the identity for a moment, or sends a message without it or without a federated trust domain.
//!
//! An idle stream says nothing of whether the agent hangs, so it is asked anew before anything is signed again.

use crate::clock;
use crate::identity::{Bundles, Check, Identity, Svid, SvidError};
use crate::words;
use futures_util::{Stream, StreamExt as _};
use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey as _;
use scbte_core::bundle::{self, BundleError};
use scbte_core::certificate::Anchor;
use scbte_core::spiffe_id::SpiffeId;
use scbte_core::time::Timestamp;
use spiffe::transport::{Endpoint, EndpointError};
use spiffe::{WorkloadApiClient, WorkloadApiError, X509Bundle, X509Context, X509Svid};
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

/// The first pause after a failure; a new pod's identity is often only a moment away.
const LEAST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause: the socket is on this machine, so asking often costs little.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the agent must leave something out until it is taken at its word.
const GONE_AFTER: Duration = Duration::from_secs(3);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first message may take; an agent that has just started may be slow.
const FIRST_MESSAGE: Duration = Duration::from_secs(30);
/// How long it may take to say once more what it said.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Identities that a message names, at most.
const MAX_SHOWN: usize = 10;

/// Where the Workload API is: a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket(PathBuf);

/// The text names no Workload API.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotASocket {
    /// Not a SPIFFE endpoint.
    #[error("expected `unix:///path/to/agent.sock`, found `{found}`: {error}")]
    Endpoint {
        /// The text.
        found: String,
        /// What is wrong.
        error: EndpointError,
    },
    /// A TCP endpoint.
    #[error(
        "expected `unix:///path/to/agent.sock`, found `{0}`: over TCP the private key would travel unprotected, and the agent could not tell who asks"
    )]
    Tcp(String),
}

impl FromStr for Socket {
    type Err = NotASocket;

    fn from_str(text: &str) -> Result<Self, NotASocket> {
        let found = || words::visible(text);
        match Endpoint::parse(text) {
            Ok(Endpoint::Unix(path)) => Ok(Self(path)),
            Ok(_) => Err(NotASocket::Tcp(found())),
            Err(error) => Err(NotASocket::Endpoint { found: found(), error }),
        }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unix://{}", self.0.display())
    }
}

/// Why the stream gives nothing usable.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    /// The agent cannot be reached.
    #[error("the agent cannot be reached: {}", root_cause(.0))]
    Connect(#[from] tonic::transport::Error),
    /// The agent is there and gives this workload no identity.
    #[error("the agent has no identity for this workload (PERMISSION_DENIED): does a registration entry select it?")]
    Withdrawn,
    /// The stream broke, or a message does not have the form that it must have.
    #[error("{}", root_cause(.0))]
    Stream(WorkloadApiError),
    /// The stream ended in good order; the agent stops, say.
    #[error("the agent closed the stream")]
    Ended,
    /// The agent took the call and says nothing.
    #[error("the agent does not answer")]
    Silent,
    /// Something that was there is not in the message, which may be of a moment.
    #[error("the agent's message lacks `{0}`")]
    Lacks(String),
    /// The trust bundles cannot be put together.
    #[error("the trust bundles cannot be used: {0}")]
    Bundle(#[from] BundleError),
}

impl From<WorkloadApiError> for Interruption {
    fn from(error: WorkloadApiError) -> Self {
        match error {
            WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_) => Self::Withdrawn,
            error => Self::Stream(error),
        }
    }
}

/// Outer errors of the transport say little; the innermost names the cause.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    words::visible(&cause.to_string())
}

/// The identity source of a workload.
pub(crate) struct WorkloadApi {
    socket: Socket,
    /// Which of several SVIDs; the first where none is named.
    wanted: Option<SpiffeId>,
    identity: Identity,
    loss: Loss,
}

/// How long the agent has been leaving something out, without saying otherwise in between.
#[derive(Debug, Default)]
struct Loss {
    since: Option<Instant>,
}

impl Loss {
    /// The agent leaves it out; whether that has lasted.
    fn lasts(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        now.duration_since(since) >= GONE_AFTER
    }

    /// The agent has it. That it cannot be heard is not enough: whoever leaves out and hides in turn still leaves out.
    fn refuted(&mut self) {
        self.since = None;
    }
}

impl WorkloadApi {
    /// The source behind a socket.
    pub(crate) fn new(socket: Socket, wanted: Option<SpiffeId>) -> Self {
        Self { socket, wanted, identity: Identity::default(), loss: Loss::default() }
    }

    /// Publishes every change and answers checks until nobody listens.
    pub(crate) async fn run(mut self, publish: watch::Sender<Identity>, mut checks: mpsc::Receiver<Check>) {
        let mut pause = LEAST_PAUSE;
        while !publish.is_closed() {
            let interruption = self.follow(&publish, &mut checks).await;
            if self.identity.live {
                pause = LEAST_PAUSE;
            }
            self.interrupt(&interruption, clock::now());
            publish.send_replace(self.identity.clone());
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Opens the stream and takes what comes, until it breaks.
    async fn follow(&mut self, publish: &watch::Sender<Identity>, checks: &mut mpsc::Receiver<Check>) -> Interruption {
        let (client, mut contexts) = match timeout(FIRST_MESSAGE, open(&self.socket)).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(interruption)) => return interruption,
            Err(_) => return Interruption::Silent,
        };
        loop {
            let (context, check) = tokio::select! {
                context = contexts.next() => (next(context), None),
                Some(check) = checks.recv() => (ask(&client).await, Some(check)),
            };
            if let Err(interruption) = context.and_then(|context| self.take(&context, Instant::now())) {
                return interruption;
            }
            publish.send_replace(self.identity.clone());
            if let Some(check) = check {
                // Whoever asked may have gone.
                let _ = check.send(());
            }
        }
    }

    /// Replaces what is known by what a message says.
    fn take(&mut self, context: &X509Context, now: Instant) -> Result<(), Interruption> {
        match self.lacks(context) {
            Some(what) if !self.loss.lasts(now) => return Err(Interruption::Lacks(what)),
            _ => self.loss.refuted(),
        }
        let bundles = self.bundles(context)?;
        if !self.identity.live {
            info!(socket = %self.socket, "the Workload API answers");
        }
        self.identity.bundles = Some(bundles);
        let trouble = self.identity.trouble.take();
        self.identity.revive();
        match self.svid(context) {
            Ok(svid) => self.identity.svid = Some(svid),
            Err(error) => self.miss_svid(&error, trouble.as_deref()),
        }
        Ok(())
    }

    /// What was there and is not in this message: the identity that tokens are minted as, or a trust domain.
    fn lacks(&self, context: &X509Context) -> Option<String> {
        let svid = self.identity.svid.as_ref().filter(|svid| find(context, svid.id()).is_none());
        let mut known = self.identity.bundles.iter().flat_map(|bundles| bundles.json().keys());
        let has = |name: &str| context.bundle_set().iter().any(|(found, _)| found.as_str() == name);
        svid.map(|svid| svid.id().to_string()).or_else(|| known.find(|name| !has(name)).cloned())
    }

    /// An SVID that cannot be used leaves the last one, which is good until it expires; one that is not there any more is
    /// gone.
    fn miss_svid(&mut self, error: &UnusableSvid, known: Option<&str>) {
        if matches!(error, UnusableSvid::NotAmong { .. }) {
            self.identity.svid = None;
        }
        let trouble = error.to_string();
        if known != Some(&trouble) {
            error!(%error, kept = self.identity.svid.is_some(), "the agent's SVID cannot be used");
        }
        self.identity.trouble = Some(trouble.into());
    }

    fn bundles(&self, context: &X509Context) -> Result<Arc<Bundles>, BundleError> {
        let mut left_out = Vec::new();
        let bundle_set = context.bundle_set().iter();
        let json = bundle_set.map(|(name, bundle)| (name.to_string(), to_json(bundle, &mut left_out))).collect();
        let bundles = Bundles::new(json)?;
        match &self.identity.bundles {
            // The same value: what was checked against it stays checked.
            Some(known) if known.revision() == bundles.revision() => Ok(Arc::clone(known)),
            _ => {
                tell_bundles(&bundles);
                left_out.iter().for_each(|why| warn!(%why, "an authority is left out"));
                Ok(Arc::new(bundles))
            }
        }
    }

    fn svid(&self, context: &X509Context) -> Result<Arc<Svid>, UnusableSvid> {
        let svid = to_svid(self.choose(context)?)?;
        match &self.identity.svid {
            Some(known) if known.chain() == svid.chain() => Ok(Arc::clone(known)),
            _ => {
                let until = words::utc(svid.validity().not_after);
                info!(spiffe_id = %svid.id(), certificates = svid.chain().len(), until, "new SVID");
                Ok(Arc::new(svid))
            }
        }
    }

    /// The one that was asked for; else the one that it was, or the first.
    fn choose<'a>(&self, context: &'a X509Context) -> Result<&'a X509Svid, UnusableSvid> {
        if let Some(wanted) = &self.wanted {
            let none = || UnusableSvid::NotAmong { wanted: wanted.clone(), found: ids(context) };
            return find(context, wanted).ok_or_else(none);
        }
        let current = self.identity.svid.as_ref().and_then(|svid| find(context, svid.id()));
        current.or(context.default_svid().map(Arc::as_ref)).ok_or(UnusableSvid::None)
    }

    fn interrupt(&mut self, interruption: &Interruption, now: Timestamp) {
        let why = interruption.to_string();
        // Said once, not with every try.
        let news = self.identity.live || self.identity.trouble.as_deref() != Some(&why);
        self.identity.lose(&why, now);
        if matches!(interruption, Interruption::Withdrawn) && self.loss.lasts(Instant::now()) {
            self.identity.svid = None;
        }
        if news {
            let kept = match self.identity.bundles {
                Some(_) => "the last trust bundles stay in force until they are too old",
                None => "there is nothing to mint with or to hand out",
            };
            warn!(socket = %self.socket, %why, kept, "no word from the Workload API; trying again");
        }
    }
}

/// Why there is an SVID and yet none to mint with.
#[derive(Debug, thiserror::Error)]
enum UnusableSvid {
    /// There is none at all; the library refuses such a message.
    #[error("the agent gave no SVID")]
    None,
    /// The SVID is none that tokens can be minted with.
    #[error("the SVID cannot be used: {0}")]
    Svid(#[from] SvidError),
    /// The workload has others.
    #[error("the agent has {found} for this workload, but not `{wanted}`")]
    NotAmong {
        /// Which was asked for.
        wanted: SpiffeId,
        /// Which there are.
        found: String,
    },
}

fn find<'a>(context: &'a X509Context, id: &SpiffeId) -> Option<&'a X509Svid> {
    context.svids().iter().find(|svid| svid.spiffe_id().to_string() == id.as_str()).map(Arc::as_ref)
}

fn ids(context: &X509Context) -> String {
    let ids = context.svids().iter().take(MAX_SHOWN).map(|svid| format!("`{}`", svid.spiffe_id()));
    let more = if context.svids().len() > MAX_SHOWN { ", …" } else { "" };
    ids.collect::<Vec<_>>().join(", ") + more
}

/// What the agent says, now and with every change.
type Contexts = Pin<Box<dyn Stream<Item = Result<X509Context, WorkloadApiError>> + Send>>;

async fn open(socket: &Socket) -> Result<(WorkloadApiClient, Contexts), Interruption> {
    let endpoint = tonic::transport::Endpoint::from_shared(socket.to_string())?;
    let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await?;
    let client = WorkloadApiClient::new_with_channel(Endpoint::Unix(socket.0.clone()), channel);
    let contexts = client.stream_x509_contexts().await?;
    Ok((client, Box::pin(contexts)))
}

fn next(context: Option<Result<X509Context, WorkloadApiError>>) -> Result<X509Context, Interruption> {
    Ok(context.ok_or(Interruption::Ended)??)
}

/// Asks the agent anew.
async fn ask(client: &WorkloadApiClient) -> Result<X509Context, Interruption> {
    let context = timeout(CHECK_TIMEOUT, client.fetch_x509_context()).await;
    Ok(context.map_err(|_| Interruption::Silent)??)
}

/// A bundle for an envelope. An authority that no chain could be checked against is left out, so that one of a foreign
/// domain does not keep the others from being renewed.
fn to_json(bundle: &X509Bundle, left_out: &mut Vec<String>) -> serde_json::Value {
    let usable = |authority: &&[u8]| {
        let parsed = Anchor::parse(authority);
        left_out.extend(parsed.as_ref().err().map(|error| format!("of `{}`: {error}", bundle.trust_domain())));
        parsed.is_ok()
    };
    bundle::to_json(bundle.authorities().iter().map(|authority| authority.as_bytes()).filter(usable))
}

fn to_svid(svid: &X509Svid) -> Result<Svid, SvidError> {
    let chain = svid.cert_chain().iter().map(|certificate| certificate.as_bytes().to_vec()).collect();
    let key = SigningKey::from_pkcs8_der(svid.private_key().as_bytes()).map_err(|_| SvidError::NotP256)?;
    Svid::new(chain, key)
}

/// Whoever rotates an authority waits for this before the new one is used.
fn tell_bundles(bundles: &Bundles) {
    let domains = bundles.set().iter().map(|(name, bundle)| format!("{name}={}", bundle.anchors().len()));
    let more = if bundles.set().iter().count() > MAX_SHOWN { " …" } else { "" };
    let authorities = domains.take(MAX_SHOWN).collect::<Vec<_>>().join(" ") + more;
    info!(
        %authorities,
        revision = %bundles.revision(),
        "trust bundles changed: filters have them within 2 s by push, within one interval by pull; activate a new authority only then"
    );
}

/// Up to a quarter longer, so that the companions of a node do not all come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness they come back at once, which is no more than unkind.
    let _ = getrandom::fill(&mut byte);
    pause + pause * u32::from(byte[0]) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_counts_when_it_lasts() {
        // Seconds at which the agent leaves something out (true), or has it (false).
        for (name, said, gone) in [
            ("once", &[(0, true)][..], false),
            ("for two seconds", &[(0, true), (2, true)], false),
            ("for three", &[(0, true), (1, true), (3, true)], true),
            ("it has it again in between", &[(0, true), (2, false), (3, true)], false),
            ("for three after that", &[(0, true), (2, false), (3, true), (6, true)], true),
        ] {
            let (mut loss, start) = (Loss::default(), Instant::now());
            let mut lasted = false;
            for (after, left_out) in said {
                lasted = *left_out && loss.lasts(start + Duration::from_secs(*after));
                if !left_out {
                    loss.refuted();
                }
            }
            assert_eq!(lasted, gone, "{name}");
        }
    }
}
