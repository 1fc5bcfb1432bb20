//! `handlers try`: what a handler would do with an event.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::app::trial::{Trial, Wants};
use crate::app::{lint, own_events, samples};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::deliver::OWN_SOURCE;
use crate::event::{Delivery, Event, EventId, EventType, HandlerName, Output as Said, SourceName};
use crate::handler::Plan;
use crate::settings::ReportEntry;

use super::args::{HandlersTry, SaidEvent};
use super::output::{Output, Page, plain};
use super::send::{did_you_mean, no_source, note_made_up, read};
use super::store::Via;
use super::{CliError, check, events, known, load_with_warnings};

/// Shows it; with `--send` it is done as well.
pub(super) async fn run(options: HandlersTry, path: &Path, output: Output) -> Result<(), CliError> {
    let (config, mut report) = load_with_warnings(path)?;
    let config = &config;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let name = options.name.clone();
    let Some(handler) = Trial::new(config, &name, &clock) else {
        return Err(CliError::Failed(known::no_handler(&name, config)));
    };
    check::build(config, &mut report);
    lint::lint_one(config, &name, &mut report);
    if !output.is_json() {
        check::tell(&report)?;
    }
    let event = find(&options, &handler, config, &clock).await?;
    let delivery = Delivery::by_hand(Arc::clone(&event));
    let wants = handler.wants(&event);
    let plan = handler.plan(std::slice::from_ref(&delivery));
    let failure = plan.as_ref().err().map(ToString::to_string);
    let is_sent = options.send && wants == Wants::Yes && failure.is_none();
    let sent = if is_sent { handler.send(delivery).await } else { Ok(Said::default()) };
    let (wanted, reason) = match wants.clone() {
        Wants::Yes => (Wanted::Yes, None),
        Wants::No(why) => (Wanted::No, Some(why)),
        Wants::Unclear(why) => (Wanted::Unclear, Some(why)),
    };
    let said = match &sent {
        Ok(said) => said,
        Err(failure) => &failure.output,
    };
    let shown = TrialView {
        handler: name,
        kind: handler.kind(),
        event: TrialEvent {
            id: event.id,
            source: event.source.clone(),
            event_type: event.event_type.clone(),
        },
        wanted,
        reason,
        plan: plan.as_ref().ok(),
        error: failure.as_deref(),
        sent: is_sent && sent.is_ok(),
        output: said,
        warnings: report.entries(),
    };
    output.one(&shown, |shown| text(shown, options.send))?;
    match (failure, sent) {
        (Some(failure), _) => Err(CliError::Failed(failure)),
        (None, Err(failure)) => {
            Err(CliError::Failed(format!("it was tried and failed: {failure}")))
        }
        (None, Ok(_)) if options.send && !is_sent => {
            Err(CliError::Failed("not sent: the handler does not want this event".into()))
        }
        (None, Ok(_)) => Ok(()),
    }
}

/// The event that the options name.
async fn find(
    options: &HandlersTry,
    handler: &Trial<'_>,
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Event>, CliError> {
    if let Some(said) = options.event {
        return stored(said, config).await;
    }
    let unknown = |source: &str| no_source(source, config);
    let parse = |source: &str| SourceName::parse(source).map_err(|_| unknown(source));
    if let Some([source, event_type]) = options.sample.as_deref() {
        let (name, event_type) = (parse(source)?, EventType::new(event_type));
        let sample = samples::sample_of(config, &name, &event_type, clock);
        let sample = sample.ok_or_else(|| no_sample(&name, &event_type, config))?;
        if let Some(source) = config.sources.get(&name) {
            note_made_up(event_type.as_str(), &source.sample_types())?;
        }
        return Ok(sample);
    }
    if let (Some(file), Some(source)) = (&options.body, &options.source) {
        let event = samples::event_of(config, &parse(source)?, None, read(file)?, clock);
        return event.ok_or_else(|| unknown(source));
    }
    let samples = samples::samples(config, clock);
    let wanted = samples.into_iter().filter(|event| handler.wants(event) == Wants::Yes);
    // Of `comment.flag.created` and `comment.create` the shorter type is mostly the one that a handler is made for.
    let fitting = wanted.min_by_key(|event| {
        let is_own = event.source.as_str() == OWN_SOURCE;
        (handler.n_missing(event), is_own, event.event_type.as_str().len())
    });
    fitting.ok_or_else(|| {
        CliError::Usage(
            "the handler wants none of the samples: name an event with `--event`, `--sample` or \
             `--body`"
                .to_owned(),
        )
    })
}

/// Why there is no sample.
fn no_sample(source: &SourceName, event_type: &EventType, config: &Config) -> CliError {
    if source.as_str() != OWN_SOURCE {
        return no_source(source.as_str(), config);
    }
    let event_type = plain(event_type.as_str());
    let hint = did_you_mean(&event_type, own_events::TYPES);
    let known = own_events::TYPES.join(", ");
    CliError::Usage(format!(
        "Gatepost makes no event of type `{event_type}`{hint}: there are {known}"
    ))
}

/// A retained event, with its own id.
async fn stored(said: SaidEvent, config: &Config) -> Result<Arc<Event>, CliError> {
    let via = Via::reach(config).await?;
    let exported = via.exported(said).await;
    via.close().await?;
    let event = exported?.into_stored().map_err(|err| CliError::failed(&err))?;
    Ok(Arc::new(event))
}

/// What a handler would do with an event, or did.
#[derive(Debug, Serialize)]
struct TrialView<'a> {
    handler: HandlerName,
    kind: &'static str,
    event: TrialEvent,
    wanted: Wanted,
    reason: Option<String>,
    plan: Option<&'a Plan>,
    error: Option<&'a str>,
    sent: bool,
    output: &'a Said,
    /// What `check` says of the handler.
    warnings: Vec<ReportEntry<'a>>,
}

#[derive(Debug, Serialize)]
struct TrialEvent {
    id: EventId,
    source: SourceName,
    #[serde(rename = "type")]
    event_type: EventType,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Yes,
    No,
    Unclear,
}

fn text(shown: &TrialView<'_>, is_asked_to_send: bool) -> String {
    let TrialEvent { id, source, event_type } = &shown.event;
    let mut page = Page::default();
    page.line(format_args!(
        "handler `{}` ({}) with event {id} ({source}:{})",
        shown.handler,
        shown.kind,
        plain(event_type.as_str()),
    ));
    let reason = shown.reason.as_deref().unwrap_or_default();
    match shown.wanted {
        Wanted::Yes => {}
        Wanted::No => page.line(format_args!("it does not want this event: {reason}")),
        Wanted::Unclear => {
            page.line(format_args!("this event would be a dead letter: {reason}"));
        }
    }
    if let Some(plan) = shown.plan {
        page.line(format_args!("\n{plan}"));
    }
    if shown.sent {
        page.line(format_args!("\nsent, marked as a try"));
    }
    if shown.sent || is_asked_to_send {
        events::output_lines(shown.output, &mut page);
    } else if shown.plan.is_some() {
        page.line(format_args!("\nnothing was sent; `--send` does it once"));
    }
    page.finish()
}
