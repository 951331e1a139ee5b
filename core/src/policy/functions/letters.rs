//! Unicode as OPA's Go has it: version 15, simple case mappings (UnicodeData.txt, without SpecialCasing.txt).

use regex_syntax::hir::{self, Hir, HirKind};
use std::sync::LazyLock;

/// One letter in upper case.
pub(super) fn upper(letter: char) -> char {
    if letter.is_ascii() {
        return letter.to_ascii_uppercase();
    }
    match u32::from(letter) {
        // Greek with iota subscript: `to_uppercase` writes the iota out.
        code @ (0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7) => shifted(code, 8),
        code @ (0x1fb3 | 0x1fc3 | 0x1ff3) => shifted(code, 9),
        _ => single(letter, letter.to_uppercase()),
    }
}

/// One letter in lower case.
pub(super) fn lower(letter: char) -> char {
    match letter {
        'İ' => 'i',
        _ if letter.is_ascii() => letter.to_ascii_lowercase(),
        _ => single(letter, letter.to_lowercase()),
    }
}

fn shifted(code: u32, by: u32) -> char {
    char::from_u32(code.saturating_add(by)).unwrap_or_default()
}

/// The mapped letter, unless it is several, or too new.
fn single(letter: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) if one == letter || (KNOWN.contains(letter) && KNOWN.contains(one)) => one,
        _ => letter,
    }
}

/// Whether Go prints it as it is: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(super) fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    PRINTABLE.contains(character)
}

/// Ranges of characters.
struct Class(Vec<(char, char)>);

impl Class {
    fn parse(class: &str) -> Self {
        match regex_syntax::parse(class).map(Hir::into_kind) {
            Ok(HirKind::Class(hir::Class::Unicode(class))) => {
                Self(class.iter().map(|range| (range.start(), range.end())).collect())
            }
            _ => Self(Vec::new()),
        }
    }

    fn contains(&self, character: char) -> bool {
        let at = self.0.partition_point(|(_, end)| *end < character);
        self.0.get(at).is_some_and(|(start, _)| *start <= character)
    }
}

static KNOWN: LazyLock<Class> = LazyLock::new(|| Class::parse(r"\p{age=15.0}"));

static PRINTABLE: LazyLock<Class> = LazyLock::new(|| Class::parse(r"[[\pL\pM\pN\pP\pS]&&\p{age=15.0}]"));
