//! `scbte token`: mint, inspect and verify tokens by hand.

mod inspect;
mod mint;
mod verify;

pub(super) use inspect::rules as lenient_rules;

use super::{Output, Result};
use std::io::Read as _;

/// Longest text that is read as a token.
const MAX_INPUT: u64 = 1 << 20;

/// Mint, inspect and verify tokens by hand
#[derive(clap::Subcommand)]
pub(crate) enum TokenCommand {
    Mint(Box<mint::Mint>),
    Inspect(inspect::Inspect),
    Verify(Box<verify::Verify>),
}

impl TokenCommand {
    pub(super) fn execute(self) -> Result<Output> {
        match self {
            Self::Mint(mint) => mint.execute(),
            Self::Inspect(inspect) => inspect.execute(),
            Self::Verify(verify) => verify.execute(),
        }
    }
}

/// A token to look at.
#[derive(clap::Args)]
struct TokenArg {
    /// The token; `-` or nothing reads it from standard input. `Bearer` in front is ignored
    #[arg(value_name = "TOKEN")]
    token: Option<String>,
}

impl TokenArg {
    fn read(self) -> Result<String> {
        let text = match self.token {
            Some(token) if token != "-" => token,
            _ => {
                let mut text = String::new();
                std::io::stdin().take(MAX_INPUT).read_to_string(&mut text)?;
                text
            }
        };
        Ok(bare(&text))
    }
}

/// The token alone: without white space around it, and without `Bearer` in front.
pub(in crate::commands) fn bare(text: &str) -> String {
    let text = text.trim();
    let bare = text.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer "));
    bare.map_or(text, |(_, token)| token.trim()).to_owned()
}
