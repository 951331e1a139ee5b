//! Policies and inputs by chance, from a seed: the same ones on each run.
//!
//! The policies are well-formed and mostly of sensible types, so that they are admitted and decide something; the
//! members of the input that they look at may be missing or of any type.

mod body;
mod expression;
mod input;
mod mutation;
mod packages;
mod rules;

pub(crate) use input::inputs;
pub(crate) use mutation::mutated;
pub(crate) use packages::packages;
pub(crate) use rules::policy;

use fastrand::Rng;

/// What a policy being written has in scope.
struct Writer<'a> {
    rng: &'a mut Rng,
    /// Variables that are bound, and what they probably hold.
    variables: Vec<(String, Kind)>,
    /// Rules and functions that may be referred to.
    rules: Vec<Rule>,
    /// Imports, and what they probably are.
    imports: Vec<(String, Kind)>,
    /// For names that nobody else uses.
    next: usize,
}

/// What an expression should give. Now and then it gives something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Flag,
    Texts,
    Numbers,
    Object,
    Objects,
    Set,
    Any,
}

impl Kind {
    const SCALARS: [Self; 3] = [Self::Text, Self::Number, Self::Flag];
    const COLLECTIONS: [Self; 5] = [Self::Texts, Self::Numbers, Self::Object, Self::Objects, Self::Set];

    /// What is in a collection.
    const fn element(self) -> Self {
        match self {
            Self::Texts | Self::Set => Self::Text,
            Self::Numbers | Self::Object => Self::Number,
            Self::Objects => Self::Object,
            _ => Self::Any,
        }
    }
}

/// A rule that later rules may refer to.
#[derive(Clone)]
struct Rule {
    name: String,
    kind: Kind,
    /// Parameters, for a function.
    parameters: Option<Vec<Kind>>,
}

impl Writer<'_> {
    /// True so many times out of a hundred.
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.rng.usize(..items.len())].clone()
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.next += 1;
        if self.chance(2) {
            return self.pick(&["r0", "every_e2", "h0"]).to_owned();
        }
        format!("{prefix}{}", self.next)
    }

    /// Runs with what is bound inside forgotten afterwards.
    fn scoped<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.variables.len();
        let written = write(self);
        self.variables.truncate(outside);
        written
    }
}
