//! The list that an event was opened from: its filter goes along in the event's address, so that the way back and
//! the neighbours are of that list.

use std::time::Duration;

use super::fields::{Fields, address};
use crate::api::{Api, ApiError, EventsAsk, ListedEvents, state};

/// The field that has the list's own.
pub(super) const LIST: &str = "list";
/// A longer filter stays behind: a page has up to 60 links with it, each of them encoded once more.
const BYTES_MAX: usize = 200;
/// How long a neighbour is looked for.
const NEIGHBOUR_TIME: Duration = Duration::from_millis(300);

/// The fields of the filter.
pub(super) const FILTER: [&str; 7] = ["q", "source", "type", "handler", "state", "since", "until"];

/// Rows of a page: with six handlers and nothing but `<` in their texts they take 50 KB.
pub(super) const ROWS: usize = 30;

/// The question of a page's fields.
pub(super) fn ask(api: &Api, fields: &Fields) -> Result<EventsAsk, ApiError> {
    let now = api.now();
    Ok(EventsAsk {
        q: fields.text("q"),
        source: fields.text("source"),
        event_type: fields.text("type"),
        handler: fields.text("handler"),
        state: fields.get("state").map(state).transpose()?,
        since: fields.time("since", now)?,
        until: fields.time("until", now)?,
        before: fields.number("before"),
        limit: Some(ROWS),
        ..EventsAsk::default()
    })
}

/// A list of events as its address says it.
#[derive(Clone, Debug, Default)]
pub(super) struct EventList {
    fields: Fields,
    /// What stands behind the question mark.
    query: String,
}

impl EventList {
    /// The list whose own fields these are.
    pub(super) fn of_list(fields: &Fields) -> Self {
        let names = FILTER.into_iter().chain(["before"]);
        let said = names.filter_map(|name| Some((name, fields.get(name)?)));
        let query = address("", said).trim_start_matches('?').to_owned();
        if query.len() > BYTES_MAX {
            return Self::default();
        }
        Self { fields: Fields::parse(&query), query }
    }

    /// The one that an event's address names, without what is no field of a list.
    pub(super) fn of_event(fields: &Fields) -> Self {
        fields.get(LIST).map(|list| Self::of_list(&Fields::parse(list))).unwrap_or_default()
    }

    /// Its address.
    pub(super) fn address(&self) -> String {
        self.fields.address("/events", &[], &[])
    }

    pub(super) fn query(&self) -> &str {
        &self.query
    }

    /// The page of an event that is opened from it.
    pub(super) fn event(&self, id: impl std::fmt::Display) -> String {
        let list = Some((LIST, self.query.as_str())).filter(|(_, query)| !query.is_empty());
        address(&format!("/events/{id}"), list)
    }

    /// The event of the list that came after the one at `position`, and the one before; where none was found in
    /// time, the list from there on.
    pub(super) async fn neighbours(
        &self,
        api: &Api,
        position: u64,
    ) -> Result<(Option<String>, Option<String>), ApiError> {
        // An address that was typed may ask for what cannot be looked for.
        let asked = ask(api, &self.fields).unwrap_or_default();
        let one = EventsAsk { limit: Some(1), before: None, after: None, ..asked };
        let newer = EventsAsk { after: Some(position), ..one.clone() };
        let mut newer = found(api, newer).await?;
        let older = EventsAsk { before: Some(position), ..one };
        let mut older = found(api, older).await?;
        let rest = older.next.map(|next| {
            self.fields.address("/events", &[], &[("before", next.to_string().as_str())])
        });
        let newer = newer.events.pop().map(|event| self.event(event.id));
        Ok((newer, older.events.pop().map(|event| self.event(event.id)).or(rest)))
    }
}

/// Nothing where the list cannot be looked for.
async fn found(api: &Api, ask: EventsAsk) -> Result<ListedEvents, ApiError> {
    match api.events_within(ask, NEIGHBOUR_TIME).await {
        Err(ApiError::Bad(_)) => Ok(ListedEvents { events: Vec::new(), next: None, looked_at: 0 }),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_comes_back_out_of_the_address_of_an_event_and_nothing_else_does() {
        let list = EventList::of_list(&Fields::parse("type=user.*&handler=app&state=dead&done=7"));
        assert_eq!(list.address(), "/events?type=user.%2A&handler=app&state=dead");
        let event = list.event(7);
        let fields = Fields::parse(event.split_once('?').unwrap().1);
        let back = EventList::of_event(&fields);
        assert_eq!((back.address(), back.event(7)), (list.address(), event));
        let foreign = EventList::of_event(&Fields::parse("list=%2F%2Fevil.example%2F%3Fx%3D1"));
        assert_eq!(
            (foreign.address().as_str(), foreign.event(7).as_str()),
            ("/events", "/events/7")
        );
        let long = EventList::of_list(&Fields::parse(&format!("q={}", "<".repeat(200))));
        assert_eq!(long.event(7), "/events/7");
    }
}
