//! `scbte token mint`: a token from a companion, or one signed with a dev CA for a tester.

use crate::clock;
use crate::commands::{Output, Result, block_on};
use crate::dev_ca::SVID_LIFETIME;
use crate::dev_state::DevCa;
use crate::http_client::{Call, Endpoint};
use crate::minter::{self, TOKEN_LIFETIME, Wanted};
use crate::state::StateDir;
use crate::token_request::Binding;
use crate::words::visible;
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use scbte_core::audience::Audience;
use scbte_core::context::Context;
use scbte_core::spiffe_id::SpiffeId;
use scbte_core::time::Timestamp;
use scbte_core::token;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// A companion's, where nobody moved it.
const ENDPOINT: &str = "http://127.0.0.1:8090";
/// How long a companion may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Mint a token: ask a companion for one, or sign one with a dev CA as any workload
#[derive(clap::Args)]
#[command(after_help = "\
The token is a credential. It goes to standard output and nowhere else.

Examples:
  scbte token mint --aud api.production.svc.cluster.local --ctx read:users
  scbte token mint --dev-ca target/demo \\
      --spiffe-id spiffe://cluster.local/ns/production/sa/api-gateway \\
      --aud api.production.svc.cluster.local --ctx read:users
  … --method GET --path /api/v1/users       bound to one request
  … --iat-offset=-600                       expired: minted ten minutes ago
  … --sub spiffe://cluster.local/other      not the certificate's identity: must be refused")]
pub(crate) struct Mint {
    /// Token API of a companion, http://HOST:PORT or unix:///path
    #[arg(long, value_name = "ENDPOINT", default_value = ENDPOINT)]
    endpoint: String,

    /// State folder of a dev trust domain: sign with a fresh certificate of its CA
    #[arg(long, value_name = "DIR", conflicts_with = "endpoint", requires = "spiffe_id")]
    dev_ca: Option<PathBuf>,

    /// With --dev-ca: the workload to mint as
    #[arg(long, value_name = "ID", requires = "dev_ca")]
    spiffe_id: Option<String>,

    /// The service the token is for; with --dev-ca also several
    #[arg(long, value_name = "AUDIENCE", required = true)]
    aud: Vec<String>,

    /// The operation, verb:resource
    #[arg(long, value_name = "CONTEXT")]
    ctx: String,

    /// Bind the token to this method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,

    /// Bind the token to this path
    #[arg(long, value_name = "PATH")]
    path: Option<String>,

    /// For testers, with --dev-ca: seconds from iat to exp
    #[arg(long, value_name = "SECONDS", requires = "dev_ca", default_value_t = TOKEN_LIFETIME.as_secs(), value_parser = clap::value_parser!(u64).range(1..=86_400))]
    ttl: u64,

    /// For testers, with --dev-ca: seconds that iat lies after now (negative: before)
    #[arg(long, value_name = "SECONDS", requires = "dev_ca", default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-31_536_000..=31_536_000))]
    iat_offset: i64,

    /// For testers, with --dev-ca: the token's ID instead of a random one
    #[arg(long, value_name = "ID", requires = "dev_ca")]
    jti: Option<String>,

    /// For testers, with --dev-ca: another subject than the certificate's
    #[arg(long, value_name = "ID", requires = "dev_ca")]
    sub: Option<String>,
}

impl Mint {
    pub(super) fn execute(self) -> Result<Output> {
        let token = match &self.dev_ca {
            Some(folder) => self.sign(&DevCa::load(&StateDir::open(folder)?)?, clock::now())?,
            None => self.ask(&self.endpoint.parse()?)?,
        };
        Ok(Output::success(token + "\n"))
    }

    fn ask(&self, endpoint: &Endpoint) -> Result<String> {
        let [aud] = self.aud.as_slice() else { return Err("a companion mints for one audience only".into()) };
        let mut body = Map::from_iter([("aud".into(), aud.as_str().into()), ("ctx".into(), self.ctx.as_str().into())]);
        for (name, value) in [("method", &self.method), ("path", &self.path)] {
            body.extend(value.as_ref().map(|value| (name.to_owned(), value.as_str().into())));
        }
        let body = Some(("application/json", Bytes::from(Value::Object(body).to_string())));
        let call = Call { method: Method::POST, path: "/token", body };
        let answer = block_on(endpoint.call(call, TIMEOUT))?.map_err(|error| {
            format!("{error}; is a companion running (`scbte run`)? --endpoint names another, --dev-ca needs none")
        })?;
        let members: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status, members["token"].as_str()) {
            (StatusCode::OK, Some(token)) => Ok(token.to_owned()),
            (status, _) => Err(format!("{endpoint} answers {status}: {}", refusal(&members)).into()),
        }
    }

    fn sign(&self, ca: &DevCa, now: Timestamp) -> Result<String> {
        let id = SpiffeId::parse(self.spiffe_id.as_deref().ok_or("`--spiffe-id` is missing")?)?;
        let sub = self.sub.as_deref().map(SpiffeId::parse).transpose()?;
        let svid = ca.active.issue(&id, now, SVID_LIFETIME)?;
        let iat = now.secs().saturating_add_signed(self.iat_offset);
        let claims = minter::claims(&Wanted {
            sub: sub.as_ref().unwrap_or(&id),
            aud: audience_claim(&self.aud)?,
            ctx: &Context::parse(&self.ctx)?,
            iat,
            exp: iat + self.ttl,
            jti: &self.jti.clone().map_or_else(minter::new_jti, Ok)?,
            binding: &Binding::new(self.method.as_deref(), self.path.as_deref())?,
        });
        Ok(token::sign::token(&claims, svid.chain(), svid.kid(), svid.key()))
    }
}

/// A string for one audience, an array for several (RFC 7519 §4.1.3).
fn audience_claim(names: &[String]) -> Result<Value> {
    for name in names {
        Audience::parse(name)?;
    }
    Ok(match names {
        [one] => json!(one),
        several => json!(several),
    })
}

fn refusal(members: &Value) -> String {
    let text = |name: &str| visible(members[name].as_str().unwrap_or("?"));
    format!("{}: {}", text("error"), text("detail"))
}
