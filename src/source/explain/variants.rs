//! The same scheme in other words: what an owner gets wrong when writing it down.

use super::super::keys::{Algorithm, KeyRule};
use super::super::scheme::Scheme;
use super::super::signature::{Encoding, SignatureFormat};

/// `scheme` with other hashes, encodings, keys and prefixes.
pub(super) fn variants(scheme: &Scheme, value: &str) -> Vec<Scheme> {
    let algorithms = [
        Algorithm::HmacSha256,
        Algorithm::HmacSha1,
        Algorithm::HmacSha512,
        Algorithm::HmacSha384,
        Algorithm::HmacMd5,
    ];
    let encodings = [Encoding::Hex, Encoding::Base64];
    let mut keys = vec![scheme.key.clone()];
    for encoding in [Encoding::Plain, Encoding::Base64, Encoding::Hex] {
        for strip in ["", "whsec_"] {
            let key =
                KeyRule { encoding, strip: strip.into(), is_prefix_needed: !strip.is_empty() };
            keys.push(key);
        }
    }
    let mut formats = vec![scheme.signature.format.clone()];
    if matches!(scheme.signature.format, SignatureFormat::Whole { .. }) {
        formats.push(SignatureFormat::Whole { prefix: "".into() });
        if let Some((prefix, _)) = value.split_once('=') {
            formats.push(SignatureFormat::Whole { prefix: format!("{prefix}=").into() });
        }
    }
    let mut variants = Vec::new();
    for format in formats {
        for algorithm in algorithms {
            for encoding in encodings {
                for key in &keys {
                    let mut variant = scheme.clone();
                    variant.signature.format = format.clone();
                    variant.signature.encoding = encoding;
                    variant.algorithm = algorithm;
                    variant.key = key.clone();
                    variants.push(variant);
                }
            }
        }
    }
    variants
}

/// What one scheme has otherwise than another: in words, and as settings.
pub(super) type SchemeDifferences = (Vec<String>, Vec<String>);

/// What is different, for people and as lines of the configuration.
pub(super) fn differences(scheme: &Scheme, changed: &Scheme) -> SchemeDifferences {
    let (mut what, mut lines) = (Vec::new(), Vec::new());
    let mut differs = |text: String, line: String| {
        what.push(text);
        lines.push(line);
    };
    if changed.algorithm != scheme.algorithm {
        let algorithm = changed.algorithm.name();
        differs(format!("as {algorithm}"), format!("`algorithm = \"{algorithm}\"`"));
    }
    if changed.signature.encoding != scheme.signature.encoding {
        let encoding = changed.signature.encoding.name();
        differs(format!("as {encoding}"), format!("`encoding = \"{encoding}\"`"));
    }
    if changed.key.encoding != scheme.key.encoding {
        let encoding = changed.key.encoding.name();
        let text = match changed.key.encoding {
            Encoding::Plain => "when the secret is used as text".to_owned(),
            Encoding::Hex | Encoding::Base64 => {
                format!("when the secret is read as {encoding}: it is used as text now")
            }
        };
        differs(text, format!("`key = \"{encoding}\"`"));
    }
    if changed.key.strip != scheme.key.strip {
        let strip = &changed.key.strip;
        let text = if strip.is_empty() {
            format!("with the secret's `{}` left where it is", scheme.key.strip)
        } else {
            format!("with `{strip}` cut off the secret")
        };
        differs(text, format!("`strip = \"{strip}\"`"));
    }
    if let (SignatureFormat::Whole { prefix }, true) =
        (&changed.signature.format, changed.signature.format != scheme.signature.format)
    {
        let text = match (prefix.as_ref(), &scheme.signature.format) {
            ("", SignatureFormat::Whole { prefix }) => format!("without the prefix `{prefix}`"),
            (prefix, _) => format!("behind the prefix `{prefix}`"),
        };
        differs(text, format!("`prefix = \"{prefix}\"`"));
    }
    (what, lines)
}
