//! Expressions.

use super::{Kind, Writer};

impl Writer<'_> {
    /// An expression, nested at most so deep.
    pub(super) fn expression(&mut self, kind: Kind, depth: usize) -> String {
        if self.chance(6) {
            // Of another type, by a reference: OPA's compiler knows the types of all else.
            let other = self.pick(&[Kind::Text, Kind::Number, Kind::Texts, Kind::Object]);
            return self.reference(other);
        }
        match self.rng.u32(..100) {
            _ if depth == 0 => self.leaf(kind),
            0..35 => self.leaf(kind),
            35..80 => self.call(kind, depth - 1),
            80..88 => self.rule_value(kind, depth - 1).unwrap_or_else(|| self.leaf(kind)),
            _ => self.composed(kind, depth - 1),
        }
    }

    /// A literal, a variable, or a reference.
    pub(super) fn leaf(&mut self, kind: Kind) -> String {
        if self.chance(35)
            && let Some(variable) = self.variable(kind)
        {
            return variable;
        }
        if self.chance(25) { self.literal(kind) } else { self.reference(kind) }
    }

    pub(super) fn variable(&mut self, kind: Kind) -> Option<String> {
        let known = self.variables.iter().chain(&self.imports);
        let fitting = known.filter(|(_, held)| *held == kind || kind == Kind::Any);
        let names: Vec<String> = fitting.map(|(name, _)| name.clone()).collect();
        let objects = self.variables.iter().filter(|(_, held)| *held == Kind::Object);
        let members: Vec<String> = objects.flat_map(|(name, _)| [format!("{name}.id"), format!("{name}.n")]).collect();
        if !members.is_empty() && matches!(kind, Kind::Text | Kind::Number | Kind::Any) && self.chance(40) {
            return Some(self.pick(&members));
        }
        if names.is_empty() { None } else { Some(self.pick(&names)) }
    }

    #[rustfmt::skip]
    pub(super) fn literal(&mut self, kind: Kind) -> String {
        let texts = [
            "\"a\"", "\"b\"", "\"alice\"", "\"al\"", "\"admin\"", "\"reader\"", "\"x\"", "\"\"", "\"1\"", "\"é\"",
            "\"/api\"", "\"GET\"", "\"read:users\"",
        ];
        let numbers = ["0", "1", "2", "3", "5", "7", "-1", "100"];
        match kind {
            Kind::Text => self.pick(&texts).to_owned(),
            Kind::Number => self.pick(&numbers).to_owned(),
            Kind::Flag => self.pick(&["true", "false"]).to_owned(),
            Kind::Texts => self.pick(&["[\"a\", \"b\"]", "[\"admin\"]", "[]", "[\"b\", \"a\", \"b\"]"]).to_owned(),
            Kind::Numbers => self.pick(&["[1, 2, 3]", "[3]", "[]", "[2, 2]", "[0, -1]"]).to_owned(),
            Kind::Object => self.pick(&["{\"x\": 1}", "{}", "{\"x\": 1, \"y\": 2}", "{\"n\": 1, \"id\": \"a\"}"]).to_owned(),
            Kind::Objects => self.pick(&["[{\"id\": \"a\", \"n\": 1}]", "[]", "[{\"n\": 2}, {\"id\": \"b\"}]"]).to_owned(),
            Kind::Set => self.pick(&["{\"a\", \"b\"}", "set()", "{\"admin\"}", "{\"x\", \"\"}"]).to_owned(),
            Kind::Any => {
                let kind = self.pick(&Kind::SCALARS);
                if self.chance(10) { "null".to_owned() } else { self.literal(kind) }
            }
        }
    }

    #[rustfmt::skip]
    pub(super) fn reference(&mut self, kind: Kind) -> String {
        let references: &[&str] = match kind {
            Kind::Text => &[
                "input.claims.s", "input.claims.t", "input.method", "input.path", "input.sub", "input.ctx",
                "input.claims.xs[0]", "input.claims.roles[1]", "input.query.page[0]", "input.headers[\"x-team\"]",
                "input.source.address", "data.denied[0]", "data.people[0].name", "input.path_segments[0]",
            ],
            Kind::Number => &[
                "input.claims.a", "input.claims.b", "input.claims.n", "input.claims.m", "input.claims.ns[0]",
                "input.claims.o.x", "data.limits.max", "data.limits.min", "data.roles.reader.level", "data.matrix[0][1]",
                "input.claims.oo.p.q.r", "input.claims.os[0].n",
            ],
            Kind::Flag => &[
                "input.claims.flag", "input.claims.off", "data.flags.on", "data.flags.off", "input.claims.os[1].bad",
                "data.flags.none",
            ],
            Kind::Texts => &[
                "input.claims.xs", "input.claims.ys", "input.claims.roles", "data.denied", "input.path_segments",
                "data.grants[input.sub]", "data.roles.admin.permissions", "input.query.page",
            ],
            Kind::Numbers => &["input.claims.ns", "data.matrix[0]", "input.claims.oo.l"],
            Kind::Object => &[
                "input.claims.o", "data.limits", "input.claims.oo", "input.query", "data.roles", "input.claims.os[0]",
                "data.people[1]", "input.headers",
            ],
            Kind::Objects => &["input.claims.os", "data.people", "input.claims.oo.l"],
            Kind::Set | Kind::Any => &[
                "input.claims.missing", "input.claims.none", "input.claims.a", "input.claims.s", "input.claims.xs",
                "input.claims.o", "data.flags.none", "data.missing.deeper", "input.missing",
            ],
        };
        let mut reference = self.pick(references).to_owned();
        if self.chance(4) {
            reference = format!("{reference}.missing");
        }
        if self.chance(4) {
            reference = "input.claims.missing".to_owned();
        }
        reference
    }

    /// The value of a rule, or of a function.
    pub(super) fn rule_value(&mut self, kind: Kind, depth: usize) -> Option<String> {
        let fitting = self.rules.iter().filter(|rule| rule.kind == kind || kind == Kind::Any);
        let fitting: Vec<_> = fitting.cloned().collect();
        if fitting.is_empty() {
            return None;
        }
        let rule = self.pick(&fitting);
        let Some(parameters) = rule.parameters.filter(|_| !self.chance(1)) else { return Some(rule.name) };
        let arguments: Vec<String> = parameters.into_iter().map(|kind| self.expression(kind, depth.min(1))).collect();
        Some(format!("{}({})", rule.name, arguments.join(", ")))
    }

    /// A builtin function or an operator.
    #[rustfmt::skip]
    pub(super) fn call(&mut self, kind: Kind, depth: usize) -> String {
        let forms: &[&str] = match kind {
            Kind::Text => &[
                "lower(T)", "upper(T)", "concat(\",\", L)", "concat(\"\", S)", "trim(T, T)", "trim_space(T)",
                "trim_prefix(T, T)", "trim_suffix(T, T)", "trim_left(T, T)", "trim_right(T, T)", "substring(T, N, N)",
                "replace(T, \"a\", \"b\")", "sprintf(\"%s-%v\", [T, A])", "sprintf(\"%v\", [A])", "sprintf(\"%d\", [N])",
                "strings.reverse(T)", "split(T, \"/\")[1]", "format_int(N, 10)", "base64.encode(T)",
                "base64url.encode_no_pad(T)", "hex.encode(T)", "type_name(A)", "object.get(O, T, T)", "min(L)", "max(L)",
                "regex.replace(T, `[a-c]`, \"_\")", "regex.find_n(`[a-z]+`, T, 1)[0]", "object.get(input.claims, [\"o\", T], T)",
                "array.concat(L, L)[0]", "data.roles[T].permissions[0]", "O[T]", "base64.decode(base64.encode(T))",
            ],
            Kind::Number => &[
                "count(L)", "count(S)", "count(O)", "count(T)", "N + N", "N - N", "N * N", "N % N", "(N + N) * N", "N / 1",
                "abs(N)", "max(M)", "min(M)", "sum(M)", "product(M)", "indexof(T, \"a\")", "to_number(\"12\")",
                "object.get(O, T, N)", "bits.and(N, N)", "bits.or(N, N)", "bits.xor(N, N)", "bits.lsh(N, 2)", "bits.rsh(N, 1)",
                "round(N)", "floor(N)", "ceil(N)", "strings.count(T, T)", "data.roles[T].level", "O[T]", "M[N]",
                "data.limits[T]", "bits.negate(N)", "count(A)", "time.now_ns() - time.now_ns()",
            ],
            Kind::Flag => &[
                "startswith(T, T)", "endswith(T, T)", "contains(T, T)", "T in L", "T in S", "N in M", "is_string(A)",
                "is_number(A)", "is_array(A)", "is_object(A)", "is_set(A)", "is_null(A)", "is_boolean(A)", "N > N", "N <= N",
                "T == T", "A != A", "T < T", "A >= A", "L == L", "O == O", "S == S", "M < M",
                "regex.match(`^[a-z]+$`, T)", r"regex.match(`^\w*$`, T)", "regex.match(`(a|b)+c?`, T)",
                "glob.match(\"a*\", [], T)", "glob.match(\"/api/*\", [\"/\"], T)", "glob.match(\"*:users\", [\":\"], T)",
                "net.cidr_contains(\"10.0.0.0/8\", T)", "strings.any_prefix_match(T, L)", "strings.any_suffix_match(L, T)",
                "object.get(O, \"x\", F)", "object.subset(O, O)", "object.subset(L, L)", "net.cidr_is_valid(T)", "A in A",
            ],
            Kind::Texts => &[
                "split(T, \"/\")", "split(T, T)", "array.concat(L, L)", "array.reverse(L)", "array.slice(L, N, N)", "sort(L)",
                "[T, T]", "regex.find_n(`[a-z]`, T, -1)", "regex.split(`[/:]`, T)", "sort(S)",
            ],
            Kind::Numbers => &["[N, N]", "sort(M)", "array.concat(M, M)", "array.slice(M, 0, N)", "array.reverse(M)"],
            Kind::Object => &[
                "object.union(O, O)", "object.filter(O, L)", "object.remove(O, L)", "object.remove(O, S)",
                "object.union_n([O, O])", "{\"x\": N, \"y\": A}", "{T: N}", "object.get(O, T, O)", "J[N]",
            ],
            Kind::Objects => &["[O, O]", "array.concat(J, J)", "array.slice(J, 0, 1)"],
            Kind::Set => &[
                "{T, T}", "S | S", "S & S", "S - S", "object.keys(O)", "union({S, S})", "intersection({S, S})", "{T}",
            ],
            Kind::Any => &["T", "N", "F", "L", "M", "O", "S", "J", "[A, A]", "{\"k\": A}", "object.get(O, T, A)", "L[N]"],
        };
        let form = self.pick(forms);
        self.fill(form, depth)
    }

    /// Puts expressions in the place of the capital letters that stand alone.
    fn fill(&mut self, form: &str, depth: usize) -> String {
        let mut filled = String::new();
        let mut previous = ' ';
        let mut characters = form.chars().peekable();
        while let Some(character) = characters.next() {
            let alone = !previous.is_alphanumeric()
                && previous != '%'
                && !characters.peek().is_some_and(|next| next.is_alphanumeric());
            let kind = match character {
                'T' => Some(Kind::Text),
                'N' => Some(Kind::Number),
                'F' => Some(Kind::Flag),
                'L' => Some(Kind::Texts),
                'M' => Some(Kind::Numbers),
                'O' => Some(Kind::Object),
                'J' => Some(Kind::Objects),
                'S' => Some(Kind::Set),
                'A' => Some(Kind::Any),
                _ => None,
            };
            match kind.filter(|_| alone) {
                // What is looked up must be a reference.
                Some(kind) if characters.peek() == Some(&'[') => filled.push_str(&self.looked_up(kind)),
                Some(kind) => {
                    let inner = self.expression(kind, depth);
                    let operator = form.contains(' ') && inner.contains(' ');
                    filled.push_str(&if operator { format!("({inner})") } else { inner });
                }
                None => filled.push(character),
            }
            previous = character;
        }
        filled
    }

    fn looked_up(&mut self, kind: Kind) -> String {
        // Arrays of the data may not be looked up by what may be a text.
        match self.variable(kind) {
            Some(variable) if self.chance(50) => variable,
            _ => match kind {
                Kind::Texts => "input.claims.xs".to_owned(),
                Kind::Numbers => "input.claims.ns".to_owned(),
                Kind::Objects => "input.claims.os".to_owned(),
                _ => "input.claims.o".to_owned(),
            },
        }
    }

    /// Comprehensions.
    fn composed(&mut self, kind: Kind, depth: usize) -> String {
        if !Kind::COLLECTIONS.contains(&kind) {
            return match kind {
                Kind::Number => format!("count({})", self.composed(Kind::Texts, depth)),
                Kind::Flag => format!("{} == {}", self.composed(Kind::Set, depth), self.leaf(Kind::Set)),
                _ => self.call(kind, depth),
            };
        }
        self.scoped(|writer| {
            if kind == Kind::Object {
                let (key, value) = (writer.fresh("k"), writer.fresh("v"));
                let collection = writer.leaf(Kind::Object);
                writer.variables.push((key.clone(), Kind::Text));
                writer.variables.push((value.clone(), Kind::Any));
                let condition = writer.condition(depth.min(1));
                return match writer.rng.u32(..20) {
                    0 => format!("{{{key}: {value} | some {key}, _ in {collection}; {value} := input.claims.xs[_]}}"),
                    1 => format!("{{{key}: input.claims.xs[_] | some {key}, {value} in {collection}; {condition}}}"),
                    2 => format!("{{{key}: 1 | some {key}, _ in {collection}; input.claims.xs[_] == {key}}}"),
                    _ => format!("{{{key}: {value} | some {key}, {value} in {collection}; {condition}}}"),
                };
            }
            let head = writer.some_in(depth);
            let more = if writer.chance(60) { format!("; {}", writer.condition(depth.min(1))) } else { String::new() };
            let element = kind.element();
            let term = if writer.chance(60) {
                writer.variable(element).unwrap_or_else(|| writer.leaf(element))
            } else {
                writer.leaf(element)
            };
            let (open, close) = if kind == Kind::Set { ('{', '}') } else { ('[', ']') };
            format!("{open}{term} | {head}{more}{close}")
        })
    }
}
