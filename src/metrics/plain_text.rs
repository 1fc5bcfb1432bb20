//! The older text format of Prometheus (0.0.4), for `curl` and `promtool`, out of what is encoded for
//! `OpenMetrics`. Samples are the same lines in both; there a family is called as its samples are.

/// `text`, which is `OpenMetrics`, in the older format.
pub(super) fn of_openmetrics(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            push(&mut plain, &["", line]);
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(name), Some(words)) => help = Some((name, words)),
            (Some("TYPE"), Some(name), Some(kind)) => {
                let (end, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some((_, words)) = help.take().filter(|(of, _)| *of == name) {
                    push(&mut plain, &["# HELP ", name, end, " ", words]);
                }
                push(&mut plain, &["# TYPE ", name, end, " ", kind]);
            }
            // Units stand in the names, and the end is the answer's.
            _ => {}
        }
    }
    plain
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_called_as_their_samples() {
        let openmetrics = "# HELP a Requests.\n# TYPE a counter\na_total{b=\"# c\"} 1\n\
                           # HELP d_seconds Time.\n# TYPE d_seconds gauge\n# UNIT d_seconds seconds\n\
                           d_seconds 0.5\n# HELP e Version.\n# TYPE e info\ne_info{v=\"1\"} 1\n# EOF\n";
        let expected = "# HELP a_total Requests.\n# TYPE a_total counter\na_total{b=\"# c\"} 1\n\
                        # HELP d_seconds Time.\n# TYPE d_seconds gauge\nd_seconds 0.5\n\
                        # HELP e_info Version.\n# TYPE e_info gauge\ne_info{v=\"1\"} 1\n";
        assert_eq!(of_openmetrics(openmetrics), expected);
    }
}
