//! The secret that the sender has, made of the one that is here: copied with too much or too little
//! of it, written in another form, or hashed before it is used.

use std::fmt::Write as _;

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::secret::Secret;

use super::super::doubt::is_invisible;
use super::super::field_ref::pairs;
use super::super::signature::Encoding;
use super::case::{Case, Explanation, because};

/// A secret with what was done to get it.
struct ReworkedSecret {
    /// Behind "it matches".
    how: &'static str,
    hint: &'static str,
    secret: Secret,
}

/// What some senders put before their secrets: a part of them.
const BEGINNINGS: [(&str, &str); 3] = [
    ("whsec_", "it matches with `whsec_` before the secret, which is a part of it"),
    ("pdl_ntfset_", "it matches with `pdl_ntfset_` before the secret, which is a part of it"),
    ("v1,whsec_", "it matches with `v1,whsec_` before the secret, which is a part of it"),
];

/// Where forms cut what is entered.
const CUT_AT: [usize; 9] = [16, 20, 24, 32, 40, 50, 64, 72, 128];

/// So many lines of a file are tried.
const LINES_MAX: usize = 8;
/// Longer secrets are keys of another kind.
const SECRET_BYTES_MAX: usize = 4096;

const WRITE_AGAIN: &str = "write the secret again as plain text: `printf %s \"$SECRET\" > FILE`";
const ALONE: &str = "write the secret alone into it, as in `printf %s \"$SECRET\" > FILE`";
const COPY: &str = "copy the secret from the sender again, the whole of it and nothing else";
const ENTER: &str = "write into both places the same text: enter the secret at the sender again";

impl Case<'_> {
    /// Signed with what the secret becomes by a slip, or by a sender's own way with it.
    pub(super) fn reworked_secret(&self) -> Option<Explanation> {
        let profile = self.profile();
        for secret in &self.source.secrets {
            let text = secret.expose();
            if text.len() > SECRET_BYTES_MAX {
                continue;
            }
            let mut forms = of_bytes(text);
            if let Ok(text) = std::str::from_utf8(text) {
                forms.extend(of_file(text));
                forms.extend(of_copy(text));
                forms.extend(of_writing(text));
            }
            let fits = |form: &&ReworkedSecret| {
                let made = form.secret.expose();
                !made.is_empty() && made != text && self.fits(&profile, &form.secret)
            };
            if let Some(form) = forms.iter().find(fits) {
                return Some(because(form.how, Some(form.hint)));
            }
        }
        None
    }
}

fn form(how: &'static str, hint: &'static str, secret: impl Into<Vec<u8>>) -> ReworkedSecret {
    ReworkedSecret { how, hint, secret: Secret::new(secret) }
}

/// What is in the file beside the secret.
fn of_file(text: &str) -> Vec<ReworkedSecret> {
    let mut forms = Vec::new();
    let seen: String = text.chars().filter(|one| !is_invisible(*one)).collect();
    let how = "it matches without the characters in the secret that are not seen (a byte order \
               mark, a no-break space, one of no width)";
    forms.push(form(how, WRITE_AGAIN, seen.trim()));
    let bare = text.trim().trim_end_matches("\\n").trim_end_matches("\\r");
    forms.push(form("it matches without the `\\n` at the secret's end", WRITE_AGAIN, bare));
    let how = "it matches when the name and the `=` before the secret are cut off: it is a line of \
               an environment file";
    let of_lines = text.lines().take(LINES_MAX).flat_map(assigned);
    forms.extend(of_lines.map(|value| form(how, ALONE, value)));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let how = "it matches one line of the secret: its file has several";
    if text.contains('\n') {
        forms.extend(lines.take(LINES_MAX).map(|line| form(how, ALONE, line)));
    }
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(text) {
        let texts = fields.values().filter_map(serde_json::Value::as_str).take(8);
        let how = "it matches one field of the JSON in the secret";
        forms.extend(texts.map(|value| form(how, ALONE, value)));
    }
    if let Some((_, word)) = text.split_once(' ') {
        let how = "it matches without the word before the secret";
        forms.push(form(how, ALONE, word.trim()));
    }
    for (open, close) in [('`', '`'), ('<', '>'), ('[', ']'), ('{', '}'), ('“', '”'), ('‘', '’')]
    {
        let inner = text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
        let how = "it matches without the brackets or quotes around the secret";
        forms.extend(inner.map(|inner| form(how, ALONE, inner)));
    }
    forms
}

/// What stands behind `NAME=` or `NAME:`, with and without quotes around it.
fn assigned(text: &str) -> Vec<&str> {
    let text = text.trim();
    let text = text.strip_prefix("export ").unwrap_or(text);
    let mut values = Vec::new();
    for (name, value) in [text.split_once('='), text.split_once(':')].into_iter().flatten() {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-. \"".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            continue;
        }
        let value = value.trim().trim_end_matches(';');
        values.extend([value, value.trim_matches(['"', '\'', ','])]);
    }
    values
}

/// What was copied too little, too much or twice.
fn of_copy(text: &str) -> Vec<ReworkedSecret> {
    let mut forms: Vec<_> = BEGINNINGS
        .into_iter()
        .map(|(beginning, how)| form(how, COPY, format!("{beginning}{text}")))
        .collect();
    let chars: Vec<char> = text.chars().collect();
    let of = |chars: &[char]| chars.iter().collect::<String>();
    if let ([_, tail @ ..], [head @ .., _]) = (chars.as_slice(), chars.as_slice()) {
        forms.push(form("it matches without the secret's last character", COPY, of(head)));
        forms.push(form("it matches without the secret's first character", COPY, of(tail)));
    }
    let how = "it matches with `=` at the secret's end, which is a part of it";
    forms.extend(["=", "=="].map(|end| form(how, COPY, format!("{text}{end}"))));
    let (half, other) = chars.split_at(chars.len() / 2);
    if half == other {
        forms.push(form(
            "it matches the half of the secret: it stands there twice",
            COPY,
            of(half),
        ));
    }
    for length in CUT_AT.into_iter().filter(|length| *length < chars.len()) {
        let how = "it matches the beginning of the secret: the sender's form has cut it";
        let cut = chars.get(..length).map(of).unwrap_or_default();
        forms.push(form(how, "give both a shorter secret", cut));
    }
    if let Some((name, word)) = text.split_once(':') {
        let how = "it matches one side of the colon in the secret";
        forms.extend([word, name].map(|side| form(how, ALONE, side)));
    }
    forms
}

/// The same characters, written otherwise.
fn of_writing(text: &str) -> Vec<ReworkedSecret> {
    let mut forms = Vec::new();
    let how =
        "it matches in other letters: the case of the secret's letters is another at the sender";
    forms.extend([text.to_lowercase(), text.to_uppercase()].map(|text| form(how, ENTER, text)));
    let plain = text.replace('+', " ");
    forms.push(form("it matches with a blank for each `+` in the secret", ENTER, plain));
    let how = "it matches when the secret is percent-decoded (`%2B` is `+`, `+` a blank)";
    // As the value of a form, in which `&` and `=` mean nothing.
    let escaped = text.replace('&', "%26").replace('=', "%3D");
    let decoded = pairs(escaped.as_bytes()).next().map(|(name, _)| name.into_owned());
    forms.extend(decoded.map(|text| form(how, ENTER, text)));
    let kept = escaped.replace('+', "%2B");
    let decoded = pairs(kept.as_bytes()).next().map(|(name, _)| name.into_owned());
    forms.extend(decoded.map(|text| form(how, ENTER, text)));
    let how = "it matches when the secret is percent-encoded (`+` is `%2B`): the sender has it so";
    let component = percent_encoded(text, b"-._~!*'()");
    forms.extend([component, percent_encoded(text, b"-._~")].map(|text| form(how, ENTER, text)));
    let form_encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    forms.push(form(how, ENTER, form_encoded));
    let how = "it matches when `$$`, a backslash or another escape in the secret is undone";
    forms.extend(
        [text.replace("$$", "$"), text.replace('\\', "")].map(|text| form(how, ENTER, text)),
    );
    let unescaped = serde_json::from_str::<String>(&format!("\"{text}\"")).ok();
    forms.extend(unescaped.map(|text| form(how, ENTER, text)));
    let how = "it matches with plain signs for the typographic ones (`–`, `’`) in the secret";
    let typed: String = text.chars().map(typed).collect();
    forms.push(form(how, COPY, typed));
    if !text.is_ascii() {
        let latin: Option<Vec<u8>> =
            text.chars().map(|one| u8::try_from(u32::from(one)).ok()).collect();
        let how = "it matches when the secret is written in Latin-1: the sender uses that charset";
        let hint = "write the secret without letters such as `ä` at both ends";
        forms.extend(latin.map(|bytes| form(how, hint, bytes)));
    }
    forms
}

/// The sign of the keyboard for one of a text program.
fn typed(one: char) -> char {
    match one {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '‘' | '’' => '\'',
        '“' | '”' => '"',
        '\u{a0}' => ' ',
        one => one,
    }
}

fn percent_encoded(text: &str, plain: &[u8]) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(encoded, "%{byte:02X}").unwrap_or_default();
        }
    }
    encoded
}

/// The secret's bytes in another encoding, and their hashes.
fn of_bytes(text: &[u8]) -> Vec<ReworkedSecret> {
    let in_base64 =
        r#"write that into the secret's file: `printf %s "$SECRET" | base64 | tr -d '\n' > FILE`"#;
    let in_hex = r#"write that into the secret's file: `printf %s "$SECRET" | od -An -v -tx1 | tr -d ' \n' > FILE`"#;
    let mut forms = vec![
        form("it matches with the secret in base64", in_base64, Encoding::Base64.encode(text)),
        form("it matches with the secret in hex", in_hex, hex::encode(text)),
    ];
    let decoded = [Encoding::Base64, Encoding::Hex].map(|encoding| encoding.decode(text));
    let how = "it matches when the secret is decoded (from base64 or hex)";
    forms.extend(decoded.into_iter().flatten().map(|bytes| form(how, ENTER, bytes)));
    for Hashed { how, in_hex, in_base64, as_key, digest } in hashed(text) {
        forms.push(form(how, in_hex, hex::encode(&digest)));
        forms.push(form(how, in_base64, Encoding::Base64.encode(&digest)));
        forms.push(form(how, as_key, digest));
    }
    forms
}

/// A hash of the secret, and what to write for it.
struct Hashed {
    how: &'static str,
    in_hex: &'static str,
    in_base64: &'static str,
    as_key: &'static str,
    digest: Vec<u8>,
}

/// What is told of a hash by this name.
macro_rules! hashed {
    ($name:literal, $digest:expr) => {
        Hashed {
            how: concat!("it matches with the ", $name, " hash of the secret in its place"),
            in_hex: concat!(
                "write that hash in hex into the secret's file: `printf %s \"$SECRET\" | ",
                $name,
                "sum | cut -d ' ' -f 1 > FILE`"
            ),
            in_base64: concat!(
                "write that hash in base64 into the secret's file: `printf %s \"$SECRET\" | openssl \
                 dgst -",
                $name,
                " -binary | openssl base64 -A > FILE`"
            ),
            as_key: concat!(
                "write that hash in hex into the secret's file, `printf %s \"$SECRET\" | ",
                $name,
                "sum | cut -d ' ' -f 1 > FILE`, and `key = \"hex\"` into the `verify` table"
            ),
            digest: $digest.to_vec(),
        }
    };
}

fn hashed(text: &[u8]) -> [Hashed; 5] {
    [
        hashed!("sha256", Sha256::digest(text)),
        hashed!("sha1", sha1::Sha1::digest(text)),
        hashed!("md5", md5::Md5::digest(text)),
        hashed!("sha512", Sha512::digest(text)),
        hashed!("sha384", Sha384::digest(text)),
    ]
}
