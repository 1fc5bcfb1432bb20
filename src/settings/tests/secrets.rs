//! What is shown of a configuration with secrets in it that should stand elsewhere.

use super::*;
use crate::settings::tokens::tokens;

fn shown(text: &str) -> (Option<SecretRef>, String) {
    let reading = read(text, Path::new(""), |table| table.take::<SecretRef>("s"));
    let report = Report::new("config.toml", text, &reading).render(ReportStyle::Plain);
    (reading.value, report)
}

#[test]
fn only_the_name_of_a_variable_behind_a_dollar_is_shown() {
    for secret in
        ["$ghp_abcdefhush", "$hush-hush-9!x7", "$ecrethush9", "${hush}", "$hush", "$$HUSH"]
    {
        let (value, report) = shown(&format!("s = {{ env = '{secret}' }}"));
        let is_told = report.contains("error: ");
        assert!(value.is_none() && is_told && !report.to_lowercase().contains("hush"), "{report}");
    }
    for slip in ["$APP_KEY", "${APP_KEY}", "${APP_KEY"] {
        let (value, report) = shown(&format!("s = {{ env = '{slip}' }}"));
        assert!(value.is_none() && report.contains("as in `{ env = \"APP_KEY\" }`"), "{report}");
    }
}

#[test]
fn names_that_begin_like_tokens_are_places() {
    for place in [
        "file = 'whsec_production'",
        "file = 'whsec_stripe.txt'",
        "credential = 'whsec_hyvor_talk'",
        "env = 'githubWebhookSecret2'",
        "env = 'npm_config_registry_auth_token_for_my_org'",
    ] {
        let (value, report) = shown(&format!("s = {{ {place} }}"));
        assert!(value.is_some() && report.is_empty(), "{place}: {report}");
    }
    for itself in [
        "file = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'",
        "env = 'AKIAIOSFODNN7EXAMPLE'",
        "credential = 'ghp_aZ3kQ9xT7bW2mN5pR8sV'",
        "env = '9f86d081884c7d659a2feaa0c55ad015'",
        "file = 'https://host/x'",
    ] {
        let (_, report) = shown(&format!("s = {{ {itself} }}"));
        assert!(report.contains("this is a secret itself"), "{itself}: {report}");
    }
}

#[test]
fn address_of_a_file_is_told_with_its_path() {
    let (value, report) = shown("s = { file = 'file:///run/secrets/x' }");
    assert!(value.is_none() && !report.contains("secret itself"), "{report}");
    assert!(report.contains("write the path: `{ file = \"/run/secrets/x\" }`"), "{report}");
}

/// Shorter passwords too: a word of a command is hidden as a whole.
#[test]
fn password_in_a_word_of_a_command_is_hidden() {
    for run in [
        "'mysql -phush-9 -e x'",
        "'mysql -phush-9 > x'",
        "\"mysql -p'hush-9' -e x\"",
        "'curl -ume:hush-9 x'",
        "'curl -sSu me:hush-9 x'",
        "'sudo curl -sUme:hush-9 x'",
        "['mysql -phush-9']",
        "['curl', '-ume:hush-9', '<']",
        "['curl', '-c', 'jar', '-u', 'me:hush-9']",
        "['curl', '-HX-Api-Key: hush-9']",
        "['sh', '-c', 'cd x; mysql -phush-9 -e x']",
    ] {
        let text = format!("run = {run}");
        let reading = read(&text, Path::new(""), |table| {
            let words = run.trim_matches(['\'', '"']).replace(' ', "|");
            table.problem("run", format_args!("no list: {words}"), &words);
        });
        let report = Report::new("config.toml", &text, &reading).render(ReportStyle::Plain);
        let is_told = report.contains("error: ");
        assert!(is_told && (!report.contains("hush") || run.starts_with('[')), "{report}");
        let line = report.lines().find(|line| line.starts_with("1 |")).unwrap();
        assert!(!line.contains("hush"), "{report}");
    }
    for run in ["['find', '/var/mysql', '-print']", "['docker', '-u', '1000:1000']"] {
        let text = format!("run = {run}");
        let reading = read(&text, Path::new(""), |_| ());
        assert!(reading.hidden.is_empty(), "{run}");
    }
}

#[test]
fn header_of_plain_words_holds_no_secret() {
    for (header, is_secret) in [
        ("Title = 'Token expired'", false),
        ("X-Plan = 'Basic plan'", false),
        ("X-Title = 'Bot alert'", false),
        ("X-Site-Auth = 'enabled'", false),
        ("X-Site-Auth = 'hush'", true),
        ("X-Site-Auth = 'Token hush'", true),
        ("Proxy-Authorization = 'Basic aHVzaA=='", true),
        ("X-One = 'Token hush9'", true),
        ("X-One = 'Bot abcdefghijklmnop'", true),
        ("X-One = 'Bearer hush'", true),
    ] {
        let (name, value) = header.split_once(" = ").unwrap();
        let found = is_secret_header(name, value.trim_matches('\''));
        assert_eq!(found, is_secret, "{header}");
    }
}

#[test]
fn password_within_a_statement_is_hidden() {
    for statement in [
        "SELECT dblink('host=x password=hush-9')",
        "SELECT dblink($$host=x password=hush-9$$)",
        "UPDATE t SET password = 'hush-9' WHERE id = 1",
        "SELECT dblink(\"host=x pwd='hush-9'\")",
    ] {
        for written in [format!("'''{statement}'''"), format!("[ '''{statement}''' ]")] {
            let text = format!("statements = {written}");
            let reading = read(&text, Path::new(""), |table| {
                table.problem("statements", "wrong", format_args!("as in `{statement}`"));
            });
            let report = Report::new("config.toml", &text, &reading).render(ReportStyle::Plain);
            assert!(report.contains("wrong") && !report.contains("hush"), "{report}");
        }
    }
    let text = "statements = 'UPDATE t SET token = {{ data.t }}, password = excluded.password'";
    assert!(read(text, Path::new(""), |_| ()).hidden.is_empty());
}

#[test]
fn value_of_a_key_that_is_called_like_a_secret_is_hidden() {
    for key in ["bearer", "auth", "basic_auth", "Basic-Auth", "pass", "pwd", "bot_token"] {
        for value in ["'hush-9'", "{ user = 'me', x = 'hush-9' }", "['hush-9']"] {
            let text = format!("{key} = {value}");
            let reading = read(&text, Path::new(""), |table| {
                table.problem(key, "wrong", "as in `hush-9`");
            });
            let report = Report::new("config.toml", &text, &reading).render(ReportStyle::Plain);
            assert!(report.contains("wrong") && !report.contains("hush"), "{report}");
        }
    }
}

#[test]
fn secret_of_a_broken_line_is_hidden() {
    for text in [
        "token \"hush-9\"",
        "password: hush-9",
        "  pass hush-9",
        "bearer = hush-9",
        "pwd = 'hush-9",
        "secrets = [\n  'hush-9\n]",
        "secrets = [\n  'other',\n  hush-9==,\n]",
        "[handler.a]\ntoken = \"hush-9\n",
    ] {
        let reading = read(text, Path::new(""), |_| ());
        let report = Report::new("config.toml", text, &reading).render(ReportStyle::Plain);
        assert!(report.contains("error: ") && !report.contains("hush"), "{text}: {report}");
    }
    let text = "secrets = [{ file = 'a' }]\n\nlisten == 'shown'";
    let reading = read(text, Path::new(""), |_| ());
    let report = Report::new("config.toml", text, &reading).render(ReportStyle::Plain);
    assert!(report.contains("shown"), "{report}");
}

/// With a look to the end of the text from each word, none of these would end.
#[test]
fn tokens_are_looked_for_once_in_a_long_text() {
    for word in ["ab ", "a-", "eyJ-", "12."] {
        assert!(tokens(&word.repeat((2 << 20) / word.len())).is_empty(), "{word}");
    }
}
