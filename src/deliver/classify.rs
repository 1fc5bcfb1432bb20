//! `retry_on` and `dead_on`: failures that an owner wants judged in another way than their kind does.

use std::ops::RangeInclusive;

use crate::event::{Failure, FailureClass};

/// Some failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailurePattern {
    /// Those with such a status: of HTTP, of SMTP, or an exit code.
    Status(RangeInclusive<u16>),
    /// Those that lie there.
    Class(FailureClass),
}

impl FailurePattern {
    /// What is written for each class.
    const CLASSES: [(&str, FailureClass); 2] =
        [("timeout", FailureClass::Timeout), ("connection", FailureClass::Connection)];

    /// Reads `404`, `4xx`, `500-503`, `timeout` or `connection`.
    pub fn parse(text: &str) -> Option<Self> {
        let class = Self::CLASSES.iter().find(|(word, _)| *word == text);
        if let Some((_, class)) = class {
            return Some(Self::Class(*class));
        }
        if let Some(hundreds) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            let hundreds: u16 = hundreds.parse().ok().filter(|one| (1..=9).contains(one))?;
            let first = hundreds * 100;
            return Some(Self::Status(first..=first + 99));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(Self::Status(first..=last))
    }

    /// How many statuses it stands for; a status says more than a class.
    pub(super) fn width(&self) -> u32 {
        match self {
            Self::Status(range) => u32::from(range.end() - range.start()),
            Self::Class(_) => u32::MAX,
        }
    }

    pub(super) fn matches(&self, failure: &Failure) -> bool {
        match self {
            Self::Status(range) => failure.status.is_some_and(|status| range.contains(&status)),
            Self::Class(class) => failure.class == Some(*class),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::Policy;
    use crate::event::FailureKind;

    fn patterns(texts: &[&str]) -> Vec<FailurePattern> {
        texts.iter().map(|text| FailurePattern::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_pattern_is_a_status_a_range_or_a_class() {
        assert_eq!(
            patterns(&["404", "4xx", "4XX"]),
            [404..=404, 400..=499, 400..=499].map(FailurePattern::Status)
        );
        assert_eq!(
            patterns(&["500-503", "timeout"]),
            [FailurePattern::Status(500..=503), FailurePattern::Class(FailureClass::Timeout)]
        );
        for bad in ["", "x", "xx", "0xx", "10xx", "503-500", "70000", "-1", "1-2-3", "Timeout"] {
            assert_eq!(FailurePattern::parse(bad), None, "{bad}");
        }
    }

    #[track_caller]
    fn check(retry_on: &[&str], dead_on: &[&str], failure: Failure, expected: FailureKind) {
        let (retry_on, dead_on) = (patterns(retry_on), patterns(dead_on));
        let policy = Policy { retry_on, dead_on, ..Policy::default() };
        assert_eq!(policy.classify(failure).kind, expected);
    }

    #[test]
    fn the_narrowest_pattern_decides() {
        let gone = || Failure::permanent("gone").with_status(410);
        let down = || Failure::transient("down").with_status(503);
        let late = || Failure::transient("late").with_class(FailureClass::Timeout);
        let (retry, dead) = (FailureKind::Transient, FailureKind::Permanent);
        check(&[], &[], gone(), dead);
        check(&["410"], &[], gone(), retry);
        check(&["410"], &["4xx"], gone(), retry);
        check(&["4xx"], &["410"], gone(), dead);
        check(&["404"], &[], gone(), dead);
        check(&[], &["5xx"], down(), dead);
        check(&["503"], &["500-599", "timeout"], down(), retry);
        check(&[], &["timeout"], late(), dead);
        check(&[], &["connection"], late(), retry);
        check(&[], &["timeout"], late().with_status(0), dead);
    }

    #[test]
    fn waiting_is_no_failure_that_a_pattern_could_mean() {
        for wait in [
            Failure::deferred("later", std::time::Duration::ZERO),
            Failure::paused("later", std::time::Duration::ZERO),
        ] {
            check(&[], &["429"], wait.clone().with_status(429), wait.kind);
        }
    }

    #[test]
    fn each_answer_of_a_batch_is_judged_by_itself() {
        let id = crate::handler::testing::numbered(1, "{}").event.id;
        let own = Failure::transient("down").with_status(503);
        let policy = Policy { dead_on: patterns(&["503"]), ..Policy::default() };
        let judged = policy.classify(Failure::transient("1 failed").with_each(vec![(id, own)]));
        assert_eq!(judged.kind, FailureKind::Transient);
        assert_eq!(judged.each[0].1.kind, FailureKind::Permanent);
    }
}
