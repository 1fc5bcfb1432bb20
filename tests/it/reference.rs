//! The text of every configuration key.

/// Options of the reference that stand there with an example and have no such default.
const EXAMPLES: &[&str] =
    &["create_table", "delete_on", "gzip", "keep", "max_per_hour", "order_by", "rate_limit"];

#[test]
fn examples_in_the_configuration_say_what_holds_without_them() {
    let text = include_str!("../../src/config/reference.toml");
    let mut n_found = 0;
    // The words above an option, up to an empty line or another table.
    let mut words = String::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            words.push_str(comment);
            words.push(' ');
            continue;
        }
        let key =
            line.strip_prefix('#').and_then(|line| line.split_once(" = ")).map(|(key, _)| key);
        match key {
            Some(key) if EXAMPLES.contains(&key) => {
                n_found += 1;
                assert!(words.to_lowercase().contains("left out"), "`{key}` does not say: {words}");
            }
            // Of one paragraph.
            Some(_) => {}
            None => words.clear(),
        }
    }
    assert!(n_found >= EXAMPLES.len(), "{n_found}");
}
