//! The nearest known word to one that is not known, for hints.

/// The candidate that was most likely meant, if one is near enough: at most a third of its letters differ
/// (one in a short word). Case, and `-` for `_`, make no difference.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = fold(word);
    let allowed = (word.len() / 3).max(1);
    let scored = candidates.into_iter().map(|candidate| (distance(&word, &fold(candidate)), candidate));
    scored.filter(|(distance, _)| *distance <= allowed).min().map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> Vec<char> {
    word.chars().flat_map(char::to_lowercase).map(|letter| if letter == '-' { '_' } else { letter }).collect()
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before_last = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; width];
        for j in 1..width {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// A list for a hint: `a, b, c`, or `none`.
pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_keyboard_are_near() {
        let keys = ["retention", "objectives", "url", "endpoint", "path_style", "daily", "weekly"];
        assert_eq!(nearest("retension", keys), Some("retention"));
        assert_eq!(nearest("ulr", keys), Some("url"));
        assert_eq!(nearest("Path-Style", keys), Some("path_style"));
        assert_eq!(nearest("dayly", keys), Some("daily"));
        assert_eq!(nearest("bucket", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn the_distance_counts_single_steps() {
        let steps = |a: &str, b: &str| distance(&fold(a), &fold(b));
        assert_eq!(steps("", "abc"), 3);
        assert_eq!(steps("abc", "abc"), 0);
        assert_eq!(steps("abcd", "abdc"), 1);
        assert_eq!(steps("kitten", "sitting"), 3);
    }
}
