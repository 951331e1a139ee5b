//! A bundle server, as OPA polls one (OPA, Bundle API): a `.tar.gz` by HTTP, asked with the ETag of the last one.
//!
//! Whoever can change what the server sends can open every service, so a bundle must be signed with the configured key,
//! unless the deployment says that none is needed. A server of `https` is known by the authorities that the machine
//! trusts, a company's own included, and never leads to one of `http`.

use crate::policy_bundle::VerificationKey;
use crate::policy_files::{LoadError, PolicyFiles};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};

/// How long an answer may take, all of it.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longest bundle, bytes.
const MAX_BUNDLE: u64 = 32 << 20;
/// The first pause after a failure; it doubles up to the interval.
const RETRY: Duration = Duration::from_secs(1);
/// How often a server may be asked.
pub(crate) const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60 * 60);

/// Where a bundle is. Shown without user, password and query, which may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BundleUrl {
    uri: Uri,
    is_https: bool,
}

/// Why a text is no place of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL such as `https://HOST/bundle.tar.gz`")]
pub(crate) struct NotAUrl;

impl BundleUrl {
    /// Whether a text is meant as a URL, and not as a path.
    pub(crate) fn is_meant(text: &str) -> bool {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        scheme.is_some_and(|scheme| scheme == "http" || scheme == "https")
    }
}

impl FromStr for BundleUrl {
    type Err = NotAUrl;

    fn from_str(text: &str) -> Result<Self, NotAUrl> {
        let uri: Uri = text.parse().map_err(|_| NotAUrl)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(NotAUrl),
        };
        let authority = uri.authority().ok_or(NotAUrl)?;
        // A port that is no number is part of neither.
        let whole = authority.as_str().ends_with(authority.host()) || authority.port_u16().is_some();
        if authority.host().is_empty() || !whole {
            return Err(NotAUrl);
        }
        Ok(Self { uri, is_https })
    }
}

impl fmt::Display for BundleUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.uri.host().unwrap_or_default())?;
        if let Some(port) = self.uri.port_u16() {
            write!(formatter, ":{port}")?;
        }
        formatter.write_str(self.uri.path())
    }
}

impl fmt::Debug for BundleUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Why no bundle was had.
#[derive(Debug, thiserror::Error)]
#[error("no policy from {url}: {why}")]
pub(crate) struct FetchError {
    url: BundleUrl,
    why: String,
}

/// A bundle server, and when to ask it.
#[derive(Clone, Debug)]
pub(crate) struct BundleServer {
    url: BundleUrl,
    key: Option<VerificationKey>,
    interval: Duration,
    agent: ureq::Agent,
    /// What it sent last, and what it calls that.
    held: Option<Arc<[u8]>>,
    etag: Option<String>,
    next: Option<Instant>,
    pause: Duration,
}

/// What the server said.
enum Answer {
    Unchanged,
    Bundle { bytes: Arc<[u8]>, etag: Option<String> },
}

/// A bundle as it came.
pub(super) struct Fetched {
    url: BundleUrl,
    key: Option<VerificationKey>,
    bytes: Arc<[u8]>,
}

impl Fetched {
    /// Opens it: signed with the key, where there is one. Blocks.
    pub(super) fn open(&self) -> Result<PolicyFiles, LoadError> {
        PolicyFiles::of_bundle(&self.url.to_string(), &self.bytes, self.key.as_ref())
    }
}

impl BundleServer {
    /// A server that is asked once an interval. Without a key, bundles need no signature.
    pub(crate) fn new(url: BundleUrl, key: Option<VerificationKey>, interval: Duration) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).tls_config(tls);
        let agent = config.https_only(url.is_https).build().into();
        Self { url, key, interval, agent, held: None, etag: None, next: None, pause: RETRY }
    }

    /// Asks, when it is time: a new bundle, or nothing when it is the one that was had.
    pub(super) async fn poll(&mut self) -> Option<Result<Option<Fetched>, FetchError>> {
        if self.next.is_some_and(|next| Instant::now() < next) {
            return None;
        }
        let (agent, uri, etag) = (self.agent.clone(), self.url.uri.clone(), self.etag.clone());
        let asked = tokio::task::spawn_blocking(move || ask(&agent, uri, etag.as_deref())).await;
        let answer = match asked {
            Ok(Ok(answer)) => self.take(answer),
            Ok(Err(error)) => Err(words(&error)),
            Err(_) => Err("cut off".to_owned()),
        };
        self.plan(answer.is_ok());
        Some(answer.map_err(|why| FetchError { url: self.url.clone(), why }))
    }

    fn take(&mut self, answer: Answer) -> Result<Option<Fetched>, String> {
        match answer {
            Answer::Unchanged if self.held.is_none() => {
                Err("it says that nothing changed, and sent nothing".to_owned())
            }
            Answer::Unchanged => Ok(None),
            Answer::Bundle { bytes, etag } => {
                self.etag = etag;
                if self.held.as_ref() == Some(&bytes) {
                    return Ok(None);
                }
                self.held = Some(Arc::clone(&bytes));
                Ok(Some(Fetched { url: self.url.clone(), key: self.key.clone(), bytes }))
            }
        }
    }

    /// What it sent last may not be used: it is sent again, whatever it is called. Nobody can keep a good bundle away by
    /// sending a bad one under its name.
    pub(super) fn distrust(&mut self) {
        self.etag = None;
    }

    fn plan(&mut self, good: bool) {
        let pause = if good { self.interval } else { self.pause.min(self.interval) };
        self.pause = if good { RETRY } else { pause.saturating_mul(2) };
        self.next = Some(Instant::now() + pause);
    }
}

/// What went wrong, without the URL, which a redirection may have changed to one with a secret in it.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::RequireHttpsOnly(_) => "it leads from https to http, where nobody follows".to_owned(),
        ureq::Error::BadUri(_) => "it leads to something that is no URL".to_owned(),
        other => other.to_string(),
    }
}

fn ask(agent: &ureq::Agent, uri: Uri, etag: Option<&str>) -> Result<Answer, ureq::Error> {
    let mut request = agent.get(uri);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, interval: Duration) -> BundleServer {
        BundleServer::new(url.parse().unwrap(), None, interval)
    }

    #[tokio::test]
    async fn a_server_that_stays_away_is_asked_once_an_interval() {
        let interval = Duration::from_secs(30);
        let mut server = server("http://127.0.0.1:1/", interval);
        for failures in 0..100 {
            let before = Instant::now();
            server.plan(false);
            let pause = server.next.unwrap() - before;
            let expected = RETRY.saturating_mul(1 << failures.min(10)).min(interval);
            assert!(pause >= expected && pause < expected + RETRY, "after {failures} failures: {pause:?}");
        }
        server.plan(true);
        assert_eq!(server.pause, RETRY);
    }

    #[test]
    fn https_stays_https_and_trusts_what_the_machine_trusts() {
        for (url, https_only) in [("https://a/b", true), ("HTTPS://a/b", true), ("http://a/b", false)] {
            let server = server(url, RETRY);
            assert_eq!(server.agent.config().https_only(), https_only, "{url}");
            assert!(matches!(server.agent.config().tls_config().root_certs(), RootCerts::PlatformVerifier), "{url}");
        }
        let error = ureq::Error::RequireHttpsOnly("http://a/b?token=secret".to_owned());
        assert!(!words(&error).contains("secret"));
    }

    #[test]
    fn what_is_had_already_is_nothing_new() {
        let mut server = server("http://127.0.0.1:1/", RETRY);
        let answer = |text: &str, etag: &str| Answer::Bundle { bytes: text.as_bytes().into(), etag: Some(etag.into()) };
        assert!(server.take(Answer::Unchanged).is_err());
        assert!(server.take(answer("one", "1")).unwrap().is_some());
        assert!(server.take(answer("one", "2")).unwrap().is_none());
        assert_eq!(server.etag.as_deref(), Some("2"));
        assert!(server.take(Answer::Unchanged).unwrap().is_none());
        assert!(server.take(answer("two", "2")).unwrap().is_some());
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (text, shown) in [
            ("https://policies.example/a/b.tar.gz", Some("https://policies.example/a/b.tar.gz")),
            ("HTTPS://user:secret@host:8443/b?token=secret", Some("https://host:8443/b")),
            ("http://[::1]:80", Some("http://[::1]:80/")),
            ("https://", None),
            ("https://host:port/b", None),
            ("https:///b", None),
            ("http://a b/", None),
        ] {
            assert!(BundleUrl::is_meant(text), "{text}");
            let url = text.parse::<BundleUrl>();
            assert_eq!(url.as_ref().map(ToString::to_string).ok().as_deref(), shown, "{text}");
            assert!(!format!("{:?}", url.ok()).contains("secret"), "{text}");
        }
        for text in ["policy/", "bundle.tar.gz", "file:///bundle", "httpx://a", "a/http://b"] {
            assert!(!BundleUrl::is_meant(text), "{text}");
        }
    }
}
