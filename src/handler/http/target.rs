//! Where requests go.

use std::sync::Arc;

use reqwest::Url;

use super::chosen::ChosenUrl;
use crate::expr::{Escape, Template};
use crate::handler::texts;
use crate::handler::web::Speaks;
use crate::handler::{BuildContext, BuildError};
use crate::secret::SecretRef;
use crate::settings::{Table, unexpanded};

/// Where to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Fixed(Url),
    /// All of it is a secret.
    Secret(SecretRef),
    Template(Arc<Template>),
    /// All before the path comes out of the event.
    Chosen(ChosenUrl),
}

impl Target {
    /// Whether it is the same machine for all events.
    pub(super) fn has_fixed_host(&self) -> bool {
        match self {
            Self::Fixed(_) | Self::Secret(_) => true,
            Self::Template(template) => has_fixed_host(template.source()),
            Self::Chosen(_) => false,
        }
    }

    /// What the other side may speak.
    pub(super) fn speaks(&self) -> Speaks {
        match self {
            Self::Fixed(url) if url.scheme() == "http" => Speaks::Http1,
            Self::Fixed(_) | Self::Secret(_) | Self::Template(_) | Self::Chosen(_) => Speaks::Any,
        }
    }

    /// The URL, where all of it is a secret. No error shows it.
    pub(super) fn secret_url(&self, context: &BuildContext) -> Result<Option<Url>, BuildError> {
        let Self::Secret(secret) = self else { return Ok(None) };
        let text = context.secret(secret)?;
        let text = std::str::from_utf8(text.expose()).unwrap_or_default();
        match parse_url(text.trim()) {
            Ok(url) => Ok(Some(url)),
            Err(why) => Err(BuildError::Unfit(format!("the {secret} is no address: {why}"))),
        }
    }
}

pub(super) fn read_target(table: &mut Table<'_>, url: &str) -> Option<Target> {
    if url.contains("{{") || url.contains("{%") {
        let template = texts::template(table, "url", Escape::Url)?;
        return Some(match ChosenUrl::of(&template) {
            Some(chosen) => Target::Chosen(chosen),
            None => Target::Template(template),
        });
    }
    if let Some((message, help)) = texts::unread(url) {
        table.warning("url", message, help);
    }
    // Behind `?` there may be a secret.
    let unexpanded = url.split('?').next().and_then(unexpanded);
    if !url.contains("://") && !url.contains('@') {
        let bare = url.trim_start_matches('/');
        let write = || format!("write `http://{bare}` or `https://{bare}`");
        let help = unexpanded.map_or_else(write, |(_, help)| help);
        table.problem("url", "the URL does not say how: `http://` or `https://` is missing", help);
        return None;
    }
    match parse_url(url) {
        Ok(url) => {
            if let Some((message, help)) = unexpanded {
                table.warning("url", message, help);
            }
            Some(Target::Fixed(url))
        }
        Err(message) => {
            // There may be a password in it.
            table.hide("url");
            table.problem("url", message, "as in `http://127.0.0.1:9000/webhooks`");
            None
        }
    }
}

pub(super) fn parse_url(text: &str) -> Result<Url, &'static str> {
    let url: Url = text.parse().map_err(|_| "this is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("this is not an http or https URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user or password is not taken: use `headers` with a secret");
    }
    Ok(url)
}

/// Whether the template leaves the host as it is.
pub(super) fn has_fixed_host(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !scheme.contains('{') && !host.contains('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_without_tls_speaks_no_http_2() {
        let fixed = |url: &str| Target::Fixed(url.parse().unwrap());
        let template =
            |url: &str| Target::Template(Arc::new(Template::compile(url, Escape::Url).unwrap()));
        for (target, speaks) in [
            (fixed("http://127.0.0.1:9000/hook"), Speaks::Http1),
            (fixed("https://example.com/http"), Speaks::Any),
            (template("http://127.0.0.1:9000/{{ event.id }}"), Speaks::Any),
        ] {
            assert_eq!(target.speaks(), speaks, "{target:?}");
        }
    }
}
