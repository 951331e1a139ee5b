//! Formats of `sprintf`: the verbs that are implemented, with as many values.
//!
//! Widths could fill the memory; a missing value is `%!v(MISSING)` in OPA, which nobody means.

use regorus::unstable::Expr;

/// Refuses a format with another verb, or with other values than it asks for.
pub(super) fn check(format: &str, values: Option<&Expr>) -> Result<(), String> {
    let verbs = count_verbs(format)?;
    match values {
        Some(Expr::Array { items, .. }) if items.len() == verbs => Ok(()),
        Some(Expr::Array { items, .. }) => Err(format!("the format asks for {verbs} values, found {}", items.len())),
        _ => Err("expected the values as an array literal".to_owned()),
    }
}

fn count_verbs(format: &str) -> Result<usize, String> {
    let mut verbs = 0_usize;
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            continue;
        }
        match characters.next() {
            Some('%') => {}
            Some('s' | 'v' | 'd') => verbs = verbs.saturating_add(1),
            Some(other) => return Err(format!("found `%{other}`, expected `%v`, `%s`, `%d` or `%%`, without a width")),
            None => return Err("the format ends after `%`".to_owned()),
        }
    }
    Ok(verbs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn only_plain_verbs() {
        for (format, verbs) in [
            ("", Some(0)),
            ("100%%", Some(0)),
            ("%s: %v", Some(2)),
            ("%", None),
            ("%d", Some(1)),
            ("%x", None),
            ("%5v", None),
            ("%1000000000d", None),
            ("%.2f", None),
            ("%-v", None),
            ("%\u{b2}v", None),
        ] {
            assert_eq!(count_verbs(format).ok(), verbs, "{format}");
        }
    }
}
