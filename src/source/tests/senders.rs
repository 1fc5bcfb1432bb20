//! `docs/senders.md`: what it says to write is taken.

use std::collections::BTreeSet;

use super::*;

const PAGE: &str = include_str!("../../../docs/senders.md");

/// The cells of its tables' rows.
fn rows() -> Vec<Vec<String>> {
    let lines =
        PAGE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Sender |"));
    let cells = |line: &str| {
        let line = line.replace("\\|", "\0");
        let cells = line.trim_matches('|').split(" |").map(str::trim);
        cells.map(|cell| cell.replace('\0', "|")).collect()
    };
    lines.map(cells).collect()
}

/// What is in backticks in `cell` and is a setting beside `verify`.
fn settings(cell: &str) -> impl Iterator<Item = &str> {
    let is_setting = |text: &&str| {
        let keys = ["handshake = {", "answer = {", "methods = [", "verify_token = {"];
        keys.iter().any(|key| text.starts_with(key))
    };
    cell.split('`').skip(1).step_by(2).filter(is_setting)
}

#[test]
fn every_sender_is_named_once_with_a_preset_a_table_or_a_reason() {
    let rows = rows();
    let names: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_end_matches(" ✓")).collect();
    assert_eq!(names.len(), rows.len());
    assert!(rows.len() >= 138, "{}", rows.len());
    for provider in PROVIDERS.iter() {
        assert!(PAGE.contains(&format!("`provider = \"{}\"`", provider.name)), "{}", provider.name);
    }
}

/// Those that somebody asked for, by a part of their name.
const ASKED_FOR: &str = "adyen, alexa, alibaba, alipay, app store, asana, azure event grid, binance, bird, \
    bitbucket, box, braintree, cloudevents, cloudpayments, coinbase, contentful, cryptomus, dingtalk, \
    discord, discourse, docusign, doku, dropbox sign, ebay, fastcomments, feishu, fitbit, freshchat, ghost, gitea, \
    github, gitlab, google play, hawk, hyvor, inngest, intercom, jira, jotform, kick, ko-fi, linear, \
    linkedin, livekit, mailchimp, mailgun, mandrill, mastodon, messagebird, meta, microsoft graph, miro, \
    monday, moralis, mtls, netlify, notion, nowpayments, okta, paddle, patreon, payhere, paypal, payu, \
    pgp, plaid, plivo, postal, przelewy24, pub/sub, qstash, recurly, robokassa, salesforce, sendgrid, \
    shipengine, shopify, sigv4, skrill, slack, smartsheet, sns, square, strava, stripe, surveymonkey, \
    svix, teams, telegram, tpay, travis, trello, truelayer, twilio, twitch, typeform, userecho, vonage, \
    wechat, whatsapp, wise, withings, wix, woocommerce, x (twitter), zendesk, zoom";

#[test]
fn every_sender_that_was_asked_for_is_in_the_list() {
    let names: Vec<String> = rows().iter().map(|row| row.join(" ").to_lowercase()).collect();
    let is_there = |asked: &&str| names.iter().any(|name| name.contains(asked));
    let missing: Vec<&str> =
        ASKED_FOR.split(',').map(str::trim).filter(|asked| !is_there(asked)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// What the README says of senders.
#[test]
fn readme_counts_presets_and_senders() {
    const README: &str = include_str!("../../../README.md");
    assert!(README.contains(&format!("{} presets (", PROVIDERS.iter().count())));
    assert!(README.contains("more than 200 senders by name") && rows().len() > 200);
    let known = PAGE.to_lowercase();
    for name in [
        "GitHub",
        "Stripe",
        "Slack",
        "PayPal",
        "Amazon SNS",
        "Standard Webhooks",
        "LiveKit",
        "Vonage",
        "Bird",
        "Netlify",
        "QStash",
        "Adyen",
        "Microsoft Graph",
    ] {
        assert!(README.contains(name) && known.contains(&name.to_lowercase()), "{name}");
    }
}

#[test]
fn every_configuration_of_the_list_of_senders_is_taken() {
    for row in rows() {
        let (name, how) = (&row[0], row[1].trim_matches('`'));
        let text = if how.starts_with("provider") {
            let more = if row[1].contains("twilio") || row[1].contains("square") {
                "url = \"https://a/b\""
            } else {
                ""
            };
            format!("{how}\nallow_unsigned_body = true\n{more}")
        } else if how.starts_with("algorithm") {
            let beside: Vec<&str> = settings(&row[2]).collect();
            format!("verify = {{ {how} }}\n{}", beside.join("\n"))
        } else {
            assert!(row.iter().all(|cell| !cell.is_empty()), "{name}: a reason, and what is left");
            continue;
        };
        let secrets = if text.contains("keys = \"") {
            ""
        } else {
            "secrets = [{ file = \"k\", create = true }]"
        };
        let (settings, problems) = read(&format!("{secrets}\n{text}"));
        assert!(settings.is_some() && !problems.contains("error"), "{name}: {text}\n{problems}");
    }
}
