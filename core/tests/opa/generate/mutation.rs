//! Policies of the table, changed by chance: in ways that authors would not think of.

use fastrand::Rng;

/// A policy with some of its tokens replaced, wrapped, moved or left out. Often it is no longer a policy.
pub(crate) fn mutated(rules: &str, seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut tokens = tokens(rules);
    for _ in 0..rng.usize(1..4) {
        mutate(&mut tokens, &mut rng);
    }
    tokens.concat()
}

/// References and names, strings, numbers, operators and white space; nothing is lost.
fn tokens(rules: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = rules;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => string_end(rest),
            '`' => rest[1..].find('`').map_or(rest.len(), |end| end + 2),
            first if is_word(first) => rest.find(|other| !is_word(other) && other != '.').unwrap_or(rest.len()),
            ':' | '=' | '!' | '<' | '>' => rest.find(|other| !":=!<>".contains(other)).unwrap_or(rest.len()),
            first => first.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        tokens.push(token.to_owned());
        rest = after;
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, character)| {
        let ends = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(index, _)| index + 1)
}

const KEYWORDS: [&str; 12] =
    ["allow", "if", "else", "not", "some", "in", "every", "default", "contains", "import", "package", "as"];

fn is_operand(token: &str) -> bool {
    let first = token.chars().next().unwrap_or(' ');
    (is_word(first) || first == '"') && !KEYWORDS.contains(&token)
}

fn is_operator(token: &str) -> bool {
    matches!(token, "==" | "!=" | "<" | "<=" | ">" | ">=" | ":=" | "=" | "+" | "-" | "*" | "&" | "|" | "in" | "%")
}

fn mutate(tokens: &mut Vec<String>, rng: &mut Rng) {
    let operands: Vec<usize> = (0..tokens.len()).filter(|at| is_operand(&tokens[*at])).collect();
    let operators: Vec<usize> = (0..tokens.len()).filter(|at| is_operator(&tokens[*at])).collect();
    let starts: Vec<usize> =
        (0..tokens.len()).filter(|at| matches!(tokens[*at].as_str(), "if" | ";" | "{" | "|")).collect();
    let (Some(operand), Some(other)) = (any(&operands, rng), any(&operands, rng)) else { return };
    match rng.u32(..100) {
        0..25 => tokens[operand] = OPERANDS[rng.usize(..OPERANDS.len())].to_owned(),
        25..40 => tokens[operand] = tokens[other].clone(),
        40..60 => {
            let form = FORMS[rng.usize(..FORMS.len())];
            let text = form.replace('X', &tokens[operand]).replace('Y', &tokens[other]);
            tokens[operand] = text;
        }
        60..75 => {
            let Some(operator) = any(&operators, rng) else { return };
            tokens[operator] = OPERATORS[rng.usize(..OPERATORS.len())].to_owned();
        }
        75..88 => {
            let Some(start) = any(&starts, rng) else { return };
            let statement = STATEMENTS[rng.usize(..STATEMENTS.len())].replace('X', &tokens[operand]);
            tokens.insert(start + 1, statement);
        }
        88..94 => {
            let at = rng.usize(..tokens.len());
            let space = SPACES[rng.usize(..SPACES.len())].to_owned();
            if tokens[at].trim().is_empty() { tokens[at] = space } else { tokens.insert(at, space) }
        }
        _ => tokens.swap(operand, other),
    }
}

fn any(places: &[usize], rng: &mut Rng) -> Option<usize> {
    if places.is_empty() { None } else { Some(places[rng.usize(..places.len())]) }
}

#[rustfmt::skip]
const OPERANDS: [&str; 34] = [
    "input.claims.a", "input.claims.n", "input.claims.s", "input.claims.xs", "input.claims.ns", "input.claims.o",
    "input.claims.os", "input.claims.missing", "input.claims.flag", "input.claims", "input", "input.missing.x",
    "data.roles", "data.people", "data.flags.off", "data.matrix", "data.limits", "data.missing", "1", "0", "\"a\"", "\"\"",
    "true", "false", "null", "[]", "{}", "set()", "x", "f", "_", "i", "input.path_segments", "input.claims.oo.p",
];

const SPACES: [&str; 6] = ["\n", " ", "\n\t", " # why\n", ";", ""];

#[rustfmt::skip]
const FORMS: [&str; 32] = [
    "[X]", "{X}", "{\"k\": X}", "{X: Y}", "X[_]", "X[0]", "X[Y]", "X.x", "X[\"x\"]", "count(X)", "(X)", "X[i]", "{X, Y}",
    "[X, Y]", "X == Y", "X + Y", "(X in Y)", "sprintf(\"%v\", [X])", "[z | z := X]", "{z | some z in X}", "[z | X[z]]",
    "{z: X | some z in Y}", "{X | Y}", "[X | some X in Y]", "object.get(X, Y, null)", "f(X)", "(X | Y)", "(X - Y)",
    "sort(X)", "{z: w | some z, w in X}", "{z: w | w := X[z]}", "X[_][_]",
];

const OPERATORS: [&str; 15] = ["==", "!=", "<", "<=", ">", ">=", ":=", "=", "+", "-", "*", "&", "|", " in ", "%"];

#[rustfmt::skip]
const STATEMENTS: [&str; 26] = [
    " not ", " X; ", " not X; ", " x := X; ", " some x in X; ", " some x; ", " X[_]; ", " [x, y] = X; ", " some i, x in X; ",
    " every x in X { x }; ", " every x in X { not x }; ", " X == X; ", " X[i]; ", " X[i] == X[i]; ", " _ = X; ", " x = X; ",
    " not not_there(X); ", " some x in X; not x; ", " count([1 | X]) == 1; ", " not X[_]; ", " {x | x := X}; ", " true; ",
    " every x in X { \"a\" = x }; ", " every x, y in X { X[x] == y }; ", " [_, x] := X; ", " some _, x in X; ",
];
