//! `/dead`: what went wrong, how often, and is it safe to try again?

use askama::Template;

use super::dead_example::DeadExample;
use super::dead_matrix::{COLUMNS, GroupRow, bound, group_row, sums};
use super::dead_types::by_type;
use super::fields::{Fields, address};
use super::frame::{Frame, Here};
use super::rollouts::{self, RolloutCard};
use super::widgets::{Linked, Sign, Ticked, When};
use super::{Viewer, redriven, rendered, words};
use crate::api::{
    Api, ApiError, ChosenAsk, ChosenDead, DeadAsk, DeadEntry, DeadGroup, DeadGroups, DeadSelection,
    HandlerStatus, Lately,
};
use crate::clock::Timestamp;
use crate::queue::DeadFilter;

/// Groups that are shown.
const GROUPS_MAX: usize = 24;
/// Dead letters of a list.
const LETTERS_MAX: usize = 12;
/// The fields that choose some of them.
const FILTER: [&str; 6] = ["handler", "like", "reason", "since", "until", "id"];
/// How many are redriven first, and then.
const STEPS: [u64; 3] = [1, 10, 100];

#[derive(Template)]
#[template(path = "dead.html")]
struct DeadPage {
    frame: Frame,
    total: String,
    /// Of how many they are chosen; nothing = they are all.
    of_all: String,
    is_empty: bool,
    n_groups: usize,
    bound: String,
    columns: Vec<&'static str>,
    groups: Vec<GroupRow>,
    sums: Vec<Linked>,
    chosen: Option<Chosen>,
    rollouts: Vec<RolloutCard>,
    /// What is chosen stays so behind a step of a rollout.
    kept: Vec<(&'static str, String)>,
    /// How many of them are at their end: the last ones.
    n_ended: usize,
}

/// What the filter finds.
#[derive(Debug)]
struct Chosen {
    heading: Ticked,
    example: Option<DeadExample>,
    is_filtered: bool,
    handler: String,
    like: String,
    reason: String,
    since: String,
    until: String,
    id: String,
    matched: u64,
    matched_shown: String,
    matched_count: String,
    by_type: String,
    is_answering: String,
    sign: Sign,
    steps: Vec<(u64, String)>,
    letters: Vec<Letter>,
    lost: Vec<Ticked>,
    n_more: String,
    /// Where the list goes on, and where it begins.
    older: Option<String>,
    first: Option<String>,
}

#[derive(Debug)]
struct Letter {
    event: String,
    event_type: String,
    handler: String,
    died: When,
    attempts: u32,
    reason: Ticked,
}

/// What a form's fields choose.
pub(super) async fn selection(api: &Api, fields: &Fields) -> Result<DeadSelection, ApiError> {
    ask(api, fields)?.parse_for_change(api).await
}

/// What a page's or a form's fields choose, as a question.
pub(super) fn ask(api: &Api, fields: &Fields) -> Result<DeadAsk, ApiError> {
    let now = api.now();
    Ok(DeadAsk {
        handler: fields.text("handler"),
        id: fields.text("id"),
        reason: fields.text("reason"),
        since: fields.time("since", now)?,
        until: fields.time("until", now)?,
        after: fields.text("after"),
        limit: fields.number("limit").map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        like: fields.text("like"),
        all: fields.get("all") == Some("true"),
        ..DeadAsk::default()
    })
}

pub(super) async fn show(api: &Api, fields: &Fields, viewer: &Viewer) -> Result<String, ApiError> {
    let Lately { answer: groups, age } = api.dead_groups_lately(DeadFilter::default()).await?;
    let (status, now) = (api.status(), api.now());
    let is_chosen = FILTER.iter().any(|name| fields.get(name).is_some());
    // One group is as good as chosen.
    let chosen = is_chosen || groups.groups.len() == 1 && fields.wrong().is_none();
    // Types stand beside the buttons, which a viewer who may change nothing has not.
    let ask = ChosenAsk { limit: LETTERS_MAX, with_types: viewer.may_change };
    let chosen = if chosen { Some(choose(api, fields, &groups, ask, now).await?) } else { None };
    let total: u64 = status.handlers.iter().map(|handler| handler.dead).sum();
    let matched = chosen.as_ref().filter(|_| is_chosen).map_or(total, |chosen| chosen.matched);
    let title = match matched {
        0 if is_chosen && total > 0 => "No dead letters here".to_owned(),
        0 => "No dead letters".to_owned(),
        n => words::counted(n, "dead letter", "dead letters"),
    };
    let json = json_address(fields);
    let mut frame = Frame::new(api, &status, fields, viewer, Here::Dead, title.as_str(), json);
    redriven::tell(api, fields, frame.done.as_mut()).await?;
    let bound = bound(&groups, age);
    let mut rows = Vec::new();
    for group in groups.groups.iter().take(GROUPS_MAX) {
        let example = api.summary_at(group.example).await?;
        rows.push(group_row(group, example.as_ref(), fields, now));
    }
    let rollouts = rollouts::cards(api, now).await?;
    rendered(&DeadPage {
        of_all: if is_chosen && matched < total { words::count(total) } else { String::new() },
        total: title,
        is_empty: total == 0,
        n_groups: groups.groups.len(),
        bound,
        columns: COLUMNS.map(|(name, _)| name).to_vec(),
        sums: sums(&groups),
        groups: rows,
        chosen,
        n_ended: rollouts.iter().filter(|one| !one.may_cancel).count(),
        rollouts,
        kept: fields.said(&FILTER),
        frame,
    })
}

/// Where the API has the same: what the filter finds, or the groups.
fn json_address(fields: &Fields) -> String {
    let said =
        || FILTER.into_iter().chain(["after"]).filter_map(|name| Some((name, fields.get(name)?)));
    match said().next() {
        Some(_) => address("/api/v1/dead", said()),
        None => "/api/v1/dead?group=reason".to_owned(),
    }
}

async fn choose(
    api: &Api,
    fields: &Fields,
    groups: &DeadGroups,
    asked: ChosenAsk,
    now: Timestamp,
) -> Result<Chosen, ApiError> {
    let selection = ask(api, fields)?.parse(api).await?;
    let is_first = selection.filter.after.is_none();
    let chosen = api.dead_chosen_lately(&selection, asked).await?.answer;
    let ChosenDead { matched, n_left, newest, listed: found, types } = &*chosen;
    let (matched, newest) = (*matched, newest.clone());
    let Listed { letters, lost } = listed(&found.entries, now);
    let n_more = n_left.saturating_sub(letters.len() as u64);
    let older = found.next.as_ref();
    let older = older.map(|next| fields.address("/dead", &["done"], &[("after", next)]));
    let only = match groups.groups.as_slice() {
        [one] => Some(one.handler.as_str()),
        _ => None,
    };
    let (sign, is_answering) = answering(api, fields.get("handler").or(only));
    let shown = |name: &str| fields.text(name).unwrap_or_default();
    let steps = STEPS.iter().filter(|step| **step < matched);
    let steps = steps.map(|step| (*step, format!("Redrive {step}")));
    let all = if matched == 1 {
        "Redrive it".to_owned()
    } else {
        format!("Redrive all {}", words::count(matched))
    };
    let example = DeadExample::of(api, newest).await?;
    let is_filtered = FILTER.iter().any(|name| fields.get(name).is_some());
    // The page speaks of one reason: what dies of another one meanwhile is not meant by its buttons.
    // Lost deliveries have no reason, and are in no group.
    let is_meant = |group: &&DeadGroup| group.count == matched && groups.is_complete;
    let one = groups.groups.first().filter(|_| !is_filtered).filter(is_meant);
    Ok(Chosen {
        heading: Ticked::of(&heading(fields, groups)),
        example,
        is_filtered,
        handler: one.map_or_else(|| shown("handler"), |group| group.handler.to_string()),
        like: one.map_or_else(|| shown("like"), |group| group.key.clone()),
        reason: shown("reason"),
        since: shown("since"),
        until: shown("until"),
        id: shown("id"),
        matched,
        matched_count: words::count(matched),
        matched_shown: words::counted(matched, "dead letter", "dead letters"),
        by_type: by_type(types, matched),
        sign,
        is_answering,
        steps: steps.chain([(matched, all)]).collect(),
        letters,
        lost,
        n_more: if n_more == 0 { String::new() } else { words::count(n_more) },
        older,
        first: (!is_first).then(|| fields.address("/dead", &["after", "done"], &[])),
    })
}

/// Dead letters as the page lists them.
struct Listed {
    letters: Vec<Letter>,
    lost: Vec<Ticked>,
}

fn listed(entries: &[DeadEntry], now: Timestamp) -> Listed {
    let mut letters = Vec::new();
    let mut lost = Vec::new();
    for entry in entries {
        match entry {
            DeadEntry::Letter(letter) => {
                letters.push(Letter {
                    event: letter.id.to_string(),
                    event_type: words::shown(letter.event_type.as_str(), 48),
                    handler: letter.handler.to_string(),
                    died: When::ago(letter.died_at, now),
                    attempts: letter.attempts,
                    reason: Ticked::new(letter.reason.as_str(), 160),
                });
            }
            DeadEntry::Lost(entry) => {
                lost.push(Ticked::new(&format!("{}: {}", entry.handler, entry.reason), 300));
            }
        }
    }
    Listed { letters, lost }
}

fn chosen_group<'a>(fields: &Fields, groups: &'a DeadGroups) -> Option<&'a DeadGroup> {
    let (like, handler) = (fields.get("like"), fields.get("handler"));
    let is_meant = |group: &&DeadGroup| {
        Some(group.key.as_str()) == like
            && handler.is_none_or(|name| group.handler.as_str() == name)
    };
    // Where there is one group only, all are its.
    match groups.groups.as_slice() {
        [one] if like.is_none() => Some(one),
        all => all.iter().find(is_meant),
    }
}

fn heading(fields: &Fields, groups: &DeadGroups) -> String {
    let like = fields.get("like");
    let group = chosen_group(fields, groups);
    let of_group = group.map(|group| group.handler.as_str());
    let handler = fields.get("handler").or(of_group).unwrap_or("All handlers");
    let reason = group.map(|group| group.reason.as_str()).or(like).or(fields.get("reason"));
    let reason = reason.map(|text| words::shown(text, 120));
    let since = fields.get("since").map(|text| format!(", since {}", words::shown(text, 30)));
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{handler}{reason}{}", since.unwrap_or_default())
}

/// Whether it makes sense to try again just now.
fn answering(api: &Api, handler: Option<&str>) -> (Sign, String) {
    let handlers = api.handlers();
    let Some(found) = handlers.iter().find(|one| Some(one.name.as_str()) == handler) else {
        return (Sign::None, String::new());
    };
    match (found.is_in_trouble(), found.state, found.last_success_at) {
        (true, HandlerStatus::Running, _) => {
            let newest = "'s newest tries failed. Mend that first, then see that 1 is delivered.";
            (Sign::Wait, format!("{}{newest}", found.name))
        }
        (true, _, _) => (Sign::Down, format!("{} takes nothing now: they would wait.", found.name)),
        (false, HandlerStatus::Paused, _) => {
            (Sign::Pause, format!("{} is paused: they would wait.", found.name))
        }
        (false, _, Some(at)) => {
            let ago = words::between(at, api.now());
            (Sign::Ok, format!("{} answers: its last delivery was made {ago} ago.", found.name))
        }
        (false, _, None) => {
            (Sign::None, format!("{} has made no delivery since the start.", found.name))
        }
    }
}
