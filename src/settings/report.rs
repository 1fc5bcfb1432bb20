//! Problems as people and programs read them.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::{Problem, Reading, Severity};

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportStyle {
    /// Plain text: logs, pipes.
    Plain,
    /// With ANSI colours: a terminal.
    Coloured,
}

/// What is wrong with one configuration file.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file's name, as its owner gave it.
    pub file: String,
    /// Everything that is wrong, in the order of the text.
    pub problems: Vec<Problem>,
    /// The text, with `*` where it must not be shown.
    text: String,
}

impl Report {
    /// The problems of `reading` of `text`, which is the content of `file`.
    pub fn new<T>(file: &str, text: &str, reading: &Reading<T>) -> Self {
        Self {
            file: file.to_owned(),
            problems: reading.problems.clone(),
            text: mask(text, &reading.hidden),
        }
    }

    /// A file that could not be read at all.
    pub fn unreadable(file: &str, message: impl fmt::Display, help: impl fmt::Display) -> Self {
        let problem = Problem {
            severity: Severity::Error,
            message: message.to_string(),
            help: help.to_string(),
            span: None,
            path: String::new(),
        };
        Self { file: file.to_owned(), problems: vec![problem], text: String::new() }
    }

    /// Adds a warning about the value of `path`, which is at `place`: at `words` in it, where
    /// they are found there.
    pub fn warn(
        &mut self,
        path: &str,
        place: Option<Range<usize>>,
        words: &str,
        message: String,
        help: String,
    ) {
        self.say(Severity::Warning, path, (place, words), message, help);
    }

    /// The same as a note.
    pub fn note(
        &mut self,
        path: &str,
        place: Option<Range<usize>>,
        words: &str,
        message: String,
        help: String,
    ) {
        self.say(Severity::Note, path, (place, words), message, help);
    }

    fn say(
        &mut self,
        severity: Severity,
        path: &str,
        (place, words): (Option<Range<usize>>, &str),
        message: String,
        help: String,
    ) {
        let inner = place.clone().and_then(|place| {
            let start = place.start + self.text.get(place)?.find(words)?;
            Some(start..start + words.len())
        });
        let span = inner.filter(|_| !words.is_empty()).or(place);
        let problem = Problem { severity, message, help, span, path: path.to_owned() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Keeps what is said of the part `path` (`handler.mail`).
    pub fn only(&mut self, path: &str) {
        let below = format!("{path}.");
        self.problems.retain(|problem| problem.path == path || problem.path.starts_with(&below));
    }

    /// Puts the problems into the order of the text.
    pub fn sort(&mut self) {
        self.problems
            .sort_by_key(|problem| problem.span.as_ref().map(|span| (span.start, span.end)));
    }

    /// Adds an error of the part or key `path` (`handler.mail`) that shows only when it is built: at
    /// `place`, else at the part's head.
    pub fn fail(&mut self, path: &str, place: Option<Range<usize>>, message: String, help: &str) {
        let span = place.or_else(|| self.head_of(path));
        let (severity, help, path) = (Severity::Error, help.to_owned(), path.to_owned());
        self.problems.push(Problem { severity, message, help, span, path });
    }

    /// Where `[handler.mail]` or the first table below it begins.
    fn head_of(&self, path: &str) -> Option<Range<usize>> {
        let heads = [format!("[{path}]"), format!("[{path}.")];
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let head = line.trim();
            if heads.iter().any(|begin| head.starts_with(begin)) {
                let indent = line.len().saturating_sub(line.trim_start().len());
                let length = head.find(']').map_or(head.len(), |end| end + 1);
                return Some(start + indent..start + indent + length);
            }
            start += line.len();
        }
        None
    }

    /// How many errors and how many warnings there are.
    pub fn counts(&self) -> (usize, usize) {
        let of = |severity| self.problems.iter().filter(|p| p.severity == severity).count();
        (of(Severity::Error), of(Severity::Warning))
    }

    /// Each problem with file, line and column, the line itself, and what to write instead.
    pub fn render(&self, style: ReportStyle) -> String {
        let renderer = match style {
            ReportStyle::Plain => Renderer::plain(),
            ReportStyle::Coloured => Renderer::styled(),
        };
        let shown = self.problems.iter().map(|problem| self.render_one(&renderer, problem));
        shown.collect::<Vec<_>>().join("\n\n")
    }

    /// Each problem as plain data, for `--json`.
    pub fn entries(&self) -> Vec<ReportEntry<'_>> {
        let entry = |problem| {
            let place = self.place(problem);
            ReportEntry::new(&self.file, problem, place.as_ref())
        };
        self.problems.iter().map(entry).collect()
    }

    fn render_one(&self, renderer: &Renderer, problem: &Problem) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let help = (!problem.help.is_empty()).then(|| Level::HELP.message(problem.help.as_str()));
        let title = level.primary_title(problem.message.as_str());
        let group = match self.place(problem) {
            Some(place) => title
                .element(
                    Snippet::source(place.text)
                        .line_start(place.line)
                        .path(self.file.as_str())
                        .annotation(AnnotationKind::Primary.span(place.in_line)),
                )
                .elements(help),
            None => title.element(Origin::path(self.file.as_str())).elements(help),
        };
        renderer.render(&[group])
    }

    fn place(&self, problem: &Problem) -> Option<Place<'_>> {
        problem.span.as_ref().and_then(|span| Place::find(&self.text, span))
    }
}

/// As plain text.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(ReportStyle::Plain))
    }
}

impl std::error::Error for Report {}

/// One problem as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportEntry<'a> {
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    pub file: &'a str,
    /// Counted from 1; absent for the file as a whole.
    pub line: Option<usize>,
    /// In characters, counted from 1.
    pub column: Option<usize>,
    /// The key, as in `handler.mail.email.smtp`.
    pub path: &'a str,
    pub message: &'a str,
    /// What to write instead; empty where there is nothing to say.
    pub help: &'a str,
}

impl<'a> ReportEntry<'a> {
    fn new(file: &'a str, problem: &'a Problem, place: Option<&Place<'_>>) -> Self {
        Self {
            severity: problem.severity.as_str(),
            file,
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            path: &problem.path,
            message: &problem.message,
            help: &problem.help,
        }
    }
}

/// One line of the text, and what is meant in it.
struct Place<'a> {
    line: usize,
    column: usize,
    text: &'a str,
    /// In bytes of the line. What goes on in the next line is cut off at the end of this one.
    in_line: Range<usize>,
}

impl<'a> Place<'a> {
    /// `None` where the span is not one of this text.
    fn find(text: &'a str, span: &Range<usize>) -> Option<Self> {
        let start = floor_boundary(text, span.start);
        let (before, behind) = text.split_at_checked(start)?;
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |index| index + 1);
        let line_end = behind.find('\n').map_or(text.len(), |index| start + index);
        let shown = text.get(line_start..line_end)?;
        let shown = shown.strip_suffix('\r').unwrap_or(shown);
        let start = (start - line_start).min(shown.len());
        let end = span.end.saturating_sub(line_start).clamp(start, shown.len());
        let end = floor_boundary(shown, end).max(start);
        let column = shown.get(..start)?.chars().count() + 1;
        Some(Self { line, column, text: shown, in_line: start..end })
    }
}

/// The nearest start of a character at or before `index`.
fn floor_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// `text` with `*` for every character in `hidden`. It keeps its length in bytes, so that spans
/// stay right.
fn mask(text: &str, hidden: &[Range<usize>]) -> String {
    if hidden.is_empty() {
        return text.to_owned();
    }
    let mut masked = String::with_capacity(text.len());
    for (index, c) in text.char_indices() {
        if c != '\n' && hidden.iter().any(|range| range.contains(&index)) {
            masked.extend(std::iter::repeat_n('*', c.len_utf8()));
        } else {
            masked.push(c);
        }
    }
    masked
}
