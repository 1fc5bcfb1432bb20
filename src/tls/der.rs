//! What is read of an X.509 certificate (RFC 5280): its time, its names, and what its issuer calls it.
//! `rustls` reads none of that of a certificate of its own.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::clock::Timestamp;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// Of the extension subjectAltName: host names and addresses.
    pub(super) names: Vec<String>,
    /// The serial number's bytes.
    pub(super) serial: Vec<u8>,
    /// The issuer's key identifier.
    pub(super) issuer_key: Option<Vec<u8>>,
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// Context-specific tags: `[0] keyIdentifier`, `[2] dNSName`, `[7] iPAddress`, and, constructed,
/// `[0] version` and `[3] extensions`.
const KEY_IDENTIFIER: u8 = 0x80;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// 2.5.29.17 and 2.5.29.35.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];

/// What `certificate` says; `None` where it is not one.
pub(super) fn facts(certificate: &[u8]) -> Option<Facts> {
    let mut outer = Reader(Reader(certificate).take(SEQUENCE)?);
    let mut fields = Reader(outer.take(SEQUENCE)?);
    fields.take_if(VERSION);
    let serial = fields.take(INTEGER)?.to_vec();
    // The signature's algorithm, and the issuer.
    fields.take(SEQUENCE)?;
    fields.take(SEQUENCE)?;
    let mut validity = Reader(fields.take(SEQUENCE)?);
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    let (mut names, mut issuer_key) = (Vec::new(), None);
    while let Some((tag, content)) = fields.next() {
        if tag == EXTENSIONS {
            let mut extensions = Reader(Reader(content).take(SEQUENCE)?);
            while let Some(extension) = extensions.take_if(SEQUENCE) {
                let mut extension = Reader(extension);
                let id = extension.take(OBJECT_ID)?;
                // Whether it is critical.
                extension.take_if(BOOLEAN);
                let value = extension.take(OCTET_STRING)?;
                if id == SUBJECT_ALT_NAME {
                    names = alt_names(value)?;
                } else if id == AUTHORITY_KEY_IDENTIFIER {
                    let mut fields = Reader(Reader(value).take(SEQUENCE)?);
                    issuer_key = fields.take_if(KEY_IDENTIFIER).map(<[u8]>::to_vec);
                }
            }
        }
    }
    Some(Facts { not_before, not_after, names, serial, issuer_key })
}

/// When `certificate` is good, in DER; `None` where it is none.
pub(crate) fn validity_of(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    facts(certificate).map(|facts| (facts.not_before, facts.not_after))
}

fn alt_names(value: &[u8]) -> Option<Vec<String>> {
    let mut entries = Reader(Reader(value).take(SEQUENCE)?);
    let mut names = Vec::new();
    while let Some((tag, content)) = entries.next() {
        match tag {
            DNS_NAME => names.push(String::from_utf8_lossy(content).into_owned()),
            IP_ADDRESS => names.extend(address(content)),
            // Mail addresses, URLs and the like.
            _ => {}
        }
    }
    Some(names)
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string());
    v4().or_else(v6)
}

/// What is left of some DER (X.690), to be read value by value.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next value's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            // So many bytes of length follow; four are more than any certificate needs.
            let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = behind;
            if bytes.is_empty() || bytes.len() > 4 {
                return None;
            }
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next value, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// The same where the next value has this tag, or else nothing is taken.
    fn take_if(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.take(tag) } else { None }
    }

    fn time(&mut self) -> Option<Timestamp> {
        let (tag, content) = self.next()?;
        let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
        let (year, rest) = match tag {
            UTC_TIME => {
                let (year, rest) = text.split_at_checked(2)?;
                // RFC 5280, 4.1.2.5.1.
                let century = if year < "50" { "20" } else { "19" };
                (format!("{century}{year}"), rest)
            }
            GENERALIZED_TIME => {
                let (year, rest) = text.split_at_checked(4)?;
                (year.to_owned(), rest)
            }
            _ => return None,
        };
        let digits: Vec<&str> = (0..5).filter_map(|n| rest.get(2 * n..2 * n + 2)).collect();
        let [month, day, hour, minute, second] = digits.try_into().ok()?;
        Timestamp::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.not_after = rcgen::date_time_ymd(2060, 1, 2);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn certificate_is_read_up_to_its_issuers_key() {
        let facts = facts(&example()).unwrap();
        assert_eq!(facts.names, ["a.example"]);
        assert_eq!(facts.not_before.to_string(), "1975-01-01T00:00:00.000Z");
        assert_eq!(facts.not_after.to_string(), "2060-01-02T00:00:00.000Z", "GeneralizedTime");
        assert_eq!(facts.issuer_key.map(|key| key.len()), Some(20));
        assert!(!facts.serial.is_empty());
    }

    proptest! {
        #[test]
        fn broken_certificate_is_no_panic(at in 0_usize..300, byte: u8, length in 0_usize..600) {
            let mut certificate = example();
            if let Some(place) = certificate.get_mut(at) {
                *place = byte;
            }
            certificate.truncate(length);
            let _read = facts(&certificate);
        }
    }
}
