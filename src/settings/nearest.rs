//! "Did you mean …?"

/// The one of `known` that `word` was probably meant to be, if one is near enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer than any of our words: not worth the quadratic comparison.
    if word.len() > 64 {
        return None;
    }
    // One slip in a short word, about one in three letters of a longer one.
    let allowed = (word.chars().count() / 3).max(1);
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| (distance(&plain(word), &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether one letter more, less, other or swapped with its neighbour makes one word of the other.
pub fn is_one_slip(word: &str, other: &str) -> bool {
    let length = |text: &str| text.chars().count();
    length(word) <= 64 && length(word).abs_diff(length(other)) <= 1 && distance(word, other) == 1
}

/// The number of letters to insert, remove, replace or swap with their neighbour to get from one
/// word to the other (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_letter = None;
    for (row, letter) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&last, column).saturating_add(usize::from(letter != *other));
            let removed = at(&last, column + 1).saturating_add(1);
            let inserted = at(&current, column).saturating_add(1);
            let mut best = replaced.min(removed).min(inserted);
            let is_swap = column.checked_sub(1).and_then(|index| right.get(index)).copied()
                == Some(letter)
                && previous_letter == Some(*other);
            if is_swap {
                best = best.min(at(&before_last, column.wrapping_sub(1)).saturating_add(1));
            }
            current.push(best);
        }
        previous_letter = Some(letter);
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (left, right, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("tiemout", "timeout", 1),
            ("listn", "listen", 1),
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("abc", "", 3),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn only_a_near_word_is_offered() {
        let known = ["timeout", "retention", "on", "order_by"];
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("order-by", known), Some("order_by"));
        assert_eq!(nearest("Timeout", known), Some("timeout"));
        assert_eq!(nearest("colour", known), None);
    }
}
