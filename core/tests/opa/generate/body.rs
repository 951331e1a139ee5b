//! Bodies of rules.

use super::{Kind, Writer};

impl Writer<'_> {
    /// Statements, each on a line of its own.
    pub(super) fn body(&mut self, statements: usize) -> String {
        let lines: Vec<String> = (0..statements.max(1)).map(|_| format!("\t{}", self.statement())).collect();
        lines.join("\n")
    }

    fn statement(&mut self) -> String {
        match self.rng.u32(..100) {
            0..40 => self.condition(2),
            40..55 => self.some_in(1),
            55..70 => {
                let kind =
                    self.pick(&[Kind::Text, Kind::Number, Kind::Flag, Kind::Texts, Kind::Set, Kind::Object, Kind::Any]);
                let value = self.expression(kind, 2);
                let name = self.fresh("x");
                self.variables.push((name.clone(), kind));
                format!("{name} := {value}")
            }
            70..76 => {
                let value = self.expression(Kind::Texts, 1);
                let (first, second) = (self.fresh("p"), self.fresh("p"));
                self.variables.push((first.clone(), Kind::Text));
                self.variables.push((second.clone(), Kind::Text));
                let operator = self.pick(&[":=", "="]);
                format!("[{first}, {second}] {operator} {value}")
            }
            76..84 => self.every(),
            84..90 => {
                let (reference, value) = (self.pick(&ITERATED), self.leaf(Kind::Any));
                format!("{reference} == {value}")
            }
            90..95 => {
                let index = self.fresh("i");
                let value = self.leaf(Kind::Text);
                let collection = self.pick(&["input.claims.xs", "input.claims.roles", "input.claims.o", "data.denied"]);
                self.variables.push((index.clone(), Kind::Any));
                format!("some {index}\n\t{collection}[{index}] == {value}")
            }
            _ => format!("not {}", self.expression(Kind::Flag, 2)),
        }
    }

    /// Something that holds or not; no new variables.
    pub(super) fn condition(&mut self, depth: usize) -> String {
        match self.rng.u32(..100) {
            0..45 => self.call(Kind::Flag, depth),
            45..60 => self.comparison(depth),
            60..75 => {
                let negated = match self.rng.u32(..4) {
                    0 => self.comparison(depth),
                    1 => self.leaf(Kind::Any),
                    2 => self.rule_value(Kind::Any, depth).unwrap_or_else(|| self.reference(Kind::Flag)),
                    _ => self.call(Kind::Flag, depth),
                };
                format!("not {negated}")
            }
            75..85 => self.rule_value(Kind::Any, depth).unwrap_or_else(|| self.reference(Kind::Flag)),
            85..95 => self.reference(Kind::Any),
            _ => self.leaf(Kind::Flag),
        }
    }

    fn comparison(&mut self, depth: usize) -> String {
        let kind = self.pick(&[Kind::Text, Kind::Number, Kind::Any, Kind::Texts, Kind::Set]);
        let operator = self.pick(&["==", "!=", "<", "<=", ">", ">="]);
        let reference = self.reference(kind);
        let other = self.expression(kind, depth);
        if other.contains(" in ") || other.contains(" == ") {
            return format!("{reference} {operator} ({other})");
        }
        format!("{reference} {operator} {other}")
    }

    /// `some x in …`, which binds `x`.
    pub(super) fn some_in(&mut self, depth: usize) -> String {
        let kind = self.pick(&Kind::COLLECTIONS);
        let collection = self.expression(kind, depth);
        let value = self.fresh("v");
        let key = self.fresh("k");
        if self.chance(30) {
            let key_kind = if kind == Kind::Object { Kind::Text } else { Kind::Any };
            self.variables.push((key.clone(), key_kind));
            self.variables.push((value.clone(), kind.element()));
            return format!("some {key}, {value} in {collection}");
        }
        self.variables.push((value.clone(), kind.element()));
        format!("some {value} in {collection}")
    }

    fn every(&mut self) -> String {
        let kind = self.pick(&Kind::COLLECTIONS);
        let collection = self.leaf(kind);
        let value = self.fresh("e");
        let conditions = self.scoped(|writer| {
            writer.variables.push((value.clone(), kind.element()));
            let count = writer.rng.usize(1..3);
            let conditions: Vec<String> = (0..count).map(|_| writer.condition(1)).collect();
            conditions.join("; ")
        });
        let first = self.pick(&[
            "E != \"nobody\"; ",
            "\"nobody\" != E; ",
            "`a` != E; ",
            "\"a\" in [E, \"a\"]; ",
            "\"a\" = E; ",
            "not input.claims.o[E]; ",
            "data.roles[E]; ",
            "\"read\" in data.roles[E].permissions; ",
            "",
        ]);
        let first = first.replace('E', &value);
        format!("every {value} in {collection} {{ {first}{conditions} }}")
    }
}

const ITERATED: [&str; 6] = [
    "input.claims.xs[_]",
    "input.claims.os[_].id",
    "input.claims.o[_]",
    "data.people[_].name",
    "data.people[_].teams[_]",
    "data.roles[input.claims.roles[_]].level",
];
