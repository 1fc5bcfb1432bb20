//! How long is tried.

use super::*;

#[test]
fn time_that_is_over_before_the_first_wait_is_told() {
    let told = |retry: &str| {
        let text = format!("{SMALL}[handler.extra]\nretry = {{ {retry} }}\n[handler.extra.log]\n");
        let report = check(&text).report;
        let about = report.problems.into_iter().filter(|one| one.path.ends_with("retry.total"));
        about.map(|one| one.message).collect::<Vec<_>>()
    };
    let expected = "this is over before the first wait of 1m is: there is one more try, at its end";
    assert_eq!(told("total = '10s', min = '1m', max = '5m'"), [expected]);
    assert_eq!(told("total = '1m', min = '1m', max = '5m'"), [""; 0]);
    assert_eq!(told("min = '1m', max = '5m'"), [""; 0]);
}

#[test]
fn number_of_tries_that_is_called_max_is_led_to_attempts() {
    let text = format!("{SMALL}[handler.extra]\nretry = {{ max = 5 }}\n[handler.extra.log]\n");
    let problems = check(&text).report.problems;
    let [one] = &problems[..] else { panic!("{problems:?}") };
    let expected =
        "write `attempts = 5` for the number of tries, or `max = \"5s\"` for the longest wait";
    assert_eq!(one.help, expected);
}

#[test]
fn status_that_no_failure_of_the_kind_has_is_told_also_of_kinds_without_any() {
    let told = |kind: &str, key: &str, patterns: &str| {
        let text = format!("{SMALL}[handler.extra]\n{key} = {patterns}\n[handler.extra.{kind}]\n");
        let problems = check(&text).report.problems.into_iter();
        let about = problems.filter(|one| one.path == format!("handler.extra.{key}"));
        about.map(|one| format!("{} | {}", one.message, one.help)).collect::<Vec<_>>()
    };
    for (kind, key) in [("log", "retry_on"), ("sql", "retry_on"), ("file", "dead_on")] {
        let [one] = &told(kind, key, "['timeout', 404]")[..] else { panic!("{kind}") };
        let expected =
            format!("no failure of the kind `{kind}` has the status 404 | its failures have no");
        assert!(one.starts_with(&expected), "{one}");
        assert!(told(kind, key, "['timeout', 'connection']").is_empty(), "{kind}");
    }
    assert!(told("http", "retry_on", "[404]").is_empty());
}

#[test]
fn algorithm_of_a_preset_that_is_written_as_consoles_do_is_led_to_in_one_step() {
    let text = SMALL.replace("\"hyvor-talk\"", "\"userecho\"\nalgorithm = \"SHA256\"");
    let problems = check(&text).report.problems;
    let [one] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(one.message, "`userecho` does not sign by `SHA256`");
    assert_eq!(
        one.help,
        "write `algorithm = \"hmac-sha256\"`; it signs by: hmac-sha256, hmac-sha1"
    );
}

#[test]
fn mail_server_has_time_to_say_that_it_has_the_mail() {
    let timeout = |own: &str, kind: &str| {
        let config = good(&format!("{SMALL}[handler.extra]\n{own}\n[handler.extra.{kind}]\n"));
        let (_, extra) = config.handlers.iter().find(|(name, _)| name.as_str() == "extra").unwrap();
        extra.policy.timeout.as_secs()
    };
    let email = "email]\nsmtp = 'smtp://localhost'\nfrom = 'a@example.com'\nto = ['b@example.com']\n\
                 subject = 'x'\ntext = 'x'\n[handler.extra.email.headers";
    assert_eq!(timeout("", "log"), 30);
    assert_eq!(timeout("", email), 660);
    assert_eq!(timeout("timeout = '5s'", email), 5);
}
