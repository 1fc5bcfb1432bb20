//! A `when` that lets no sample through: what it compares with may never come.

use minijinja::value::ValueKind;

use crate::app::trial::Wants;
use crate::expr::{Expression, Scope, Value};

use super::{Lint, names, some_of};

/// The most values of samples that are told.
const VALUES_MAX: usize = 5;

/// `data.status == "new"` or `data.status in ["new", "old"]`.
pub(super) struct SampledComparison {
    /// The field, as it is written.
    pub(super) field: String,
    /// What it is compared with, each as it is written.
    pub(super) literals: Vec<String>,
}

impl Lint<'_> {
    /// Whether no sample passes `when`. A sample has one value of many, so only a slip of the pen and a value of
    /// another kind are a reason to warn.
    pub(super) fn never(&mut self) -> bool {
        let Some(when) = self.settings.policy.when.clone() else { return false };
        let is_left_out = |wants: Wants| matches!(wants, Wants::No(_));
        if !self.samples.iter().all(|event| is_left_out(self.trial.wants(event))) {
            return false;
        }
        let key = format!("handler.{}.when", self.name);
        let slip = comparisons(&when).into_iter().find_map(|one| self.slip(&one));
        if let Some((words, message, help)) = slip.filter(|_| !self.told.contains(&key)) {
            self.warn(&key, &words, message, help);
        }
        true
    }

    /// The same of `delete_when`, which few samples are true for.
    pub(super) fn never_deletes(&mut self) {
        let Some(when) = self.settings.kind.exempt().when else { return };
        let is_true = |event| when.is_true(&Scope::of(event)).unwrap_or(false);
        if self.samples.iter().any(is_true) {
            return;
        }
        let key = format!("handler.{}.{}.delete_when", self.name, self.settings.kind_name);
        let slip = comparisons(&when).into_iter().find_map(|one| self.slip(&one));
        if let Some((words, message, help)) = slip.filter(|_| !self.told.contains(&key)) {
            self.warn(&key, &words, message, help);
        }
    }

    pub(super) fn note_never(&mut self) {
        let key = format!("handler.{}.when", self.name);
        let of = names(&self.samples);
        let message =
            format!("no sample of {of} passes `when`: what it lets through is not looked at");
        let help =
            format!("see what it says to an event with `gatepost handlers try {}`", self.name);
        self.report.note(&key, self.config.place_of(&key), "", message, help);
    }

    /// The words, and what is to be said of them.
    fn slip(&self, comparison: &SampledComparison) -> Option<(String, String, String)> {
        let field = Expression::compile(&comparison.field).ok()?;
        let of_samples = self.samples.iter().filter_map(|event| field.eval(&Scope::of(event)).ok());
        let known: Vec<Value> =
            of_samples.filter(|value| !value.is_undefined() && !value.is_none()).collect();
        let compared = comparison.literals.iter().filter_map(|literal| {
            Some((
                literal,
                Expression::compile(literal).ok()?.eval(&Scope::of(self.samples.first()?)).ok()?,
            ))
        });
        let compared: Vec<(&String, Value)> = compared.collect();
        let is_known = |value: &Value| {
            known.iter().any(|own| text(own) == text(value) && is_text(own) == is_text(value))
        };
        // Then something else keeps them out.
        if known.is_empty() || compared.iter().any(|(_, value)| is_known(value)) {
            return None;
        }
        let shown = &comparison.field;
        compared.iter().find_map(|(literal, value)| {
            let wanted = text(value)?;
            if let Some((message, help)) = truth_in_quotes(literal, value, &known, shown) {
                return Some(((*literal).clone(), message, help));
            }
            let near = known.iter().filter_map(text).find(|own| is_slip(&wanted, own));
            if is_text(value) && known.iter().all(is_text) {
                let message =
                    format!("no sample of {} has `{literal}` in `{shown}`", names(&self.samples));
                return near.map(|near| {
                    ((*literal).clone(), message, format!("did you mean \"{near}\"?"))
                });
            }
            let is_other =
                known.iter().all(|own| text(own).is_some() && is_text(own) != is_text(value));
            let kind = |value: &Value| if is_text(value) { "a text" } else { "a number" };
            let first = known.first().filter(|_| is_other)?;
            let values: Vec<String> = known.iter().filter_map(text).collect();
            let message = format!(
                "`{literal}` is {}, and `{shown}` is {} in every sample",
                kind(value),
                kind(first)
            );
            let help = if is_text(value) {
                format!(
                    "write it without quotation marks: there it is {}",
                    some_of(&values, VALUES_MAX)
                )
            } else {
                format!(
                    "write it in quotation marks: there it is \"{}\"",
                    some_of(&values, VALUES_MAX)
                )
            };
            Some(((*literal).clone(), message, help))
        })
    }
}

/// What is said of `"true"` where `field` is true or false itself.
fn truth_in_quotes(
    literal: &str,
    value: &Value,
    known: &[Value],
    field: &str,
) -> Option<(String, String)> {
    let is_word =
        is_text(value) && value.as_str().is_some_and(|text| ["true", "false"].contains(&text));
    if !is_word || known.iter().any(|own| own.kind() != ValueKind::Bool) {
        return None;
    }
    let message = format!("`{literal}` is a text, and `{field}` is true or false in every sample");
    Some((message, format!("write it without quotation marks: `{value}`")))
}

/// Texts and numbers only.
fn text(value: &Value) -> Option<String> {
    (is_text(value) || is_number(value)).then(|| value.to_string())
}

fn is_text(value: &Value) -> bool {
    value.kind() == ValueKind::String
}

/// Also one that keeps its text.
fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Plain)
}

/// Not so long are words that differ in one letter by chance.
const WORD_MIN: usize = 5;

/// Whether one was probably meant to be the other: `publishd`, `Published`; not `v2` for `v1`, nor `active` for
/// `inactive`.
fn is_slip(word: &str, known: &str) -> bool {
    if word.to_lowercase() == known.to_lowercase() {
        return word != known;
    }
    let has_digit = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    let is_long = word.chars().count() >= WORD_MIN;
    is_long && !has_digit(word) && !has_digit(known) && crate::settings::is_one_slip(word, known)
}

/// Those that stand by themselves or between `and` and `or`.
pub(super) fn comparisons(when: &Expression) -> Vec<SampledComparison> {
    let source = when.source();
    let found = when.fields().into_iter().filter_map(|field| {
        let before = source.get(..field.range.start)?.trim_end();
        let written = source.get(field.range.clone())?;
        let behind = source.get(field.range.end..)?.trim_start();
        let (literals, rest) = if let Some(rest) = behind.strip_prefix("==") {
            let (literal, rest) = literal(rest)?;
            (vec![literal], rest)
        } else {
            list(behind.strip_prefix("in")?.trim_start())?
        };
        let ends = |word: &str| {
            let head = before.strip_suffix(word);
            head.is_some_and(|head| !head.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let starts = |word: &str| {
            let tail = rest.strip_prefix(word);
            tail.is_some_and(|tail| !tail.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let is_alone = (before.is_empty() || before.ends_with('(') || ends("and") || ends("or"))
            && (rest.is_empty() || rest.starts_with(')') || starts("and") || starts("or"));
        is_alone.then(|| SampledComparison { field: written.to_owned(), literals })
    });
    found.collect()
}

/// `["a", "b"]` or `("a", "b")`, and what is behind it.
pub(super) fn list(text: &str) -> Option<(Vec<String>, &str)> {
    let mut rest = text.strip_prefix(['[', '('])?;
    let mut literals = Vec::new();
    loop {
        let (one, behind) = literal(rest)?;
        literals.push(one);
        rest = behind.strip_prefix(',').unwrap_or(behind).trim_start();
        if let Some(end) = rest.strip_prefix([']', ')']) {
            return Some((literals, end.trim_start()));
        }
        if behind.len() == rest.len() {
            return None;
        }
    }
}

/// A text without escapes or a whole number, and what is behind it.
pub(super) fn literal(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let quote = text.chars().next()?;
    let length = if ['"', '\''].contains(&quote) {
        let end = text.get(1..)?.find(quote)?;
        text.get(1..=end).filter(|inner| !inner.contains('\\'))?;
        end + 2
    } else {
        text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
    };
    let (literal, rest) =
        text.split_at_checked(length).filter(|(literal, _)| !literal.is_empty())?;
    Some((literal.to_owned(), rest.trim_start()))
}
