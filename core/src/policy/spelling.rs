//! The name that was probably meant.

/// The one that differs by a slip of the pen, or that one is the beginning of the other; case and `_` do not count. Of a
/// name with a letter or two nobody can tell.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "");
    let name = plain(name);
    let distances = known.map(|known| {
        let plain = plain(known);
        let begins = plain.starts_with(&name) || name.starts_with(&plain);
        let length = plain.chars().count().min(name.chars().count());
        (distance(&plain, &name), begins, length, known)
    });
    let close = distances.filter(|(distance, begins, length, _)| {
        *length >= MIN_LENGTH && (*begins || (*distance <= MAX_DISTANCE && distance.saturating_mul(2) < *length))
    });
    close.min_by_key(|(distance, ..)| *distance).map(|(.., known)| known)
}

/// Letters of a name, at least.
const MIN_LENGTH: usize = 3;

/// Slips of the pen in one name.
const MAX_DISTANCE: usize = 2;

/// How many letters must be changed, added or left out to make one name of another (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, mine) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index.saturating_add(1);
        let mut next = vec![left];
        for (theirs, above) in other.chars().zip(row.iter().skip(1).copied()) {
            let changed = diagonal.saturating_add(usize::from(mine != theirs));
            left = changed.min(above.saturating_add(1)).min(left.saturating_add(1));
            next.push(left);
            diagonal = above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
