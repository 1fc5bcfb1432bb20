//! `url = "{{ payload.response_url }}"`: an address that the event says.

use std::sync::Arc;

use crate::expr::{Escape, ExprError, Scope, Template};

/// A template that begins with a value which is all before the path. That one stands as it is, as percent-escaped
/// it would be no URL; whatever else is put in is escaped.
#[derive(Clone, Debug)]
pub(super) struct ChosenUrl {
    /// As it is written.
    pub(super) template: Arc<Template>,
    base: Arc<Template>,
    rest: Arc<Template>,
}

impl ChosenUrl {
    /// `None` = the template does not begin so.
    pub(super) fn of(template: &Arc<Template>) -> Option<Self> {
        let text = template.source().trim();
        let end = text.starts_with("{{").then(|| text.find("}}"))?? + "}}".len();
        let (base, rest) = text.split_at_checked(end)?;
        if !rest.is_empty() && !rest.starts_with(['/', '?', '#']) {
            return None;
        }
        let compiled = |text, escape| Template::compile(text, escape).ok().map(Arc::new);
        Some(Self {
            template: Arc::clone(template),
            base: compiled(base, Escape::None)?,
            rest: compiled(rest, Escape::Url)?,
        })
    }

    pub(super) fn render(&self, scope: &Scope) -> Result<String, ExprError> {
        let base = self.base.render(scope)?;
        let base = base.trim();
        let rest = self.rest.render(scope)?;
        let has_slashes = base.ends_with('/') && rest.starts_with('/');
        let base = if has_slashes { base.trim_end_matches('/') } else { base };
        Ok(format!("{base}{rest}"))
    }
}
