//! `/events`: what came in, and who has it.

use std::time::Duration;

use askama::Template;

use super::about::about;
use super::event_list::{EventList, FILTER, ask};
use super::fields::{Fields, address};
use super::frame::{Frame, Here};
use super::widgets::{Sign, When, state_word};
use super::{Answer, Viewer, events_take, rendered, words};
use crate::api::{
    Api, ApiError, EventRow, EventsAsk, FoundEvents, ReplayRange, StatusView, unknown_qualifiers,
};
use crate::clock::Timestamp;
use crate::queue::DeliveryState;

/// How often the newest event of a filter is looked for on where a list took too long.
const LATEST_ROUNDS_MAX: usize = 8;
/// Types that are suggested.
const TYPES_MAX: usize = 60;
/// With more handlers than these a row says how many of them have the event.
const COLUMNS_MAX: usize = 6;

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    frame: Frame,
    filter: Filter,
    sources: Vec<String>,
    handlers: Vec<String>,
    types: Vec<String>,
    columns: Vec<String>,
    rows: Vec<Row>,
    /// What is shown, in words.
    heading: String,
    bound: String,
    older: Option<String>,
    newer: Option<String>,
    is_filtered: bool,
    /// Words of the search that may be a mistyped qualifier.
    plain_words: Vec<String>,
    /// The fields of the filter, for forms that lead back to this list.
    kept: Vec<(&'static str, String)>,
    command: String,
    /// Where the same is as a file.
    lines: String,
    replay: Option<ReplayPreview>,
    replay_address: String,
}

/// What delivering again all that match would do.
#[derive(Debug)]
struct ReplayPreview {
    /// What matches, and what of it some handler wants.
    matched: String,
    n_matched: u64,
    events: String,
    n_events: u64,
    /// How many are not, and why.
    skipped: Option<String>,
    /// To whom: a handler's name or nothing for all, what it comes to, and whether it is chosen.
    to: Vec<(String, String, bool)>,
    /// Whether there are more than were counted.
    has_more: bool,
    /// The position that an earlier click came to.
    goes_on_behind: Option<String>,
    fields: Vec<(&'static str, String)>,
}

/// What the form shows again.
#[derive(Debug, Default)]
struct Filter {
    q: String,
    source: String,
    event_type: String,
    handler: String,
    state: String,
    since: String,
    until: String,
}

#[derive(Debug)]
struct Row {
    id: String,
    /// Its page, which knows the way back.
    page: String,
    ago: When,
    source: String,
    event_type: String,
    about: String,
    size: String,
    cells: Vec<Cell>,
    summary: String,
}

/// The state of one handler's delivery.
#[derive(Debug)]
struct Cell {
    handler: String,
    sign: Sign,
    word: &'static str,
    /// The handler has nothing to do with the event: not shown where room is scarce.
    is_uncalled: bool,
}

/// How long one click may take, and the counting before it.
const REPLAY_TIME: Duration = Duration::from_secs(20);
const COUNT_TIME: Duration = Duration::from_millis(1_500);

/// All that the page's address may say, but for numbers.
const KNOWN: [&str; 12] = [
    "q", "source", "type", "handler", "state", "since", "until", "done", "replay", "form", "to",
    "picked",
];

/// The filter as a replay takes it: a handler and a state are words of its search.
fn range(api: &Api, fields: &Fields) -> Result<ReplayRange, ApiError> {
    let asked = ask(api, fields)?;
    let words = [
        asked.q,
        asked.handler.map(|handler| format!("handler:{handler}")),
        fields.get("state").map(|state| format!("has:{state}")),
    ];
    let q = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    Ok(ReplayRange {
        handler: fields.text("to"),
        source: asked.source,
        event_type: asked.event_type,
        since: asked.since,
        until: asked.until,
        q: Some(q).filter(|q| !q.is_empty()),
        after: fields.number("after"),
        up_to: fields.number("up_to"),
        all: fields.get("all") == Some("true"),
        ..ReplayRange::default()
    })
}

/// Delivers again all that the filter finds, as far as one click comes. Gives the address that it leads
/// back to, with the question whether to go on where there is more.
pub(super) async fn replay(api: &Api, fields: &Fields) -> Result<String, ApiError> {
    let asked = range(api, fields)?;
    // What comes in from now on is delivered anyway.
    let up_to = asked.up_to.unwrap_or(api.newest().0);
    let moments = [("since", asked.since), ("until", asked.until)];
    let replayed = api.replay_all(asked, REPLAY_TIME).await?;
    if replayed.is_last {
        return Ok(fields.address("/events", &OF_REPLAY, &[]));
    }
    // A span of time before now would begin later by the next click, and leave out what lies between.
    let moments = moments.map(|(name, at)| (name, at.map(|at| at.to_string())));
    let (after, up_to) = (replayed.after.to_string(), up_to.to_string());
    let to = fields.text("to").unwrap_or_default();
    let mut rest = vec![("replay", "1"), ("to", &to), ("after", &after), ("up_to", &up_to)];
    rest.extend(moments.iter().filter_map(|(name, at)| Some((*name, at.as_deref()?))));
    Ok(fields.address("/events", &OF_REPLAY, &rest))
}

/// Fields of a replay that no list of events has.
const OF_REPLAY: [&str; 6] = ["done", "all", "to", "replay", "after", "up_to"];

async fn preview(api: &Api, fields: &Fields) -> Result<ReplayPreview, ApiError> {
    let asked = ReplayRange { dry_run: true, handler: None, ..range(api, fields)? };
    let counted = api.replay_all(asked, COUNT_TIME).await?;
    let events = |count: u64| words::counted(count, "event", "events");
    let has_more = !counted.is_last;
    let least = if has_more { "more than " } else { "" };
    let chosen = fields.get("to").or(fields.get("handler"));
    // Each is called with those that it wants only.
    let mut to: Vec<_> = counted.by_handler.iter().filter(|(_, count)| **count > 0).collect();
    to.sort_by_key(|(name, _)| chosen != Some(name.as_str()));
    let each = to.iter().map(|(name, count)| {
        let is_chosen = chosen == Some(name.as_str());
        (name.to_string(), format!("{name}: {least}{}", events(**count)), is_chosen)
    });
    let deliveries = words::counted(counted.deliveries, "delivery", "deliveries");
    let all = format!("all {}: {least}{}, {deliveries}", to.len(), events(counted.done));
    let all = (String::new(), all, false);
    let is_one = to.len() == 1;
    // A form that says nothing is for nothing: this one has said how many they are.
    let narrowing = fields.said(&FILTER);
    let every = narrowing.is_empty().then(|| ("all", "true".to_owned()));
    let rest = fields.said(&["after", "up_to"]);
    Ok(ReplayPreview {
        matched: events(counted.matched),
        n_matched: counted.matched,
        events: events(counted.done),
        n_events: counted.done,
        skipped: counted.skips.words(),
        to: each.chain((!is_one).then_some(all)).collect(),
        has_more,
        goes_on_behind: fields.number("after").map(words::count),
        fields: narrowing.into_iter().chain(every).chain(rest).collect(),
    })
}

/// All that the filter finds, as lines of JSON.
pub(super) async fn lines(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<Answer, ApiError> {
    events_take::lines(api, ask(api, fields)?, viewer.secrets()).await
}

/// The newest event that the filter finds.
pub(super) async fn latest(api: &Api, fields: &Fields) -> Result<Answer, ApiError> {
    let mut ask = EventsAsk { limit: Some(1), ..ask(api, fields)? };
    let list = EventList::of_list(fields);
    for _ in 0..LATEST_ROUNDS_MAX {
        let mut found = api.events(ask.clone()).await?;
        match (found.events.pop(), found.next) {
            (Some(event), _) => return Ok(Answer::SeeOther(list.event(event.id))),
            (None, Some(next)) => ask.before = Some(next),
            (None, None) => return Err(ApiError::NotFound("no such event is kept".into())),
        }
    }
    Err(ApiError::NotFound("none of the newest events is one: say more of it".into()))
}

pub(super) async fn show(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    fields.check(&KNOWN, &["before", "after", "up_to"])?;
    let asked = ask(api, fields)?;
    let json = events_take::api_address(&asked);
    let found = api.find(asked).await?;
    let replay = match fields.get("replay") {
        Some(_) if viewer.may_change => Some(preview(api, fields).await?),
        Some(_) | None => None,
    };
    page(api, fields, viewer, &found, replay, json)
}

/// The form as it was filled in, where what it says cannot be looked for.
pub(super) fn form(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let found = FoundEvents { rows: Vec::new(), next: None, looked_at: 0, retained: 0 };
    page(api, fields, viewer, &found, None, "/api/v1/events".to_owned())
}

fn page(
    api: &Api,
    fields: &Fields,
    viewer: &Viewer,
    found: &FoundEvents,
    replay: Option<ReplayPreview>,
    json: String,
) -> Result<String, ApiError> {
    let (status, now, list) = (api.status(), api.now(), EventList::of_list(fields));
    let handlers: Vec<String> = status.handlers.iter().map(|one| one.name.to_string()).collect();
    let columns = if handlers.len() > COLUMNS_MAX { Vec::new() } else { handlers.clone() };
    let rows: Vec<Row> =
        found.rows.iter().map(|row| self::row(row, &columns, &list, now)).collect();
    let types = types(&rows, &status);
    let is_filtered = FILTER.iter().any(|name| fields.get(name).is_some());
    let older = found.next.map(|next| {
        fields.address("/events", &OF_REPLAY, &[("before", next.to_string().as_str())])
    });
    let newer = fields.get("before").map(|_| fields.address("/events", &["before", "done"], &[]));
    let bound =
        bound(found, is_filtered, fields.get("before").is_none()) + &not_come_to(fields, &status);
    let shown =
        |name: &str| fields.get(name).map(|text| words::shown(text, 300)).unwrap_or_default();
    let frame = Frame::new(api, &status, fields, viewer, Here::Events, "Events", json);
    rendered(&EventsPage {
        filter: Filter {
            q: shown("q"),
            source: shown("source"),
            event_type: shown("type"),
            handler: shown("handler"),
            state: shown("state"),
            since: shown("since"),
            until: shown("until"),
        },
        sources: status.sources.iter().map(|one| one.name.to_string()).collect(),
        kept: fields.said(&[&FILTER[..], &["before"]].concat()),
        heading: heading(rows.len(), older.is_some()),
        command: events_take::command(fields),
        lines: fields.address("/events", &OF_REPLAY, &[("form", "jsonl")]),
        replay_address: fields.address(
            "/events",
            &["done", "before", "after", "up_to"],
            &[("replay", "1")],
        ),
        replay,
        handlers,
        types,
        columns,
        rows,
        bound,
        older,
        newer,
        is_filtered,
        plain_words: fields.get("q").map(plain_words).unwrap_or_default(),
        frame,
    })
}

/// How many there are beside those that are listed, as far as it was looked at, and in which order they
/// are. Nothing is counted for it: what is said was found out for the list.
fn bound(found: &FoundEvents, is_filtered: bool, is_first: bool) -> String {
    let (n_rows, retained) = (found.rows.len() as u64, words::count(found.retained));
    let more = if is_first { "" } else { "more " };
    match found.next {
        Some(_) if is_filtered => {
            // Positions whose events are gone are looked at, too.
            let searched = words::count(found.looked_at.min(found.retained));
            let least = match n_rows {
                0 => String::new(),
                1 => format!("at least 1 {more}fits; "),
                n => format!("at least {} {more}fit; ", words::count(n)),
            };
            format!("{least}searched {searched} of {retained}, newest first")
        }
        None if !is_first || n_rows == 0 => "newest first".to_owned(),
        Some(_) | None => format!("of {retained} that are kept, newest first"),
    }
}

/// What a handler's number of events in the log counts, beside the list that it leads to: what `on`
/// does not name is passed over once the handler comes to it, and is not in the list.
fn not_come_to(fields: &Fields, status: &StatusView) -> String {
    let name = fields.get("handler").filter(|_| fields.get("state") == Some("pending"));
    let handler = status.handlers.iter().find(|one| Some(one.name.as_str()) == name);
    match handler.map(|one| (&one.name, one.in_log)) {
        Some((name, in_log)) if in_log > 0 => format!(
            "; of {} that {name} has not come to yet, those that its on names",
            words::counted(in_log, "event", "events")
        ),
        Some(_) | None => String::new(),
    }
}

/// Words like `foo:bar`, which are looked for as a field and as they stand.
fn plain_words(q: &str) -> Vec<String> {
    let found = unknown_qualifiers(q).into_iter().take(4);
    found.map(|word| words::shown(&word, 60)).collect()
}

/// Types that are suggested: those that came, and those that there are samples of.
fn types(rows: &[Row], status: &StatusView) -> Vec<String> {
    let samples = status.sources.iter().flat_map(|source| source.sample_types.iter());
    let mut types: Vec<String> = rows.iter().map(|row| row.event_type.clone()).collect();
    types.extend(samples.take(TYPES_MAX).map(|one| words::shown(one, 48)));
    types.sort();
    types.dedup();
    types.truncate(TYPES_MAX);
    types
}

fn heading(n_rows: usize, has_more: bool) -> String {
    let events = words::counted(n_rows as u64, "event", "events");
    if has_more && n_rows > 0 { format!("The newest {events}") } else { events }
}

fn row(row: &EventRow, columns: &[String], list: &EventList, now: Timestamp) -> Row {
    let state_of = |name: &String| {
        let found = row.deliveries.iter().find(|(handler, _)| handler.as_str() == name);
        found.map(|(_, state)| *state)
    };
    let cells = columns.iter().map(|name| {
        let (sign, word) = match state_of(name) {
            Some(state) => (Sign::of(state), state_word(state)),
            None => (Sign::None, "not called"),
        };
        Cell { handler: name.clone(), sign, word, is_uncalled: sign == Sign::None }
    });
    let summary = &row.summary;
    Row {
        id: summary.id.to_string(),
        page: list.event(summary.id),
        ago: When::ago(summary.received_at, now),
        source: summary.source.to_string(),
        event_type: words::shown(summary.event_type.as_str(), 48),
        about: about(&row.event),
        size: words::bytes(summary.body_bytes as u64),
        cells: cells.collect(),
        summary: standing(&row.deliveries),
    }
}

/// `4 of 9, 1 dead`
fn standing<T>(deliveries: &[(T, DeliveryState)]) -> String {
    let count = |wanted| deliveries.iter().filter(|(_, state)| *state == wanted).count();
    let n_skipped = count(DeliveryState::Skipped);
    let mut text =
        format!("{} of {}", count(DeliveryState::Delivered), deliveries.len() - n_skipped);
    let n_dead = count(DeliveryState::Dead);
    if n_dead > 0 {
        text.extend([", ", &n_dead.to_string(), " dead"]);
    }
    text
}

/// Where the events are that are like this one.
pub(super) fn of_type(source: &str, event_type: &str) -> String {
    address("/events", [("source", source), ("type", event_type)])
}
