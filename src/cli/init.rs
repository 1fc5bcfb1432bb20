//! `init`: from nothing to a configuration that works, by questions or options.
//!
//! It writes `config.toml` and the secrets, looks whether mail server and database can be reached,
//! says what to do in each provider's console, and can take a signed sample through all of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::config::{self, NO_PUBLIC_URL};

use super::args::Init;
use super::output::{Output, Page};
use super::{CliError, load};

mod files;
mod gather;
mod plan;
pub(super) mod questions;
mod text;
mod try_out;
mod url;

use plan::{InitPlan, NewSource};
use questions::Questions;

/// Writes a configuration file, and says what comes next.
pub(super) fn run(options: &Init, path: &Path, output: Output) -> Result<(), CliError> {
    // A slip in what was said comes before what is there.
    gather::check_sources(options)?;
    files::check_free(path, options.force)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut questions = Questions::new(options.yes);
    let plan = InitPlan::make(options, folder, &mut questions)?;
    let content = text::config(&plan);
    // Nothing is written that would not be read.
    let checked = config::check_text(&content, &path.display().to_string(), folder, None);
    if checked.config.is_none() {
        return Err(CliError::Configuration(Box::new(checked.report)));
    }
    let secrets = files::write_secrets(&plan, folder)?;
    files::write_config(path, &content)?;
    let config = load(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let unreachable = runtime.block_on(crate::app::check_online(&config)).problems;
    let told = json!({
        "config": path,
        "secrets": secrets,
        "sources": plan.sources.iter().map(|source| set_up(source, &plan)).collect::<Vec<_>>(),
        "lacking": lacking(&plan),
        "unreachable": unreachable,
        "sample": plan.sample().map(|(name, event_type)| format!("{name} {event_type}")),
    });
    output.one(&told, |told| page(told, &plan))?;
    let Some((source, event_type)) = plan.sample() else { return Ok(()) };
    let question = "Take a signed sample through it now? It really goes to the handlers";
    if options.test_event || questions.confirm(question)? {
        runtime.block_on(try_out::run(config, path, (source.as_str(), event_type), output))?;
    }
    Ok(())
}

/// What its owner does in the provider's console.
fn set_up(source: &NewSource, plan: &InitPlan) -> Value {
    let url = source.url(plan.public.as_deref());
    let secret = text::secret_file(source.name.as_str());
    let steps = source.provider.setup().iter();
    let steps: Vec<String> =
        steps.map(|step| step.replace("{url}", &url).replace("{secret}", &secret)).collect();
    json!({
        "name": source.name,
        "provider": source.provider.name,
        "url": url,
        "secret": secret,
        "setup": steps,
    })
}

/// The passwords that are still to be written, all at once.
fn lacking(plan: &InitPlan) -> Vec<String> {
    let mail = plan.mail.as_ref().and_then(|mail| mail.server.lacks_password.as_ref());
    let database = plan.database.as_ref().and_then(|rows| rows.server.lacks_password.as_ref());
    let mail = mail.map(|user| {
        let file = text::SMTP_SECRET;
        format!("`{user}` needs a password: write it into `{file}` (mode 0600); until then no mail is sent")
    });
    let database = database.map(|user| {
        let file = text::DATABASE_SECRET;
        format!(
            "`{user}` logs in without a password: where it needs one, write it into `{file}` (mode 0600), and \
             `password = {{ file = \"{file}\" }}` below each `url` of the database"
        )
    });
    mail.into_iter().chain(database).collect()
}

/// What a person is told.
fn page(told: &Value, plan: &InitPlan) -> String {
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let list = |value: &Value, key: &str| {
        let list = value.get(key).and_then(Value::as_array).cloned();
        list.unwrap_or_default()
    };
    let mut page = Page::default();
    page.line(format_args!("wrote `{}`", text(told, "config")));
    for file in list(told, "secrets") {
        page.line(format_args!("      `{}`", file.as_str().unwrap_or_default()));
    }
    for line in list(told, "lacking") {
        page.line(format_args!("! {}", line.as_str().unwrap_or_default()));
    }
    for problem in list(told, "unreachable") {
        page.line(format_args!("! {}", problem.as_str().unwrap_or_default()));
    }
    if !list(told, "unreachable").is_empty() {
        page.line(format_args!(
            "  what comes in waits for it; `gatepost check --online` looks again"
        ));
    }
    for source in list(told, "sources") {
        page.line(format_args!("\n{} ({})", text(&source, "name"), text(&source, "provider")));
        for (number, step) in (1..).zip(list(&source, "setup")) {
            page.line(format_args!("  {number}. {}", step.as_str().unwrap_or_default()));
        }
    }
    if plan.public.is_none() {
        page.line(format_args!(
            "  ({NO_PUBLIC_URL} stands for this machine's public address: `public_url` in [server])"
        ));
    }
    page.line(format_args!("\nnext: gatepost serve"));
    if let Some(sample) = told.get("sample").and_then(Value::as_str) {
        page.line(format_args!("then: gatepost send {sample}"));
    }
    page.finish()
}
