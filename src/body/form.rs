//! `application/x-www-form-urlencoded` text.

use std::borrow::Cow;

/// Name and value of a form field, decoded.
pub(crate) type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The fields of `application/x-www-form-urlencoded` text, in the order they came.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let mut side = || decode(sides.next().unwrap_or_default());
        (side(), side())
    })
}

/// Whether a text without a content type can only be a form: names and values without white space,
/// each name as programs have them.
pub(super) fn is_likely(text: &[u8]) -> bool {
    let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.[]%*".contains(byte);
    let is_named = |text: &[u8]| {
        let name_end = text.iter().position(|byte| !is_sign(byte));
        name_end.is_some_and(|at| at > 0 && text.get(at) == Some(&b'='))
    };
    let is_pair = |pair: &[u8]| is_named(pair) && pair.iter().all(u8::is_ascii_graphic);
    // JSON is told by its first sign: no body is walked through for that, as looking for `&` would.
    is_named(text) && text.split(|byte| *byte == b'&').all(is_pair)
}

/// Undoes `+` and `%41`; what is no escape stays as it is.
fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return unescaped(text);
    }
    let with_blanks: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(unescaped(&with_blanks).into_owned())
}

/// Undoes `%41`; what is no escape stays as it is.
pub(super) fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let escape = tail.split_first_chunk::<2>();
        decoded.push(match (byte, escape) {
            (b'%', Some((&[high, low], tail))) => match (nibble(high), nibble(low)) {
                (Some(high), Some(low)) => {
                    rest = tail;
                    high << 4 | low
                }
                (_, _) => byte,
            },
            (_, _) => byte,
        });
    }
    Cow::Owned(decoded)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_decoded_field_by_field() {
        let decoded: Vec<_> = pairs(b"a=1&b=%2B1+2&&c&d=%zz%4&=x=y").collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"a", b"1"), (b"b", b"+1 2"), (b"c", b""), (b"d", b"%zz%4"), (b"", b"x=y")];
        assert_eq!(decoded.len(), expected.len());
        for ((name, value), expected) in decoded.iter().zip(expected) {
            assert_eq!((&**name, &**value), expected);
        }
    }
}
