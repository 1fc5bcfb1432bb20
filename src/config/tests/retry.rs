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
