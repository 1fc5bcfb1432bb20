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
