//! How many frames a client may send that bring no request: h2 limits some kinds, and takes any number of
//! `WINDOW_UPDATE` and `PRIORITY` (40 million cost 5 s of a processor, measured).

/// The client's words before its first frame (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// What stands before each frame (section 4.1).
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// As many at first, and at most: a client also has to confirm answers.
const FRAMES_MAX: u32 = 10_000;
/// And so many more with each request.
const PER_REQUEST: u32 = 8;

/// Counts the frames in what is read.
#[derive(Debug)]
pub(super) struct FrameBudget {
    left: u32,
    /// Of the preface or a frame's payload.
    n_to_skip: usize,
    head: [u8; HEAD_BYTES],
    n_head: usize,
}

impl FrameBudget {
    pub(super) fn new() -> Self {
        Self { left: FRAMES_MAX, n_to_skip: PREFACE_BYTES, head: [0; HEAD_BYTES], n_head: 0 }
    }

    /// Whether it is spent, and stays so.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    pub(super) fn count(&mut self, mut bytes: &[u8]) {
        while !self.is_spent() {
            let n_skipped = bytes.len().min(self.n_to_skip);
            self.n_to_skip -= n_skipped;
            bytes = bytes.get(n_skipped..).unwrap_or_default();
            let Some((byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            if let Some(place) = self.head.get_mut(self.n_head) {
                *place = *byte;
            }
            self.n_head += 1;
            if self.n_head == HEAD_BYTES {
                self.n_head = 0;
                let [high, middle, low, kind, ..] = self.head;
                self.n_to_skip =
                    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.count_frame(kind);
            }
        }
    }

    fn count_frame(&mut self, kind: u8) {
        match kind {
            HEADERS => self.left = (self.left + PER_REQUEST).min(FRAMES_MAX),
            // h2 has limits of its own for these.
            DATA | CONTINUATION => {}
            _ => self.left -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, 0, 0, 0, 0, 0], payload].concat()
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let mut bytes = vec![HEADERS; PREFACE_BYTES];
        for _ in 0..100 {
            // A payload that looks like a frame.
            bytes.extend(frame(8, &frame(8, &[])));
            bytes.extend(frame(DATA, &[8; 40]));
        }
        for cut in 1..50 {
            let mut budget = FrameBudget::new();
            bytes.chunks(cut).for_each(|piece| budget.count(piece));
            assert_eq!(budget.left, FRAMES_MAX - 100, "in pieces of {cut}");
            budget.count(&frame(HEADERS, &[1]));
            assert_eq!(budget.left, FRAMES_MAX - 100 + PER_REQUEST);
        }
    }

    #[test]
    fn what_is_spent_stays_spent() {
        let mut budget = FrameBudget::new();
        budget.count(&[0; PREFACE_BYTES]);
        budget.count(&frame(2, &[0; 5]).repeat(FRAMES_MAX as usize));
        budget.count(&frame(HEADERS, &[]));
        assert!(budget.is_spent());
    }
}
