//! The filter `striptags`: HTML as plain text, for a mail or a message that is none.

/// The longest entity that is looked for, with its `&` and `;`.
const ENTITY_BYTES_MAX: usize = 10;

/// `html` without its tags and comments; the end of a block is a line's end, and entities are the
/// characters that they stand for. Not for output that is HTML again: what comes out may look like
/// tags.
pub fn striptags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    // Behind the last `>` begins no tag: without looking for its end each time, many open ones take
    // no longer than their length.
    let n_behind_last_end = html.rfind('>').map_or(html.len(), |end| html.len() - end);
    while let Some(start) = rest.find(['<', '&']) {
        let (before, at) = rest.split_at(start);
        text.push_str(before);
        let has_end = at.len() > n_behind_last_end || at.starts_with("<!--");
        let taken = if at.starts_with('&') {
            entity(at)
        } else if has_end {
            tag(at)
        } else {
            None
        };
        let (written, behind) = taken.unwrap_or_else(|| {
            let (first, behind) = at.split_at(1);
            (Written::Text(first.into()), behind)
        });
        match written {
            Written::Text(part) => text.push_str(&part),
            Written::LineEnd if text.is_empty() || text.ends_with("\n\n") => {}
            Written::LineEnd => text.push('\n'),
        }
        rest = behind;
    }
    text.push_str(rest);
    text.trim().to_owned()
}

/// Written in place of a tag or an entity.
enum Written {
    Text(String),
    LineEnd,
}

/// The tag or comment that `html` begins with, and what is behind it.
fn tag(html: &str) -> Option<(Written, &str)> {
    if let Some(comment) = html.strip_prefix("<!--") {
        let behind = comment.split_once("-->").map_or("", |(_, behind)| behind);
        return Some((Written::Text(String::new()), behind));
    }
    let inner = html.strip_prefix('<')?;
    inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!').then_some(())?;
    let (inner, behind) = inner.split_once('>')?;
    let name: String = inner
        .trim_start_matches('/')
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let is_end = inner.starts_with('/');
    let ends_line = match name.as_str() {
        "br" | "hr" => true,
        "p" | "div" | "li" | "tr" | "blockquote" | "pre" | "ul" | "ol" | "h1" | "h2" | "h3"
        | "h4" | "h5" | "h6" => is_end,
        _ => false,
    };
    Some((if ends_line { Written::LineEnd } else { Written::Text(String::new()) }, behind))
}

/// The entity that `html` begins with, and what is behind it.
fn entity(html: &str) -> Option<(Written, &str)> {
    let head = html.get(..html.floor_char_boundary(ENTITY_BYTES_MAX))?;
    let end = head.find(';')?;
    let name = html.get(1..end)?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((Written::Text(character.to_string()), html.get(end.checked_add(1)?..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, expected: &str) {
        assert_eq!(striptags(html), expected, "{html}");
    }

    #[test]
    fn html_becomes_plain_text() {
        check("<p>I would like that, too.</p>", "I would like that, too.");
        check("<p>One</p><p class=\"a\">Two<br/>Three</p>", "One\nTwo\nThree");
        check("a <b>bold</b> <a href=\"x\">link</a>", "a bold link");
        check("x<!-- <b>no</b> -->y<!-- open", "xy");
        check("<ul><li>a</li><li>b</li></ul>", "a\nb");
    }

    #[test]
    fn open_tags_without_end_take_no_longer_than_their_length() {
        // A minute each where the end was looked for from every one of them.
        for part in ["<a", "</", "<!", "<p &", "&#"] {
            let html = part.repeat(1_000_000);
            assert_eq!(striptags(&html), html.trim(), "{part}");
        }
        let html = format!("{}>x", "<a".repeat(1_000_000));
        assert_eq!(striptags(&html), "x");
        assert_eq!(striptags("a > b <c"), "a > b <c");
    }

    #[test]
    fn entities_become_characters_and_other_signs_stay() {
        check("Fish &amp; Chips &lt;3 &#8364;&#x20AC; &quot;x&quot;", "Fish & Chips <3 €€ \"x\"");
        check("&amp;lt;", "&lt;");
        check("1 < 2 & 3 > 2 &unknown; &#99999999; <", "1 < 2 & 3 > 2 &unknown; &#99999999; <");
        check("a &ü<ü>", "a &ü<ü>");
    }
}
