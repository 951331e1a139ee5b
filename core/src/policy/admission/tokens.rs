//! Text that is dangerous to parse.
//!
//! regorus' parser reads brackets inside brackets again and again, twice as often for each level; a long chain of
//! operators or look-ups becomes a tree as deep, which later overflows the stack; and a number with a huge exponent
//! becomes a huge integer. So the tokens are counted before the parser sees them.

use super::super::error::{AdmissionError, Refusal};
use super::syntax::located;
use regorus::unstable::{Lexer, Source, Span, TokenKind};
use std::fmt::Display;

/// Brackets inside one another.
const MAX_NESTING: usize = 10;
/// Operators and look-ups in one expression.
const MAX_CHAIN: usize = 64;

/// Refuses text beyond the bounds.
pub(super) fn check(source: &Source) -> Result<(), AdmissionError> {
    let mut lexer = Lexer::new(source);
    let mut chains = Chains { open: vec![0], line: 1, after_operand: false };
    loop {
        let token = lexer.next_token().map_err(|error| unreadable(&error))?;
        if token.0 == TokenKind::Eof {
            return Ok(());
        }
        chains.read(&token.0, &token.1).map_err(|refusal| refusal.at(&token.1))?;
    }
}

/// A letter that begins no token; OPA's templates are the ones that authors know of.
fn unreadable(error: &impl Display) -> AdmissionError {
    let mut error = located(error, Refusal::Syntax);
    let column = error.place.as_ref().and_then(|place| usize::try_from(place.column).ok()?.checked_sub(1));
    let first = error.place.as_ref().zip(column).and_then(|(place, column)| place.text.chars().nth(column));
    if first == Some('$') {
        error.refusal = Refusal::Unsupported { construct: "a template string is", advice: "write `sprintf`" };
    }
    error
}

/// The length of the current expression's chain, for each bracket that is open.
struct Chains {
    open: Vec<usize>,
    line: u32,
    after_operand: bool,
}

impl Chains {
    fn read(&mut self, kind: &TokenKind, span: &Span) -> Result<(), Refusal> {
        let text = span.text();
        match kind {
            TokenKind::Symbol => self.read_symbol(text)?,
            TokenKind::Ident if text == "in" => self.extend()?,
            TokenKind::Number => {
                check_number(text)?;
                // `a -1` is a subtraction.
                if self.after_operand && text.starts_with('-') { self.extend()? } else { self.operand(span) }
            }
            _ => self.operand(span),
        }
        self.line = span.line;
        Ok(())
    }

    fn read_symbol(&mut self, symbol: &str) -> Result<(), Refusal> {
        match symbol {
            "[" | "(" | "{" | "set(" => {
                if symbol != "{" {
                    self.extend()?;
                }
                self.open.push(0);
                let found = self.open.len().saturating_sub(1);
                if found > MAX_NESTING {
                    let what = "brackets inside one another";
                    return Err(Refusal::TooMuch { what, found, limit: MAX_NESTING });
                }
                self.after_operand = false;
            }
            "]" | ")" | "}" => {
                if self.open.len() > 1 {
                    self.open.pop();
                }
                self.after_operand = true;
            }
            "," | ";" | ":" => self.restart(),
            _ => self.extend()?,
        }
        Ok(())
    }

    /// An operand after an operand on an earlier line begins another expression.
    fn operand(&mut self, span: &Span) {
        if self.after_operand && span.line != self.line {
            self.restart();
        }
        self.after_operand = true;
    }

    fn restart(&mut self) {
        if let Some(chain) = self.open.last_mut() {
            *chain = 0;
        }
        self.after_operand = false;
    }

    fn extend(&mut self) -> Result<(), Refusal> {
        self.after_operand = false;
        let Some(chain) = self.open.last_mut() else { return Ok(()) };
        *chain = chain.saturating_add(1);
        if *chain > MAX_CHAIN {
            let what = "operators and look-ups in one expression";
            return Err(Refusal::TooMuch { what, found: *chain, limit: MAX_CHAIN });
        }
        Ok(())
    }
}

/// Whole, and no larger than those of the input.
fn check_number(text: &str) -> Result<(), Refusal> {
    let whole = text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok();
    if whole { Ok(()) } else { Err(Refusal::Number(text.chars().take(40).collect())) }
}
