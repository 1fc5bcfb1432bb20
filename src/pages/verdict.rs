//! Whether all is well, in one sentence.

mod calm;
mod sources;

use crate::api::{HandlerStatus, HandlerView, RatesView, StatusView, Unasked};

use super::cluster::{Trouble, trouble};
use super::fields::address;
use super::widgets::{Ticked, When};
use super::words;
use crate::clock::Timestamp;

pub(super) use calm::{since, young_since};
pub(super) use sources::trouble_sign;

use calm::calm;
use sources::{of_sources, source_lines, troubled_sources};

/// The longest part of an error that a heading shows.
const ERROR_CHARS_MAX: usize = 90;
/// Handlers in trouble that are named.
const LINES_MAX: usize = 5;

/// What the overview begins with.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) is_trouble: bool,
    /// In bold.
    pub(super) first: String,
    pub(super) since: Option<When>,
    pub(super) rest: Ticked,
    /// What waits, as a link.
    pub(super) link: Option<(String, String)>,
    /// Behind it.
    pub(super) end: String,
    /// What was given up, as a link, and what is said behind that.
    pub(super) dead: Option<(String, String)>,
    pub(super) dead_end: &'static str,
    /// Each handler in trouble, where there is more than one, and each source.
    pub(super) each: Vec<TroubleLine>,
    /// Events that no handler asks for.
    pub(super) unasked: Option<UnaskedLink>,
    pub(super) explained: Ticked,
    /// The handler that it is about, for the buttons.
    pub(super) handler: Option<String>,
    /// Whether it can be tried at once.
    pub(super) may_retry: bool,
}

/// Events that no handler asks for: how many, and where they are listed.
#[derive(Debug)]
pub(super) struct UnaskedLink {
    pub(super) text: String,
    pub(super) address: String,
}

/// One of several handlers or sources in trouble.
#[derive(Debug)]
pub(super) struct TroubleLine {
    pub(super) name: String,
    /// Where it says more.
    pub(super) page: String,
    pub(super) says: String,
    pub(super) since: Option<When>,
    pub(super) error: Ticked,
}

pub(super) fn verdict(
    status: &StatusView,
    rates: &RatesView,
    unasked: Unasked,
    now: Timestamp,
) -> Verdict {
    let troubled: Vec<&HandlerView> =
        status.handlers.iter().filter(|handler| handler.is_in_trouble()).collect();
    // No handler's trouble is as urgent: what is not taken in may be lost.
    if let Some(why) = &status.queue.refuses {
        return of_refusing(why);
    }
    let cluster = status.cluster.as_ref();
    // Nothing is delivered without the shared log, so that no handler's trouble is newer than that.
    if let Some(view) = cluster.filter(|view| view.engine.error.is_some())
        && let Some(trouble) = trouble(view, now)
    {
        return of_trouble(trouble);
    }
    let cluster = cluster.and_then(|view| trouble(view, now));
    let sources = troubled_sources(status, now);
    let mut verdict = match troubled.as_slice() {
        [] => match (cluster, status.problems.first()) {
            (Some(trouble), _) => of_trouble(trouble),
            (None, Some(problem)) => of_problem(problem, status.problems.len() - 1),
            // What is damaged is more than what does not come in.
            (None, None) if !sources.is_empty() && status.queue.damage.is_empty() => {
                return of_sources(&sources, now);
            }
            (None, None) => return calm(status, rates, unasked, now),
        },
        [one] if one.is_giving_up() => one_gives_up(one, &others(&status.handlers), now),
        [one] => one_fails(one, &others(&status.handlers), now),
        many => many_fail(many, now),
    };
    verdict.each.extend(source_lines(&sources, now));
    verdict
}

/// Trouble that is no handler's.
fn of_trouble(trouble: Trouble) -> Verdict {
    let Trouble { first, since, rest, explained } = trouble;
    let (rest, explained) = (Ticked::of(&rest), Ticked::of(&explained));
    Verdict { is_trouble: true, first, since, rest, explained, ..Verdict::default() }
}

fn of_refusing(why: &str) -> Verdict {
    let explained =
        "Senders are answered 503, and told to come again; a few do not. What was answered 200 is \
                     on the disk, and is delivered as ever."
            .to_owned();
    let (first, rest) =
        ("No event is taken in".to_owned(), format!(": {}", words::ended(words::shown(why, 300))));
    of_trouble(Trouble { first, since: None, rest, explained })
}

/// What `readyz` tells of.
fn of_problem(problem: &str, n_more: usize) -> Verdict {
    let rest = match n_more {
        0 => format!(" {}", words::ended(words::shown(problem, 300))),
        n => format!(" {}, and {n} more.", words::shown(problem, 300)),
    };
    let explained =
        "Every handler answers. `gatepost status` lists all that is not ready.".to_owned();
    of_trouble(Trouble { first: "Not ready:".to_owned(), since: None, rest, explained })
}

/// What the handlers do that do not fail: those that are not held go on.
fn others(handlers: &[HandlerView]) -> String {
    let count =
        |state| handlers.iter().filter(|one| one.state == state && !one.is_in_trouble()).count();
    let go_on = match count(HandlerStatus::Running) {
        0 => None,
        1 if handlers.len() == 2 => Some("The other handler goes on".to_owned()),
        1 => Some("1 other handler goes on".to_owned()),
        n if n + 1 == handlers.len() => Some(format!("The other {n} handlers go on")),
        n => Some(format!("{n} other handlers go on")),
    };
    let paused = match (count(HandlerStatus::Paused), &go_on) {
        (0, _) => None,
        (1, Some(_)) => Some("1 is paused".to_owned()),
        (n, Some(_)) => Some(format!("{n} are paused")),
        (1, None) => Some("1 other handler is paused".to_owned()),
        (n, None) => Some(format!("{n} other handlers are paused")),
    };
    let parts: Vec<String> = go_on.into_iter().chain(paused).collect();
    if parts.is_empty() { String::new() } else { format!("{}. ", parts.join(", ")) }
}

/// What is said behind a link to what waits, and of what was given up.
fn with_dead(
    verdict: Verdict,
    n_waiting: u64,
    n_dead: u64,
    list: String,
    for_whom: &str,
) -> Verdict {
    let wait = if n_waiting == 1 { "waits" } else { "wait" };
    if n_dead == 0 {
        return Verdict { end: format!("{wait}{for_whom}; nothing is lost."), ..verdict };
    }
    Verdict {
        end: format!("{wait}{for_whom}, and"),
        dead: Some((words::count(n_dead), list)),
        dead_end: if n_dead == 1 {
            "was given up: it is kept as a dead letter."
        } else {
            "were given up: they are kept as dead letters."
        },
        ..verdict
    }
}

fn one_fails(handler: &HandlerView, others: &str, now: Timestamp) -> Verdict {
    let name = handler.name.to_string();
    let is_failed = handler.state == HandlerStatus::Failed;
    let error = match (&handler.reason, &handler.last_error) {
        (Some(reason), _) => reason.as_str(),
        (None, Some(error)) => error.text.as_str(),
        (None, None) => "its deliveries have ended",
    };
    let error = words::shown(error, ERROR_CHARS_MAX);
    let n_waiting = handler.pending();
    let link = match (n_waiting, handler.dead) {
        (0, 0) => None,
        (0, n) => Some((
            words::counted(n, "delivery", "deliveries"),
            address("/dead", [("handler", name.as_str())]),
        )),
        (n, _) => Some((
            words::capital(words::up_to(handler.is_bound(), words::counted(n, "event", "events"))),
            // Both numbers are there: what it has not come to yet, and what it tries again.
            match handler.in_log {
                0 => address("/events", [("handler", name.as_str()), ("state", "waiting")]),
                _ => format!("/handlers/{name}"),
            },
        )),
    };
    let first = if is_failed {
        format!("{name} could not be started")
    } else {
        format!("{name} has been failing since")
    };
    let next = match handler.probe_at {
        Some(at) => format!("It is tried again {}.", ahead(at, now)),
        None if is_failed => "It is tried again every minute, and with each reload.".to_owned(),
        None => "Each delivery is tried again by the rules of its retry table.".to_owned(),
    };
    let verdict = Verdict {
        is_trouble: true,
        first,
        since: handler.failing_since.filter(|_| !is_failed).map(|at| When::clock(at, now)),
        rest: Ticked::of(&format!(": {}", words::ended(error))),
        link,
        end: match (n_waiting, handler.dead) {
            (0, 0) => "Nothing waits for it.".to_owned(),
            (0, 1) => "was given up; nothing waits for it.".to_owned(),
            (0, _) => "were given up; nothing waits for it.".to_owned(),
            (_, _) => String::new(),
        },
        explained: Ticked::of(&if n_waiting == 0 {
            format!("{others}It is tried again with the next event that it takes.")
        } else {
            let until = until(handler, now);
            format!("{others}{next} All that waits is sent as soon as it answers{until}.")
        }),
        handler: Some(name.clone()),
        may_retry: n_waiting > 0 && handler.state != HandlerStatus::Stopped,
        ..Verdict::default()
    };
    if n_waiting == 0 {
        return verdict;
    }
    let list = address("/dead", [("handler", name.as_str())]);
    with_dead(verdict, n_waiting, handler.dead, list, " for it")
}

/// Nothing that it gets is tried again, so that nothing may wait for it and it has not failed either.
fn one_gives_up(handler: &HandlerView, others: &str, now: Timestamp) -> Verdict {
    let name = handler.name.to_string();
    let since = handler.last_success_at.map(|at| When::clock(at, now));
    let why = handler.last_error.as_ref().map_or(String::new(), |error| {
        format!(": {}", words::shown(error.text.as_str(), ERROR_CHARS_MAX))
    });
    let n_given_up = words::count(handler.given_up_in_a_row.into());
    Verdict {
        is_trouble: true,
        first: match since {
            Some(_) => format!("{name} has delivered nothing since"),
            None => format!("{name} has delivered nothing since the start"),
        },
        since,
        rest: Ticked::of(&words::ended(format!(
            ": its last {n_given_up} deliveries were given up{why}"
        ))),
        link: (handler.dead > 0).then(|| {
            let dead = words::counted(handler.dead, "dead letter", "dead letters");
            (dead, address("/dead", [("handler", name.as_str())]))
        }),
        end: match handler.dead {
            0 => String::new(),
            1 => "waits for you.".to_owned(),
            _ => "wait for you.".to_owned(),
        },
        explained: Ticked::of(&format!(
            "{others}A delivery is given up at once where the handler says that no other try is of \
             use, or where a filter or a template fails. Mend that, then redrive the dead letters."
        )),
        handler: Some(name),
        ..Verdict::default()
    }
}

/// Until when what waits is tried.
fn until(handler: &HandlerView, now: Timestamp) -> String {
    match handler.given_up_at.filter(|at| *at > now && handler.pending() > 0) {
        Some(at) => {
            format!("; what fails like this until {} is given up", words::clock(at, now, false))
        }
        None => String::new(),
    }
}

fn ahead(at: Timestamp, now: Timestamp) -> String {
    format!("in {}", words::between(now, at))
}

fn many_fail(handlers: &[&HandlerView], now: Timestamp) -> Verdict {
    let n_waiting: u64 = handlers.iter().map(|one| one.pending()).sum();
    let n_dead: u64 = handlers.iter().map(|one| one.dead).sum();
    let dead = || words::counted(n_dead, "dead letter", "dead letters");
    let more = handlers.len().saturating_sub(LINES_MAX);
    let more = if more == 0 { String::new() } else { format!("And {more} more. ") };
    let next = match (n_waiting, n_dead) {
        (0, 0) => "Each is tried again with the next event that it takes.",
        (0, _) => "Mend what they fail of, then redrive the dead letters.",
        (_, _) => "What waits is sent as soon as its handler answers.",
    };
    let verdict = Verdict {
        is_trouble: true,
        first: format!("{} handlers fail.", handlers.len()),
        each: handlers.iter().take(LINES_MAX).map(|one| trouble_line(one, now)).collect(),
        explained: Ticked::of(&format!("{more}{next}")),
        ..Verdict::default()
    };
    match (n_waiting, n_dead) {
        (0, 0) => Verdict { end: "Nothing waits for them.".to_owned(), ..verdict },
        (0, _) => {
            let wait = if n_dead == 1 { "waits" } else { "wait" };
            let end = format!("{wait} for you; nothing else waits.");
            Verdict { link: Some((dead(), "/dead".to_owned())), end, ..verdict }
        }
        (n, n_dead) => {
            let is_bound = handlers.iter().any(|one| one.is_bound());
            let deliveries = words::up_to(is_bound, words::counted(n, "delivery", "deliveries"));
            let link = Some((words::capital(deliveries), "/handlers".to_owned()));
            with_dead(Verdict { link, ..verdict }, n, n_dead, "/dead".to_owned(), "")
        }
    }
}

fn trouble_line(handler: &HandlerView, now: Timestamp) -> TroubleLine {
    let is_failed = handler.state == HandlerStatus::Failed;
    let since = handler.failing_since.or(handler.given_up_since).filter(|_| !is_failed);
    let error =
        handler.reason.as_deref().or(handler.last_error.as_ref().map(|one| one.text.as_str()));
    TroubleLine {
        name: handler.name.to_string(),
        page: format!("/handlers/{}", handler.name),
        says: match (is_failed, since) {
            (true, _) => "could not be started".to_owned(),
            (false, None) => handler.state_shown().to_owned(),
            (false, Some(_)) if handler.is_giving_up() => "gives up all since".to_owned(),
            (false, Some(_)) => "since".to_owned(),
        },
        since: since.map(|at| When::clock(at, now)),
        error: error.map(|text| Ticked::new(text, ERROR_CHARS_MAX)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
