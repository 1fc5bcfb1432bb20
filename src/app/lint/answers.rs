//! Fields that the answers of sources ask for and that no event has: they are answered as nothing.

use std::sync::Arc;

use crate::config::Config;
use crate::event::Event;
use crate::expr::{Field, Part};
use crate::settings::{Report, nearest};

use super::fields::{Depth, depth, depth_of_event, shown, written};

/// Looks at `answer.body` of every source. `samples` are those of all.
pub(super) fn look(config: &Config, samples: &[Arc<Event>], report: &mut Report) {
    for (name, settings) in &config.sources {
        let Some(template) = settings.answer.body().and_then(|answer| answer.body.as_ref()) else {
            continue;
        };
        let key = format!("source.{name}.answer.body");
        let own = samples.iter().filter(|event| event.source == *name);
        let own: Vec<Arc<Event>> = own.cloned().collect();
        for field in template.fields() {
            let words = template.source().get(field.range.clone()).unwrap_or_default();
            if let Some((message, help)) = missing(&field, &own) {
                report.warn(&key, config.place_of(&key), words, message, help);
            }
        }
    }
}

/// What is to be said of a field that nothing has: of a body's only where a near name is there.
fn missing(field: &Field, samples: &[Arc<Event>]) -> Option<(String, String)> {
    let Some(Part::Name(root)) = field.path.first() else { return None };
    let is_of_event = root == "event";
    let depth = match field.path.get(1..) {
        Some(rest) if is_of_event => depth_of_event(rest),
        _ if samples.is_empty() => return None,
        _ => depth(field, samples),
    };
    let Depth::Only(n_steps, known) = depth else { return None };
    let Some(Part::Name(last)) = field.path.get(n_steps + 1) else { return None };
    let near = nearest(last, known.iter().map(String::as_str));
    let (parent, path) = (shown(field, n_steps + 1), shown(field, n_steps + 2));
    let message = format!("there is no `{path}`: nothing stands there in the answer");
    match near {
        Some(near) => Some((message, format!("did you mean `{parent}{}`?", written(near)))),
        None if is_of_event => Some((message, format!("`{parent}` has {}", known.join(", ")))),
        None => None,
    }
}
