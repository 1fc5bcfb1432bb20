//! What makes a scheme weak, for people.

/// What makes a scheme weaker than its owner may think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// The body can be swapped: needs `allow_unsigned_body`.
    BodyNotSigned,
    /// The same signature for every request: needs `allow_unsigned_body`.
    ConstantMessage,
    /// The time can be rewritten in a replayed request.
    TimestampNotSigned,
    /// MD5 is broken as a hash: an owner must consent to it.
    Md5,
    /// A check sum stands for the body, and another body with the same one is made in no time.
    Crc32,
}

impl Weakness {
    /// Whether the owner must say in so many words that this is wanted.
    pub fn needs_consent(self) -> bool {
        match self {
            Self::BodyNotSigned | Self::ConstantMessage => true,
            Self::TimestampNotSigned | Self::Md5 | Self::Crc32 => false,
        }
    }

    /// What it means, for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::BodyNotSigned => {
                "the signature leaves the body out: whoever saw one request can send any body with \
                 its signature"
            }
            Self::ConstantMessage => {
                "the signed text is the same for every request: the signature is a password that \
                 anyone who saw one request can use"
            }
            Self::TimestampNotSigned => {
                "the timestamp is checked but not signed: whoever repeats an old request can write \
                 a new time into it"
            }
            Self::Crc32 => {
                "the body is signed by its CRC-32 only: whoever saw one request can make another body \
                 that fits its signature; ask the sender's API where much depends on it"
            }
            Self::Md5 => "MD5 is broken as a hash: use another algorithm if the sender has one",
        }
    }
}
