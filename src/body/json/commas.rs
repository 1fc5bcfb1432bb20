//! Commas too many, as templates leave them where a part of the JSON is written for some events only.

/// The text without the commas that stand before a bracket that closes, and of an object also those behind the one
/// that opens and behind another comma: no JSON has them. A list with nothing between two commas may lack an item, and
/// stays as it is.
pub(crate) fn without_spare_commas(text: String) -> String {
    let spare = spare_commas(text.as_bytes());
    if spare.is_empty() {
        return text;
    }
    let mut mended = String::with_capacity(text.len());
    let mut at = 0;
    for comma in spare {
        mended.push_str(text.get(at..comma).unwrap_or_default());
        at = comma + 1;
    }
    mended.push_str(text.get(at..).unwrap_or_default());
    mended
}

/// Where they stand, in their order.
fn spare_commas(text: &[u8]) -> Vec<usize> {
    let (mut spare, mut opened) = (Vec::new(), Vec::new());
    let mut is_within_text = false;
    // What is neither blank nor a spare comma, and where it stands.
    let mut last = (0, b' ');
    let mut bytes = text.iter().copied().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if is_within_text => drop(bytes.next()),
            b'"' => is_within_text = !is_within_text,
            _ if is_within_text || byte.is_ascii_whitespace() => continue,
            b',' if opened.last() == Some(&b'{') && matches!(last.1, b'{' | b',') => {
                spare.push(at);
                continue;
            }
            b'{' | b'[' => opened.push(byte),
            b'}' | b']' => {
                opened.pop();
                if last.1 == b',' {
                    spare.push(last.0);
                }
            }
            _ => {}
        }
        last = (at, byte);
    }
    spare.sort_unstable();
    spare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_that_no_json_has_are_left_out() {
        for (text, mended) in [
            (r#"{"a": 1, }"#, r#"{"a": 1 }"#),
            (r#"{ , "a": 1,, "b": [1, 2, ],}"#, r#"{  "a": 1, "b": [1, 2 ]}"#),
            (r"{ , }", "{  }"),
            (r#"{"a": ", }", "b": "\", ]"}"#, r#"{"a": ", }", "b": "\", ]"}"#),
            ("[{\"a\": 1},\n]\n", "[{\"a\": 1}\n]\n"),
            ("[1,,2]", "[1,,2]"),
            ("[,1]", "[,1]"),
            (r#"{"ü": [1,2], "b": {}}"#, r#"{"ü": [1,2], "b": {}}"#),
            (r#"{"a": 1, "#, r#"{"a": 1, "#),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(without_spare_commas(text.to_owned()), mended, "{text}");
        }
    }
}
