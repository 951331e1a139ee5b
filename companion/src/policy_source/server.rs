//! A bundle server, as OPA polls one (OPA, Bundle API): a `.tar.gz` by HTTP, asked with the ETag of the last one.
//!
//! Whoever can change what the server sends can open every service, so a bundle must be signed with the configured key,
//! unless the deployment says that none is needed.

use crate::policy_bundle::VerificationKey;
use crate::policy_files::{LoadError, PolicyFiles};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer may take, all of it.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longest bundle, bytes.
const MAX_BUNDLE: u64 = 32 << 20;
/// The first pause after a failure; it doubles up to the interval.
const RETRY: Duration = Duration::from_secs(1);

/// Why no bundle was had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// No answer, or no good one.
    #[error("no policy from {url}: {source}")]
    Http {
        /// Who was asked.
        url: String,
        /// What is wrong.
        source: Box<ureq::Error>,
    },
    /// The task that asks was cut off.
    #[error("no policy from {0}: cut off")]
    CutOff(String),
}

/// A bundle server, and when to ask it.
#[derive(Clone, Debug)]
pub(crate) struct BundleServer {
    url: String,
    key: Option<VerificationKey>,
    interval: Duration,
    agent: ureq::Agent,
    etag: Option<String>,
    next: Option<Instant>,
    pause: Duration,
}

/// What the server said.
enum Answer {
    Unchanged,
    Bundle { bytes: Arc<[u8]>, etag: Option<String> },
}

impl BundleServer {
    /// A server that is asked once an interval. Without a key, bundles need no signature.
    pub(crate) fn new(url: String, key: Option<VerificationKey>, interval: Duration) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build();
        Self { url, key, interval, agent: config.into(), etag: None, next: None, pause: RETRY }
    }

    /// Asks, when it is time: a new bundle, or nothing when it is the one that was had.
    pub(super) async fn poll(&mut self) -> Option<Result<Option<Arc<[u8]>>, FetchError>> {
        if self.next.is_some_and(|next| Instant::now() < next) {
            return None;
        }
        let (agent, url, etag) = (self.agent.clone(), self.url.clone(), self.etag.clone());
        let asked = tokio::task::spawn_blocking(move || ask(&agent, &url, etag.as_deref())).await;
        let answer = match asked {
            Ok(answer) => answer.map_err(|source| FetchError::Http { url: self.url.clone(), source: Box::new(source) }),
            Err(_) => Err(FetchError::CutOff(self.url.clone())),
        };
        self.plan(answer.is_ok());
        Some(answer.map(|answer| self.take(answer)))
    }

    /// Opens a bundle: signed with the key, where there is one.
    pub(super) fn open(&self, bytes: &[u8]) -> Result<PolicyFiles, LoadError> {
        PolicyFiles::of_bundle(&self.url, bytes, self.key.as_ref())
    }

    fn take(&mut self, answer: Answer) -> Option<Arc<[u8]>> {
        match answer {
            Answer::Unchanged => None,
            Answer::Bundle { bytes, etag } => {
                self.etag = etag;
                Some(bytes)
            }
        }
    }

    fn plan(&mut self, good: bool) {
        let pause = if good { self.interval } else { self.pause.min(self.interval) };
        self.pause = if good { RETRY } else { self.pause * 2 };
        self.next = Some(Instant::now() + pause);
    }
}

fn ask(agent: &ureq::Agent, url: &str, etag: Option<&str>) -> Result<Answer, ureq::Error> {
    let mut request = agent.get(url);
    if let Some(etag) = etag {
        request = request.header("if-none-match", etag);
    }
    let mut response = request.call()?;
    if response.status() == 304 {
        return Ok(Answer::Unchanged);
    }
    let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let bytes = response.body_mut().with_config().limit(MAX_BUNDLE).read_to_vec()?;
    Ok(Answer::Bundle { bytes: bytes.into(), etag })
}
