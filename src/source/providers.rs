//! The providers, each in a file of its own: how it signs, what it sends, how it is set up, and the
//! page that this was written from. A new one is a file and its line in the list here.

use std::sync::LazyLock;

use crate::settings::nearest;

mod prelude;
mod preset;
#[cfg(test)]
mod tests;

pub use preset::Provider;
pub(super) use preset::{Row, Sample};

/// Declares the file of each provider and lists what it says. `./test` formats these files by name:
/// `cargo fmt` does not see modules that a macro declares.
macro_rules! providers {
    ($($file:ident,)+) => {
        $(mod $file;)+

        pub static PROVIDERS: LazyLock<Vec<Provider>> =
            LazyLock::new(|| vec![$($file::provider()),+]);
    };
}

providers! {
    userecho,
    hyvor_talk,
    hyvor_blogs,
    hyvor_relay,
    slack,
    zoom,
    discourse,
    disqus,
    ghost,
    intercom,
    zendesk,
    linear,
    typeform,
    standard_webhooks,
    svix,
    github,
    gitlab,
    bitbucket,
    gitea,
    stripe,
    shopify,
    woocommerce,
    paddle,
    square,
    twilio,
    sendgrid,
    mailgun,
    discord,
    meta,
    aws_sns,
    azure_event_grid,
    adyen,
    paypal,
    plaid,
    livekit,
    qstash,
}

impl Provider {
    pub fn parse(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// The name that was probably meant by `word`, which is none.
    pub fn nearest(word: &str) -> Option<&'static str> {
        let plain = word.to_ascii_lowercase();
        let known = PROVIDERS.iter().find(|provider| provider.known_as.contains(&plain.as_str()));
        let names = PROVIDERS.iter().map(|provider| provider.name);
        // `hyvor` of `hyvor-talk`.
        let begins = |name: &&'static str| {
            name.strip_prefix(&*plain).is_some_and(|rest| rest.starts_with('-'))
        };
        let beginning = PROVIDERS.iter().map(|provider| provider.name).find(begins);
        known.map(|provider| provider.name).or(beginning).or_else(|| nearest(word, names))
    }
}
