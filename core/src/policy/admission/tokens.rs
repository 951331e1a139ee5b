//! Text that is dangerous to parse.
//!
//! regorus' parser reads brackets inside brackets again and again, twice as often for each level; a long chain of
//! operators or look-ups becomes a tree as deep, which later overflows the stack; and a number with a huge exponent
//! becomes a huge integer. So the tokens are counted before the parser sees them.

use super::super::error::{AdmissionError, Refusal};
use super::syntax::located;
use regorus::unstable::{Lexer, Source, Span, TokenKind};
use std::fmt::Display;
use std::num::NonZeroU32;

/// Brackets inside one another.
const MAX_NESTING: usize = 10;
/// Operators and look-ups in one expression, with those around the brackets that it is in: the tree is as deep.
const MAX_CHAIN: usize = 64;

/// How often the brackets of all modules are read, at most: about as many microseconds.
const MAX_READS: usize = 200_000;

/// Refuses text beyond the bounds. `reads` is how often brackets were read in the modules before.
pub(super) fn check(source: &Source, columns: NonZeroU32, reads: &mut usize) -> Result<(), AdmissionError> {
    let mut lexer = Lexer::new(source);
    lexer.set_max_col(columns);
    let mut chains = Chains { reads, nesting: 0, open: vec![Level::default()], line: 1, after_operand: false };
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

/// What is read of the expressions that are open: one for each bracket.
struct Chains<'a> {
    reads: &'a mut usize,
    /// Brackets that are open and are read again and again: those of calls and around expressions are not.
    nesting: u32,
    open: Vec<Level>,
    line: u32,
    after_operand: bool,
}

/// An expression between brackets.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Its operators and look-ups: each may have all that is before it below it in the tree.
    chain: usize,
    /// The most that there is in a bracket of it.
    inside: usize,
    /// The most that there was in the expressions before it, in the same brackets.
    before: usize,
    /// Whether its brackets are read again and again.
    repeated: bool,
}

impl Level {
    fn depth(self) -> usize {
        self.before.max(self.chain.saturating_add(self.inside))
    }
}

impl Chains<'_> {
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
                let repeated = matches!(symbol, "[" | "{");
                if repeated {
                    self.nesting = self.nesting.saturating_add(1);
                    *self.reads = self.reads.saturating_add(1_usize.checked_shl(self.nesting).unwrap_or(usize::MAX));
                    if *self.reads > MAX_READS {
                        let what = "brackets in all modules, each counted twice for each that it is in";
                        return Err(Refusal::TooMuch { what, found: *self.reads, limit: MAX_READS });
                    }
                }
                self.open.push(Level { repeated, ..Level::default() });
                let found = self.open.len().saturating_sub(1);
                if found > MAX_NESTING {
                    let what = "brackets inside one another";
                    return Err(Refusal::TooMuch { what, found, limit: MAX_NESTING });
                }
                self.after_operand = false;
            }
            "]" | ")" | "}" => {
                if self.open.len() > 1 {
                    let closed = self.open.pop().unwrap_or_default();
                    let depth = closed.depth();
                    self.nesting = self.nesting.saturating_sub(u32::from(closed.repeated));
                    self.open.last_mut().into_iter().for_each(|level| level.inside = level.inside.max(depth));
                    self.check_depth()?;
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
        if let Some(level) = self.open.last_mut() {
            *level = Level { before: level.depth(), repeated: level.repeated, ..Level::default() };
        }
        self.after_operand = false;
    }

    fn extend(&mut self) -> Result<(), Refusal> {
        self.after_operand = false;
        self.open.last_mut().into_iter().for_each(|level| level.chain = level.chain.saturating_add(1));
        self.check_depth()
    }

    fn check_depth(&self) -> Result<(), Refusal> {
        let around = self.open.iter().map(|level| level.chain).fold(0, usize::saturating_add);
        let found = around.saturating_add(self.open.last().map_or(0, |level| level.inside));
        if found > MAX_CHAIN {
            let what = "operators and look-ups in one expression";
            return Err(Refusal::TooMuch { what, found, limit: MAX_CHAIN });
        }
        Ok(())
    }
}

/// Whole, and no larger than those of the input. OPA prints `-0` as it was written.
fn check_number(text: &str) -> Result<(), Refusal> {
    let whole = text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok_and(|number| number != 0);
    if whole { Ok(()) } else { Err(Refusal::Number(text.chars().take(40).collect())) }
}
