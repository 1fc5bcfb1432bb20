//! The one expression language: filters, order keys, columns and templates, all MiniJinja.
//!
//! What every text can count on:
//!
//! 1. It is compiled once, at start; a name, filter, test or function that does not exist is found
//!    then, with its place in the text.
//! 2. In scope are `event` (`id`, `source`, `type`, `received_at`, `headers`, `query`), `payload`, `data`,
//!    and for batches `events`, a list of the same three for each event.
//! 3. A missing field is undefined, and so is every field of it; undefined and `null` print as
//!    nothing, and no filter or operator makes the word "None" of them. A number prints as it was
//!    written, and is calculated and compared with by its value.
//! 4. Work and output are bounded by fuel: a hostile payload ends in an error, not in a stall.
//! 5. An error tells the text's own words and the types of values, not what a payload contains.

use std::fmt;
use std::sync::LazyLock;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};

use check::{check_named, check_names, check_run};
use error::bad_argument;
use escape::{plain, write_value};
use rewrite::{Rewritten, Syntax};

mod arguments;
mod b64;
mod calendar_time;
mod check;
mod date;
mod error;
mod escape;
mod exact;
mod fields;
mod filters;
mod lead;
mod lists;
mod methods;
mod misled;
mod money;
mod operators;
mod order;
mod placeholder;
mod printf;
mod rewrite;
mod scope;
mod slips;
mod striptags;
#[cfg(test)]
mod tests;
mod values;

pub use calendar_time::CalendarTime;
pub use date::{MomentDoubt, is_zero_date, moment, moment_doubt};
pub use error::ExprError;
pub use escape::Escape;
pub use fields::{Field, Part};
pub use lead::Lead;
pub use minijinja::Value;
pub use misled::{MisleadingPart, misleading_parts};
pub use placeholder::placeholder;
pub use scope::{ROOTS, Scope};
pub use slips::foreign_placeholder;
pub use striptags::striptags;

/// The work that one evaluation of an expression may do. One unit is one instruction or 64 bytes
/// of text; `payload | tojson` over a body of 1 MiB takes 262,144.
const EXPRESSION_FUEL: u64 = 400_000;

/// The work that one rendering of a template may do, digests included. As output it is 64 MB.
const TEMPLATE_FUEL: u64 = 1_000_000;

/// The names at the top of the scope.
const NAMES: [&str; 4] = ["event", "payload", "data", "events"];

/// What all expressions share: filters, tests, functions and the rules above.
static EXPRESSIONS: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(EXPRESSION_FUEL, Escape::None));

/// An expression such as `data.comment.status == "published"`, compiled.
pub struct Expression {
    text: String,
    rewritten: Rewritten,
    compiled: minijinja::Expression<'static, 'static>,
}

impl Expression {
    /// Compiles `text`. A wrong name or filter is an error here, not with the first event.
    pub fn compile(text: &str) -> Result<Self, ExprError> {
        Self::try_compile(text).map_err(|err| err.with_slip(slips::in_expression(text), false))
    }

    fn try_compile(text: &str) -> Result<Self, ExprError> {
        let compile = |text: &str| EXPRESSIONS.compile_expression_owned(text.to_owned());
        let written = compile(text).map_err(|err| ExprError::of(&err, text, None))?;
        check_names(text, written.undeclared_variables(false), &NAMES)?;
        let rewritten = Rewritten::of(text, Syntax::Expression);
        let rewritten = rewritten.map_err(|err| ExprError::of(&err, text, None))?;
        check_named(text, &rewritten.named)?;
        let of = |err: &_| ExprError::of(err, text, Some(&rewritten));
        let compiled = compile(&rewritten.text).map_err(|err| of(&err))?;
        check_run(compiled.eval(()).err()).map_err(|err| of(&err))?;
        Ok(Self { text: text.to_owned(), rewritten, compiled })
    }

    /// The value; undefined where a field is missing.
    pub fn eval(&self, scope: &Scope) -> Result<Value, ExprError> {
        self.compiled
            .eval(scope.value())
            .map_err(|err| ExprError::of(&err, &self.text, Some(&self.rewritten)))
    }

    /// Whether the value counts as true: undefined, `null`, 0 and what is empty do not.
    pub fn is_true(&self, scope: &Scope) -> Result<bool, ExprError> {
        self.eval(scope).map(|value| value.is_true())
    }

    /// The value as text; `None` where it is undefined or `null`.
    pub fn text(&self, scope: &Scope) -> Result<Option<String>, ExprError> {
        let value = self.eval(scope)?;
        Ok((!value.is_undefined() && !value.is_none()).then(|| plain(&value)))
    }

    pub fn source(&self) -> &str {
        &self.text
    }

    /// The fields of an event that it asks for.
    pub fn fields(&self) -> Vec<Field> {
        fields::find(&self.text, true)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// A template such as `{{ data.user.name }} wrote`, compiled.
pub struct Template {
    text: String,
    rewritten: Rewritten,
    escape: Escape,
    /// Holds the compiled template under [`TEMPLATE_NAME`]; the filters in it are shared.
    environment: Environment<'static>,
}

/// The name of the one template in its environment.
const TEMPLATE_NAME: &str = "template";

impl Template {
    /// Compiles `text`. A wrong name or filter is an error here, not with the first event.
    pub fn compile(text: &str, escape: Escape) -> Result<Self, ExprError> {
        Self::compile_for(text, escape, &NAMES)
    }

    /// The same over other names than those of an event: see [`Template::render_value`].
    pub fn compile_for(text: &str, escape: Escape, names: &[&str]) -> Result<Self, ExprError> {
        Self::try_compile(text, escape, names)
            .map_err(|err| err.with_slip(slips::in_template(text), true))
    }

    fn try_compile(text: &str, escape: Escape, names: &[&str]) -> Result<Self, ExprError> {
        let mut environment = environment(TEMPLATE_FUEL, escape);
        let written = EXPRESSIONS.template_from_str(text);
        let written = written.map_err(|err| ExprError::of(&err, text, None))?;
        check_names(text, written.undeclared_variables(false), names)?;
        let rewritten = Rewritten::of(text, Syntax::Template);
        let rewritten = rewritten.map_err(|err| ExprError::of(&err, text, None))?;
        check_named(text, &rewritten.named)?;
        environment
            .add_template_owned(TEMPLATE_NAME, rewritten.text.clone())
            .map_err(|err| ExprError::of(&err, text, Some(&rewritten)))?;
        let template = Self { text: text.to_owned(), rewritten, escape, environment };
        check_run(template.compiled()?.render(()).err()).map_err(|err| template.error(&err))?;
        Ok(template)
    }

    /// The text for one event or batch.
    pub fn render(&self, scope: &Scope) -> Result<String, ExprError> {
        self.compiled()?.render(scope.value()).map_err(|err| self.error(&err))
    }

    /// The same, with who wrote its first character.
    pub fn render_with_lead(&self, scope: &Scope) -> Result<(String, Lead), ExprError> {
        lead::render(&self.compiled()?, scope.value()).map_err(|err| self.error(&err))
    }

    /// Its text where there is nothing in it to work out, as in one with `{% raw %}` alone.
    pub fn constant(&self) -> Option<String> {
        let mut tokens = tokenize(&self.text, false, SyntaxConfig::default());
        let is_constant = tokens.all(|token| matches!(token, Ok((Token::TemplateData(_), _))));
        is_constant.then(|| self.render_value(Value::UNDEFINED).ok()).flatten()
    }

    /// What its values are escaped for.
    pub fn escape(&self) -> Escape {
        self.escape
    }

    fn error(&self, err: &minijinja::Error) -> ExprError {
        ExprError::of(err, &self.text, Some(&self.rewritten))
    }

    /// The text for the values of other names.
    pub fn render_value(&self, values: Value) -> Result<String, ExprError> {
        self.compiled()?.render(values).map_err(|err| self.error(&err))
    }

    pub fn source(&self) -> &str {
        &self.text
    }

    /// The fields of an event that it asks for.
    pub fn fields(&self) -> Vec<Field> {
        fields::find(&self.text, false)
    }

    fn compiled(&self) -> Result<minijinja::Template<'_, '_>, ExprError> {
        self.environment.get_template(TEMPLATE_NAME).map_err(|err| self.error(&err))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.text).field(&self.escape).finish()
    }
}

fn environment(fuel: u64, escape: Escape) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(fuel));
    // Without it an error does not know its place.
    environment.set_debug(true);
    environment.set_auto_escape_callback(move |_| escape.auto_escape());
    environment.set_formatter(write_value);
    filters::add_to(&mut environment);
    // It prints the whole scope, headers included, into a mail.
    environment.remove_global("debug");
    environment
}
