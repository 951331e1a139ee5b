//! Whole policies.

use super::{Kind, Rule, Writer};
use fastrand::Rng;

/// A policy: some rules and functions, and the one that decides.
pub(crate) fn policy(seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut writer = Writer { rng: &mut rng, variables: Vec::new(), rules: Vec::new(), imports: Vec::new(), next: 0 };
    let mut text = String::new();
    for number in 0..writer.rng.usize(..5) {
        text.push_str(&writer.helper(&format!("r{number}")));
        text.push('\n');
    }
    text.push_str(&writer.decision());
    text
}

impl Writer<'_> {
    pub(super) fn helper(&mut self, name: &str) -> String {
        let (text, kind, parameters) = match self.rng.u32(..100) {
            0..25 => (self.flag(name), Kind::Flag, None),
            25..45 => self.value(name),
            45..60 => (self.set(name), Kind::Set, None),
            60..70 => (self.object(name), Kind::Object, None),
            _ => return self.function(name),
        };
        self.rules.push(Rule { name: name.to_owned(), kind, parameters });
        text
    }

    fn some_body(&mut self) -> String {
        let statements = self.rng.usize(1..4);
        self.body(statements)
    }

    /// Several bodies with the same value, perhaps a default.
    fn flag(&mut self, name: &str) -> String {
        let mut text = if self.chance(40) { format!("default {name} := false\n") } else { String::new() };
        for _ in 0..self.rng.usize(1..3) {
            let body = self.scoped(Self::some_body);
            text.push_str(&format!("{name} if {{\n{body}\n}}\n"));
        }
        text
    }

    /// One value, perhaps others after `else`.
    fn value(&mut self, name: &str) -> (String, Kind, Option<Vec<Kind>>) {
        let kind = self.pick(&[Kind::Text, Kind::Number, Kind::Texts, Kind::Any]);
        let chain = self.chain(kind);
        (format!("{name} := {chain}\n"), kind, None)
    }

    fn chain(&mut self, kind: Kind) -> String {
        let mut parts = Vec::new();
        for _ in 0..self.rng.usize(1..4) {
            parts.push(self.scoped(|writer| {
                // Without loops in the body: OPA would find the values of all turns in conflict, if they differ.
                let bindings = writer.rng.usize(..2);
                let mut lines: Vec<String> = Vec::new();
                for _ in 0..bindings {
                    let kind = writer.pick(&[Kind::Text, Kind::Number, Kind::Texts]);
                    let value = writer.expression(kind, 1);
                    let name = writer.fresh("x");
                    writer.variables.push((name.clone(), kind));
                    lines.push(format!("\t{name} := {value}"));
                }
                lines.push(format!("\t{}", writer.condition(2)));
                let value = writer.expression(kind, 2);
                format!("{value} if {{\n{}\n}}", lines.join("\n"))
            }));
        }
        if self.chance(40) {
            parts.push(self.literal(kind));
        }
        parts.join(" else := ")
    }

    fn set(&mut self, name: &str) -> String {
        let mut text = String::new();
        for _ in 0..self.rng.usize(1..3) {
            text.push_str(&self.scoped(|writer| {
                let body = writer.some_body();
                let term = writer.expression(Kind::Text, 1);
                format!("{name} contains {term} if {{\n{body}\n}}\n")
            }));
        }
        text
    }

    fn object(&mut self, name: &str) -> String {
        self.scoped(|writer| {
            let collection = writer.leaf(Kind::Object);
            writer.variables.push(("k".to_owned(), Kind::Text));
            writer.variables.push(("v".to_owned(), Kind::Any));
            let condition = writer.condition(1);
            format!("{name}[k] := v if {{\n\tsome k, v in {collection}\n\t{condition}\n}}\n")
        })
    }

    fn function(&mut self, name: &str) -> String {
        let kinds: Vec<Kind> =
            (0..self.rng.usize(1..3)).map(|_| self.pick(&[Kind::Text, Kind::Number, Kind::Any])).collect();
        let kind = self.pick(&[Kind::Text, Kind::Number, Kind::Flag]);
        let text = self.scoped(|writer| {
            let names: Vec<String> = kinds.iter().map(|_| writer.fresh("a")).collect();
            writer.variables.clone_from(&names.iter().cloned().zip(kinds.iter().copied()).collect());
            let chain = writer.chain(kind);
            format!("{name}({}) := {chain}\n", names.join(", "))
        });
        self.variables.clear();
        self.rules.push(Rule { name: name.to_owned(), kind, parameters: Some(kinds) });
        text
    }

    pub(super) fn decision(&mut self) -> String {
        if self.chance(40) {
            let values: Vec<String> = (0..self.rng.usize(1..4))
                .map(|number| {
                    let kind = self.pick(&[
                        Kind::Text,
                        Kind::Number,
                        Kind::Flag,
                        Kind::Texts,
                        Kind::Set,
                        Kind::Object,
                        Kind::Any,
                    ]);
                    format!("\"v{number}\": {}", self.expression(kind, 3))
                })
                .collect();
            return format!("allow := {{\"allow\": true, {}}}\n", values.join(", "));
        }
        self.flag("allow")
    }
}
