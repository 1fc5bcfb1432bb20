//! The small binary vocabulary of the queue's files: variable-length integers (LEB128), byte
//! strings with their length in front, and a cursor that never reads past the end.

/// Appends to a byte buffer.
pub(crate) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u64(&mut self, value: u64);
    fn put_varint(&mut self, value: u64);
    fn put_signed(&mut self, value: i64);
    fn put_bytes(&mut self, bytes: &[u8]);
    fn put_raw(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_varint(&mut self, mut value: u64) {
        loop {
            let byte = low_seven(value);
            value >>= 7;
            if value == 0 {
                return self.push(byte);
            }
            self.push(byte | 0x80);
        }
    }

    /// Zigzag: small negative numbers stay small.
    fn put_signed(&mut self, value: i64) {
        self.put_varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }

    fn put_raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

fn low_seven(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// Reads from the front of a byte slice; `None` = it ends too early or is no such value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn raw(&mut self, n_bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n_bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let n_bytes = usize::try_from(self.varint()?).ok()?;
        self.raw(n_bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(number: u64, signed: i64) {
            let mut bytes = Vec::new();
            bytes.put_varint(number);
            bytes.put_signed(signed);
            bytes.put_u64(number);
            let mut take = Take(&bytes);
            prop_assert_eq!(take.varint(), Some(number));
            prop_assert_eq!(take.signed(), Some(signed));
            prop_assert_eq!(take.u64(), Some(number));
            prop_assert!(take.0.is_empty());
        }
    }

    #[test]
    fn what_ends_too_early_or_overflows_is_none() {
        assert_eq!(Take(&[0x80]).varint(), None);
        assert_eq!(Take(&[0xff; 10]).varint(), None);
        assert_eq!(Take(&[5, 1, 2]).bytes(), None);
        assert_eq!(Take(&[1, 0xff]).text(), None);
    }
}
