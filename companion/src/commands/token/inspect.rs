//! `scbte token inspect`: what a token says, in plain words. It verifies nothing, and says so loudly.

use super::TokenArg;
use crate::certificate_summary::CertificateSummary;
use crate::clock;
use crate::commands::{Output, Result};
use crate::words::{self, relative, utc, visible};
use scbte_core::base64;
use scbte_core::time::Timestamp;
use scbte_core::token::{Claims, Token, TokenRules};
use serde_json::Value;
use std::time::Duration;

const WARNING: &str = "NOTHING HERE IS VERIFIED: anybody can write such a token. `scbte token verify` checks one.\n\n";

/// Say in plain words what is in a token. Verifies nothing
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  scbte token inspect eyJ…
  scbte token mint … | scbte token inspect")]
pub(crate) struct Inspect {
    #[command(flatten)]
    token: TokenArg,
}

impl Inspect {
    pub(super) fn execute(self) -> Result<Output> {
        Ok(describe(&self.token.read()?, clock::now()))
    }
}

/// Lenient where it costs nothing: a token that services refuse for its size or type can still be read.
pub(in crate::commands) fn rules(text: &str) -> TokenRules {
    TokenRules {
        accept_typ: vec![scbte_core::token::TYPE.to_owned(), "JWT".to_owned()],
        max_size: text.len(),
        max_lifetime: Duration::MAX,
        ..TokenRules::default()
    }
}

fn describe(text: &str, now: Timestamp) -> Output {
    match Token::parse(text, &rules(text)) {
        Ok(token) => Output::success(format!("{WARNING}{}", words_of(text, &token, now))),
        Err(error) => {
            let parts = raw(text);
            Output {
                text: format!("{WARNING}no SCBTE token: {}\n{parts}", visible(&error.to_string())),
                success: false,
            }
        }
    }
}

fn words_of(text: &str, token: &Token<'_>, now: Timestamp) -> String {
    let claims = &token.claims;
    let audiences = claims.aud.iter().map(|name| visible(name.as_str())).collect::<Vec<_>>().join(", ");
    format!(
        "caller     {}\nfor        {audiences}\noperation  {}\nbound to   {}\nminted     {}, {}\nexpires    {}, {}{}\nid         {}\nsize       {} bytes\nchain      {}\n{}",
        claims.sub,
        claims.ctx.as_str(),
        binding(claims),
        utc(Timestamp::from_secs(claims.iat)),
        relative(Timestamp::from_secs(claims.iat), now),
        utc(Timestamp::from_secs(claims.exp)),
        relative(Timestamp::from_secs(claims.exp), now),
        if claims.exp <= now.secs() { " (EXPIRED)" } else { "" },
        claims.jti,
        text.len(),
        words::count(token.x5c.len(), "certificate, the leaf", "certificates, the leaf first"),
        chain(&token.x5c, now),
    )
}

fn binding(claims: &Claims) -> String {
    match (claims.htm.as_deref().map(visible), claims.htp.as_deref().map(visible)) {
        (None, None) => "any method, any path".to_owned(),
        (Some(method), None) => format!("{method}, any path"),
        (None, Some(path)) => format!("any method, {path}"),
        (Some(method), Some(path)) => format!("{method} {path}"),
    }
}

fn chain(x5c: &[String], now: Timestamp) -> String {
    let summary = |(index, text): (usize, &String)| {
        let der = base64::decode_standard(text).ok();
        let summary = der.and_then(|der| CertificateSummary::of(&der)).map(|summary| summary.lines("     ", now));
        let summary = summary.unwrap_or_else(|| "     no certificate\n".to_owned());
        format!("  {}. {}", index + 1, summary.trim_start())
    };
    x5c.iter().enumerate().map(summary).collect()
}

/// What can be read of something that is no token.
fn raw(text: &str) -> String {
    let readable = |part: &str| {
        let bytes = base64::decode_url(part).ok()?;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        serde_json::to_string_pretty(&value).ok()
    };
    let parts = text.split('.').zip(["header", "claims"]);
    let lines = parts.filter_map(|(part, name)| readable(part).map(|json| format!("\n{name}\n{json}\n")));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_secs(1_000_012);

    fn token(header: Value, claims: Value) -> String {
        [base64::encode_url(header.to_string()), base64::encode_url(claims.to_string()), "AAAA".into()].join(".")
    }

    fn claims() -> Value {
        json!({"sub": "spiffe://td/a", "aud": ["api", "b"], "ctx": "read:users", "jti": "id-1", "htm": "GET",
            "iat": 1_000_000, "exp": 1_000_300})
    }

    #[test]
    fn a_token_is_told_in_words_and_never_believed() {
        let header = json!({"alg": "ES256", "typ": "scbte+jwt", "x5c": ["AQ=="]});
        let output = describe(&token(header, claims()), NOW);
        assert!(output.success);
        for part in [
            "NOTHING HERE IS VERIFIED",
            "caller     spiffe://td/a",
            "for        api, b",
            "operation  read:users",
            "bound to   GET, any path",
            "12s ago",
            "in 4m 48s",
            "id         id-1",
            "1 certificate, the leaf",
            "no certificate",
        ] {
            assert!(output.text.contains(part), "{part}: {}", output.text);
        }
    }

    #[test]
    fn what_is_no_token_is_shown_as_far_as_it_can_be_read() {
        let output = describe(&token(json!({"alg": "HS256", "typ": "JWT"}), claims()), NOW);
        assert!(!output.success);
        for part in ["no SCBTE token: `alg` must be `ES256`", "\"HS256\"", "\"spiffe://td/a\""] {
            assert!(output.text.contains(part), "{part}: {}", output.text);
        }
        let nothing = describe("\u{1b}[31m", NOW);
        assert!(!nothing.success && !nothing.text.contains('\u{1b}'));
    }
}
