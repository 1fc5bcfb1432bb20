//! Makes the plan of a new configuration: from the options, and from answers where they say
//! nothing.

use std::path::Path;

use super::super::CliError;
use super::super::args::Init;
use super::plan::{InitPlan, NewDatabase, NewMail, NewSource, Remote};
use super::questions::Questions;
use super::{text, url};
use crate::config::{self, check_public_url};
use crate::event::SourceName;
use crate::source::{PROVIDERS, Provider, SigningProfile};

/// Where nothing is said.
const SOURCES: &str = "hyvor=hyvor-talk, userecho";
const SMTP: &str = "smtp://localhost:25";

/// Whether the sources that `options` names can be had.
pub(super) fn check_sources(options: &Init) -> Result<(), CliError> {
    let named = parse_sources(options.sources.iter().map(String::as_str));
    if options.sources.is_empty() { Ok(()) } else { named.map(drop).map_err(CliError::Usage) }
}

impl InitPlan {
    /// Takes `options`, and asks for the rest. `folder` is where secrets may be already.
    pub(super) fn make(
        options: &Init,
        folder: &Path,
        questions: &mut Questions,
    ) -> Result<Self, CliError> {
        let mut sources = if options.sources.is_empty() {
            let question = "Who sends? Names or NAME=PROVIDER, with commas";
            questions.ask(question, SOURCES, |answer| parse_sources(answer.split(',')))?
        } else {
            let named = parse_sources(options.sources.iter().map(String::as_str));
            named.map_err(CliError::Usage)?
        };
        for source in &mut sources {
            let file = text::secret_file(source.name.as_str());
            if !folder.join(&file).exists() {
                ask_secret(source, &file, questions)?;
            }
        }
        let mail = mail(options, folder, questions)?;
        let database = database(options, folder, questions)?;
        let question = "This machine's public address (https://…; Enter: later)";
        let public = match &options.url {
            Some(url) => public_address(url).map_err(CliError::Usage)?,
            None => questions.ask(question, "", public_address)?,
        };
        Ok(Self { listen: options.listen, sources, mail, database, public })
    }

    /// The first sender and a type that it sends.
    pub(super) fn sample(&self) -> Option<(&SourceName, &'static str)> {
        let source = self.sources.first()?;
        Some((&source.name, text::sample_type(source.provider)))
    }
}

/// Asks for what is to stand in `file`.
fn ask_secret(
    source: &mut NewSource,
    file: &str,
    questions: &mut Questions,
) -> Result<(), CliError> {
    let (provider, name) = (source.provider.name, &source.name);
    let is_public = source.needs(SigningProfile::needs_public_key);
    let question = if is_public {
        format!("The public key that {provider} shows for `{name}`")
    } else {
        format!("The secret that {provider} shows for `{name}` (Enter: a random one is made now)")
    };
    source.secret = questions.secret(&question)?;
    if is_public && source.secret.is_none() {
        return Err(CliError::Usage(format!(
            "`{provider}` signs with a key of its own: write the public key that it shows into `{file}`, and \
             do this again"
        )));
    }
    Ok(())
}

fn parse_sources<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<NewSource>, String> {
    let mut sources: Vec<NewSource> = Vec::new();
    for text in names.map(str::trim).filter(|text| !text.is_empty()) {
        let (name, provider) = match text.split_once('=') {
            Some((name, provider)) => (name.trim(), provider.trim()),
            None => (text, text),
        };
        let provider = Provider::parse(provider).ok_or_else(|| unknown(provider))?;
        let name = SourceName::parse(name).map_err(|err| err.to_string())?;
        if sources.iter().any(|source| source.name == name) {
            return Err(format!("`{name}` is named twice: write another NAME before the `=`"));
        }
        sources.push(NewSource { name, provider, secret: None });
    }
    if sources.is_empty() { Err("name at least one sender".to_owned()) } else { Ok(sources) }
}

fn unknown(provider: &str) -> String {
    let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
    let near = Provider::nearest(provider)
        .map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    format!("`{}` is no provider; {near}there are: {}", provider.escape_debug(), names.join(", "))
}

fn mail(
    options: &Init,
    folder: &Path,
    questions: &mut Questions,
) -> Result<Option<NewMail>, CliError> {
    let to = match &options.email {
        Some(address) => address_of(address).map_err(CliError::Usage)?,
        None => questions.ask("Mail it to which address? (Enter: no mail)", "", address_of)?,
    };
    let Some(to) = to else { return Ok(None) };
    let check = |url: &str| problem_of_mail(&to, &to, url).map_or(Ok(url.to_owned()), Err);
    let given = match &options.smtp {
        Some(url) => url.clone(),
        None => questions.ask("Which mail server?", SMTP, |answer| {
            check(&url::without_password(answer).0).map(|_| answer.to_owned())
        })?,
    };
    let server = remote(&given, folder, text::SMTP_SECRET, questions)?;
    let from = options.from.clone().unwrap_or_else(|| to.clone());
    if let Some(problem) = problem_of_mail(&to, &from, &server.url) {
        return Err(CliError::Usage(problem));
    }
    Ok(Some(NewMail { to, from, server }))
}

fn database(
    options: &Init,
    folder: &Path,
    questions: &mut Questions,
) -> Result<Option<NewDatabase>, CliError> {
    let check = |answer: &str| match problem_of_database(&url::without_password(answer).0) {
        Some(problem) if !answer.is_empty() => Err(problem),
        Some(_) | None => Ok((!answer.is_empty()).then(|| answer.to_owned())),
    };
    let question = "Which database gets rows? (sqlite:data/site.db, postgres://…; Enter: none)";
    let url = match &options.database {
        Some(url) => check(url).map_err(CliError::Usage)?,
        None => questions.ask(question, "", check)?,
    };
    let Some(url) = url else { return Ok(None) };
    let server = remote(&url, folder, text::DATABASE_SECRET, questions)?;
    Ok(Some(NewDatabase { server }))
}

/// Takes the password out of `url`, or asks for it where a user is in it.
fn remote(
    url: &str,
    folder: &Path,
    file: &str,
    questions: &mut Questions,
) -> Result<Remote, CliError> {
    let (url, password) = url::without_password(url);
    let Some(user) = url::user(&url) else {
        return Ok(Remote { url, needs_password: false, password: None, lacks_password: None });
    };
    if password.is_some() || folder.join(file).exists() {
        return Ok(Remote { url, needs_password: true, password, lacks_password: None });
    }
    if url::is_socket(&url) {
        return Ok(Remote { url, needs_password: false, password: None, lacks_password: None });
    }
    let password = questions.secret(&format!("The password of `{user}`"))?;
    let lacks_password = password.is_none().then(|| user.to_owned());
    // Some databases want none; a mail server's handler waits until the file is there.
    let needs_password = password.is_some() || file == text::SMTP_SECRET;
    Ok(Remote { url, needs_password, password, lacks_password })
}

fn public_address(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() { Ok(None) } else { check_public_url(text).map(Some) }
}

fn address_of(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    problem_of_mail(text, text, SMTP).map_or(Ok(Some(text.to_owned())), Err)
}

/// What `check` would say of a handler that mails.
fn problem_of_mail(to: &str, from: &str, url: &str) -> Option<String> {
    let password = url::user(url).map(|_| text::SMTP_SECRET);
    problem_of(&format!(
        "[handler.x.email]\nto = [{}]\nfrom = {}\nsmtp = {}\nsubject = 'x'\ntext = 'x'\n{}",
        text::quoted(to),
        text::quoted(from),
        text::quoted(url),
        text::password_line(password),
    ))
}

/// What `check` would say of a handler that writes rows.
fn problem_of_database(url: &str) -> Option<String> {
    let password = url::user(url).map(|_| text::DATABASE_SECRET);
    problem_of(&format!(
        "[handler.x.sql]\nurl = {}\ntable = 'x'\ncolumns = {{ id = 'event.id' }}\n{}",
        text::quoted(url),
        text::password_line(password),
    ))
}

/// The first mistake in a handler.
fn problem_of(handler: &str) -> Option<String> {
    let text = format!("[source.x]\nprovider = 'svix'\nsecrets = [{{ env = 'X' }}]\n{handler}");
    let checked = config::check_text(&text, "", Path::new("/"), None);
    if checked.config.is_some() {
        return None;
    }
    checked.report.problems.first().map(|problem| match problem.help.as_str() {
        "" => problem.message.clone(),
        help => format!("{}; {help}", problem.message),
    })
}
