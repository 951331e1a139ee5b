//! JSON whose numbers are compared by their digits, not as 64-bit floats.

use serde_json::Value as Json;

/// Parses JSON and turns each number into a string of its exact value: `1.50e2` and `150` are `#15e1`.
pub(crate) fn exact(text: &str) -> Json {
    let mut quoted = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character == '"' || is_number(character)) {
        quoted.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = if rest.starts_with('"') { string_end(rest) } else { number_end(rest) };
        let (token, after) = rest.split_at(end);
        // `true` and `false` hold an `e`.
        if token.starts_with('"') || !token.contains(|character: char| character.is_ascii_digit()) {
            quoted.push_str(token);
        } else {
            quoted.push_str(&format!("\"{}\"", canonical(token)));
        }
        rest = after;
    }
    quoted.push_str(rest);
    names(serde_json::from_str(&quoted).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// Names that are collections in JSON, with the members in one order.
fn names(value: Json) -> Json {
    match value {
        Json::Array(items) => items.into_iter().map(names).collect(),
        Json::Object(members) => {
            let members = members.into_iter().map(|(name, member)| {
                let collection =
                    serde_json::from_str(&name).ok().filter(|name: &Json| name.is_object() || name.is_array());
                (collection.map_or(name, |name| names(name).to_string()), names(member))
            });
            Json::Object(members.collect())
        }
        other => other,
    }
}

/// Whether both are the same; our own numbers beyond 64 bits were floats on their way.
pub(crate) fn same(ours: &Json, theirs: &Json) -> bool {
    match (ours, theirs) {
        (Json::Array(ours), Json::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Json::Object(ours), Json::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, value)| theirs.get(key).is_some_and(|other| same(value, other)))
        }
        (Json::String(ours), Json::String(theirs)) if ours.starts_with('#') && theirs.starts_with('#') => {
            let large = |text: &str| text[1..].parse::<f64>().ok().filter(|number| number.abs() > 9.2e18);
            ours == theirs || (large(ours).is_some() && large(ours) == large(theirs))
        }
        _ => ours == theirs,
    }
}

/// The first place where the two are not the same, with what is there.
pub(crate) fn difference(ours: Option<&Json>, theirs: Option<&Json>) -> Option<String> {
    let (Some(some), Some(other)) = (ours, theirs) else {
        return (ours != theirs).then(|| format!("ours: {ours:?}, OPA: {theirs:?}"));
    };
    let inside = match (some, other) {
        (Json::Array(ours), Json::Array(theirs)) => (0..ours.len().max(theirs.len())).find_map(|index| {
            let place = |difference| format!("[{index}] {difference}");
            difference(ours.get(index), theirs.get(index)).map(place)
        }),
        (Json::Object(ours), Json::Object(theirs)) => ours.keys().chain(theirs.keys()).find_map(|name| {
            let place = |difference| format!(".{name} {difference}");
            difference(ours.get(name), theirs.get(name)).map(place)
        }),
        _ if same(some, other) => None,
        _ => Some(String::new()),
    };
    inside.map(|place| format!("{place}\n  ours {some}\n  OPA  {other}").chars().take(3000).collect())
}

const fn is_number(character: char) -> bool {
    matches!(character, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')
}

fn number_end(text: &str) -> usize {
    text.find(|character| !is_number(character)).unwrap_or(text.len())
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            '"' if !escaped => return index + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Sign, digits without zeros at either end, exponent.
fn canonical(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.parse().unwrap();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return "#0".to_owned();
    }
    let zeros = i64::try_from(digits.len() - significant.len()).unwrap();
    format!("#{sign}{significant}e{}", exponent - i64::try_from(fraction.len()).unwrap() + zeros)
}

#[test]
fn numbers_are_exact() {
    for (text, expected) in [
        ("1", r##""#1e0""##),
        ("150", r##""#15e1""##),
        ("1.50e2", r##""#15e1""##),
        ("-0.25", r##""#-25e-2""##),
        ("0", r##""#0""##),
        ("-0.0", r##""#0""##),
        ("0.33333333333333333334", r##""#33333333333333333334e-20""##),
        (r#"[true, "1", "a\"2", null, {"k5": 5}]"#, r##"[true, "1", "a\"2", null, {"k5": "#5e0"}]"##),
    ] {
        assert_eq!(exact(text), serde_json::from_str::<Json>(expected).unwrap(), "{text}");
    }
}
