//! What the filter would give to a policy: from a token and the words for a request, or from a document.

use crate::commands::{Result, Usage, token};
use crate::words::{relative, utc, visible};
use scbte_core::audience::Audience;
use scbte_core::json;
use scbte_core::path::RequestPath;
use scbte_core::policy::tools::document;
use scbte_core::policy::{Input, Member, Uses};
use scbte_core::time::Timestamp;
use scbte_core::token::Token;
use serde_json::{Map, Value};
use std::io::Read as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// An `input` with what must be said about it.
pub(super) struct Document {
    /// The document.
    pub(super) members: Map<String, Value>,
    /// What was not verified, or is not as the filter does it.
    notes: Vec<String>,
    /// What was filled in.
    filled: Vec<Member>,
}

/// Longest document or token that is read.
const MAX_INPUT: u64 = 4 << 20;
/// Nesting of a document, at most.
const MAX_DEPTH: u8 = 18;

/// Parses a moment, for a command line: RFC 3339.
pub(super) fn moment(text: &str) -> std::result::Result<Timestamp, String> {
    let time =
        humantime::parse_rfc3339_weak(text).map_err(|_| "expected a moment like 2026-01-31T12:00:00Z".to_owned())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| "expected a moment after 1970".to_owned())?;
    Ok(Timestamp::default().plus(since))
}

impl Document {
    /// Reads an `input` as JSON; `-` is standard input. What the filter always sets is filled in where it is missing.
    pub(super) fn read(path: &Path, now: Timestamp, as_is: bool) -> Result<Self> {
        let text = read_text(path)?;
        let value = json::parse_within(text.as_bytes(), MAX_DEPTH)
            .map_err(|error| Usage::new(format!("{}: {error}", name(path))))?;
        let Value::Object(members) = value else {
            let found = json::kind(&value);
            return Err(Usage::new(format!("{}: found {found}, expected an object", name(path))).into());
        };
        let mut document = Self { members, notes: Vec::new(), filled: Vec::new() };
        document.note_unknown();
        if !as_is {
            document.fill_in(now);
        }
        Ok(document)
    }

    fn note_unknown(&mut self) {
        let known = Member::ALL.map(Member::name);
        let unknown: Vec<String> = self
            .members
            .keys()
            .filter(|member| !known.contains(&member.as_str()))
            .map(|member| format!("`{}`", visible(member)))
            .collect();
        if !unknown.is_empty() {
            self.notes.push(format!("the filter never sets {}", unknown.join(", ")));
        }
    }

    fn fill_in(&mut self, now: Timestamp) {
        let text = |member: &str| self.members.get(member).and_then(Value::as_str);
        let segments = |path: &str| path.strip_prefix('/').unwrap_or(path).split('/').map(Value::from).collect();
        let trust_domain = |sub: &str| Some(Value::from(sub.strip_prefix("spiffe://")?.split('/').next()?));
        let derived = [
            (Member::Timestamp, Some(Value::from(now.millis()))),
            (Member::PathSegments, text("path").map(segments)),
            (Member::TrustDomain, text("sub").and_then(trust_domain)),
        ];
        for (member, value) in derived {
            if let (Some(value), false) = (value, self.members.contains_key(member.name())) {
                self.members.insert(member.name().to_owned(), value);
                self.filled.push(member);
            }
        }
    }

    /// What must be said about it to somebody whose policy uses these members.
    pub(super) fn notes(&self, uses: &Uses) -> Vec<String> {
        let filled = self.filled.iter().filter(|member| uses.has(**member));
        let filled: Vec<String> = filled.map(|member| format!("`{}`", member.name())).collect();
        let mut notes = self.notes.clone();
        let headers = self.members.get(Member::Headers.name()).and_then(Value::as_object);
        if uses.has(Member::Headers) && headers.is_some_and(|headers| !headers.is_empty()) {
            notes.push("the filter hands on only the headers that `policy.headers` names".to_owned());
        }
        if !filled.is_empty() {
            notes.push(format!("filled in as the filter would: {} (--as-is leaves it out)", filled.join(", ")));
        }
        notes
    }
}

/// A request in words.
#[derive(clap::Args)]
pub(super) struct RequestArgs {
    /// The token of the request; `-` reads it from standard input. Its signature is not checked
    #[arg(long, value_name = "TOKEN", requires_all = ["method", "path"], conflicts_with = "input")]
    token: Option<String>,

    /// The request's method
    #[arg(long, value_name = "METHOD", requires = "token")]
    method: Option<String>,

    /// The request's path, with its query
    #[arg(long, value_name = "PATH", requires = "token")]
    path: Option<String>,

    /// The service's audience; by default the token's first
    #[arg(long, value_name = "AUDIENCE", requires = "token")]
    aud: Option<String>,

    /// The request's host
    #[arg(long, value_name = "HOST", requires = "token", default_value = "")]
    host: String,

    /// A header that `policy.headers` names, as `name: value`; repeat for several
    #[arg(long, value_name = "HEADER", requires = "token", value_parser = header)]
    header: Vec<(String, String)>,

    /// The peer's address
    #[arg(long, value_name = "ADDRESS", requires = "token")]
    source_address: Option<String>,

    /// The SPIFFE ID of the peer's certificate
    #[arg(long, value_name = "ID", requires = "token")]
    peer_spiffe_id: Option<String>,

    /// The filter's `path.allow_encoded_slash`
    #[arg(long, requires = "token")]
    allow_encoded_slash: bool,
}

fn header(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected `name: value`")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

impl RequestArgs {
    /// The `input` that the filter would make of the request.
    pub(super) fn document(&self, now: Timestamp) -> Result<Document> {
        let text = self.token_text()?;
        let token = Token::parse(&text, &token::lenient_rules(&text))
            .map_err(|error| Usage::new(format!("this is no SCBTE token: {}", visible(&error.to_string()))))?;
        let target = self.path.as_deref().unwrap_or_default().as_bytes();
        let path = RequestPath::parse(target, self.allow_encoded_slash).map_err(|error| {
            Usage::new(format!(
                "the filter answers 400 before the policy is asked: {error}; where Envoy normalises paths first \
                     (`//`, `..`, `%37`), give the path that it makes of it"
            ))
        })?;
        let claims = &token.claims;
        let aud = self.aud.clone().or_else(|| claims.aud.iter().next().map(|first| first.as_str().to_owned()));
        let headers: Vec<(&str, &[u8])> =
            self.header.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let query = path.query().map(String::from_utf8_lossy);
        let input = Input {
            sub: claims.sub.as_str(),
            ctx: claims.ctx.as_str(),
            aud: aud.as_deref().unwrap_or_default(),
            method: self.method.as_deref().unwrap_or_default(),
            path: path.path(),
            trust_domain: claims.sub.trust_domain().as_str(),
            query: query.as_deref(),
            host: &self.host,
            headers: &headers,
            claims: &claims.text,
            source_address: self.source_address.as_deref(),
            peer_spiffe_id: self.peer_spiffe_id.as_deref(),
        };
        let members = document(&input, now)?;
        Ok(Document { members, notes: self.notes(&token, path.path(), now), filled: Vec::new() })
    }

    fn token_text(&self) -> Result<String> {
        let text = match self.token.as_deref() {
            Some("-") | None => read_text(Path::new("-"))?,
            Some(text) => text.to_owned(),
        };
        Ok(token::bare(&text))
    }

    /// What the filter would refuse before it asks the policy.
    fn notes(&self, token: &Token<'_>, path: &str, now: Timestamp) -> Vec<String> {
        let claims = &token.claims;
        let rules = scbte_core::token::TokenRules::default();
        let mut notes =
            vec!["the token's signature and chain were NOT CHECKED (`scbte token verify` does that)".to_owned()];
        let mut first_401 = |error: Option<String>| {
            notes.extend(error.map(|error| format!("the filter would answer 401 before it asks the policy: {error}")));
        };
        let exp = Timestamp::from_secs(claims.exp);
        let expired = |error| format!("{error} (expires {}, {})", utc(exp), relative(exp, now));
        first_401(claims.check_time(rules.clock_skew, now).err().map(expired));
        let audience = self.aud.as_deref().map(Audience::parse);
        first_401(match audience {
            Some(Ok(audience)) => claims.check_audience(&[audience]).err().map(|error| error.to_string()),
            Some(Err(error)) => Some(error.to_string()),
            None => None,
        });
        let method = self.method.as_deref().unwrap_or_default();
        first_401(claims.check_binding(method, path, false).err().map(|error| error.to_string()));
        notes
    }
}

fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { format!("`{}`", path.display()) }
}

fn read_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_INPUT).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT).read_to_string(&mut text))
    };
    read.map_err(|error| Usage::new(format!("{}: {error}", name(path))))?;
    Ok(text)
}
