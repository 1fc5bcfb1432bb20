//! `Forwarded` (RFC 7239), as far as it says who the client is.

/// What stands behind `for=` of each element, the client first. An element without it is a hop of which
/// nothing is known.
pub(super) fn hops(list: &str) -> Vec<String> {
    split(list, ',').into_iter().map(hop).collect()
}

fn hop(element: &str) -> String {
    let mut pairs = split(element, ';').into_iter().filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let value = found.map_or("", |(_, value)| value.trim());
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    // What is quoted may have signs escaped; no address needs that.
    quoted.map_or_else(|| value.to_owned(), |quoted| quoted.replace('\\', ""))
}

/// The parts between separators that stand in no quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(|c: char| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match c {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        c == separator && !is_quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_what_stands_behind_for() {
        for (list, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["[2001:db8:cafe::17]:4711"]),
            ("for=192.0.2.43, for=198.51.100.17;by=_x", &["192.0.2.43", "198.51.100.17"]),
            ("proto=https; host=\"a,b;for=9.9.9.9\" ; FOR = 192.0.2.1", &["192.0.2.1"]),
            ("for=unknown,by=_hidden", &["unknown", ""]),
            ("for=\"1.2.3.4\\\",for=9.9.9.9", &["\"1.2.3.4\\\",for=9.9.9.9"]),
            ("", &[""]),
        ] {
            assert_eq!(hops(list), expected, "{list}");
        }
    }
}
