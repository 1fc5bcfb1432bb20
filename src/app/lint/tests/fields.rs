//! Fields that are asked for through names of a template's own, and those of what is `null`.

use super::*;

fn log(message: &str) -> String {
    format!(
        "[handler.a]\non = ['hyvor:comment.create']\n[handler.a.log]\n\
         message = '''{message}{{{{ data.comment.id }}}}'''"
    )
}

#[test]
fn slips_behind_names_of_a_template_are_found() {
    let no = |field: &str, near: &str| {
        format!("no sample of hyvor:comment.create has `{field}` | did you mean `{near}`?")
    };
    let body = no("data.comment.boddy", "data.comment.body");
    for text in [
        "{% with c = data.comment %}{{ c.boddy }}{% endwith %}",
        "{% set c = data.comment or {} %}{{ c.boddy }}",
        "{% macro f(c) %}{{ c.boddy }}{% endmacro %}{{ f(data.comment) }}",
        "{% macro f(c, n=1) %}{{ c.boddy }}{% endmacro %}{{ f(n=2, c=data.comment) }}",
        "{% for c in events | map(attribute=\"data.comment\") %}{{ c.boddy }}{% endfor %}",
        "{{ events | map(attribute=\"data.comment.boddy\") | join }}",
        "{{ events | selectattr(\"data.comment.boddy\", \"eq\", 1) | list }}",
        "{{ (events | first).data.comment.boddy }}",
        "{{ (data.comment or {}).boddy | upper }}",
        "{{ data.get(\"comment\").boddy }}",
        "{{ events[:1][0].data.comment.boddy }}",
        "{{ data[\"comment\"][\"boddy\"] }}",
    ] {
        check(&log(text), &[&body]);
    }
    let values = "{% for k, v in data|items %}{{ v.boddy }}{% endfor %}";
    check(&log(values), &[&no("data[].boddy", "data[].body")]);
    for good in [
        "{% with c = data.comment %}{{ c.body }}{% endwith %}",
        "{% for k, v in data.comment.page.reactions|items %}{{ k }}{{ v }}{% endfor %}",
        "{% macro f(c) %}{{ c.url }}{{ c.title }}{% endmacro %}{{ f(data.comment.page) }}",
        "{{ events | map(attribute=\"data.comment.body\") | join }}",
    ] {
        check(&log(good), &[]);
    }
}

/// A comparison with it is never true; whether a field is there may well be asked.
#[test]
fn fields_that_are_compared_in_a_branch_are_found() {
    for condition in ["data.votes > 3", "data.votes == 3", "data.state.name == \"New\""] {
        let field = condition.split(' ').next().unwrap_or_default();
        let text = format!(
            "[handler.a]\non = ['ue:topic.created']\n[handler.a.log]\n\
             message = '{{% if {condition} %}}x{{% endif %}}{{{{ data.id }}}}'"
        );
        let [told] = &found(&text)[..] else { panic!("{condition}: {:?}", found(&text)) };
        let root = if field.contains("state") { "data.state" } else { field };
        assert!(told.contains(&format!("has `{root}")), "{told}");
        check(&text.replace(condition, field), &[]);
        // True of what is not there, as is meant.
        check(&text.replace(condition, &format!("{field} != 3")), &[]);
        check(&text.replace(condition, &format!("{field} not in [3]")), &[]);
    }
}

/// As `check` writes it, it can be pasted into the text.
#[test]
fn odd_names_and_methods_without_brackets_are_told_as_they_are_written() {
    let no = |field: &str, help: &str| {
        format!("no sample of hyvor:comment.create has `{field}` | {help}")
    };
    let has = |found: &[String], part: &str| {
        assert!(found.iter().any(|one| one.starts_with(part)), "{found:?}");
    };
    let odd = found(&log("{{ data.comment[\"a b\"].c }}"));
    has(&odd, &no("data.comment[\"a b\"]", "`data.comment` has "));
    let odd = found(&log("{{ data.comment[\"bo-dy\"] }}"));
    has(&odd, &no("data.comment[\"bo-dy\"]", "did you mean `data.comment.body`?"));
    for method in ["items", "keys", "values"] {
        let told =
            no(&format!("data.comment.{method}"), &format!("write `data.comment.{method}()`"));
        check(
            &log(&format!("{{% for x in data.comment.{method} %}}{{{{ x }}}}{{% endfor %}}")),
            &[&told],
        );
        check(&log(&format!("{{{{ data.comment.{method}() | list | length }}}}")), &[]);
    }
}

#[test]
fn fields_of_what_is_null_in_every_sample_are_told() {
    let of_null = "`data.comment.parent` is null in every sample of hyvor:comment.create: what is asked for of it \
                   is not looked at | try it with an event that has it: `gatepost handlers try a --event ID`";
    check(&log("{{ data.comment.parent.user.name }}{{ data.comment.parent.body }}"), &[of_null]);
    check(&log("{% with p = data.comment.parent %}{{ p.body }}{% endwith %}"), &[of_null]);
    // Its absence is counted with.
    let counted = "{{ data.comment.parent.body or 1 }}{{ data.comment.parent.body | default(1) }}";
    check(&log(counted), &[]);
    check(&log("{% if data.comment.parent.body %}x{% endif %}{{ data.comment.parent }}"), &[]);
}

/// Also where what to write instead stands behind the words.
#[test]
fn expression_that_fails_with_a_sample_is_shown_where_it_stands() {
    let text = format!(
        "{SOURCES}[handler.a]\non = ['hyvor:comment.create']\n[handler.a.log]\n\
         level = 'info'\nmessage = 'a {{{{ data.comment + 1 }}}}'"
    );
    let Checked { config, mut report, .. } =
        config::check_text(&text, "x.toml", Path::new("/"), None);
    lint(&config.unwrap(), &mut report);
    let [problem] = &report.problems[..] else { panic!("{report}") };
    assert!(
        problem.message.ends_with("; numbers are calculated with, and texts are joined by `~`"),
        "{report}"
    );
    let shown = problem.span.clone().and_then(|span| text.get(span));
    assert_eq!(shown, Some("data.comment + 1"), "{report}");
}

#[test]
fn field_that_nothing_has_is_found_in_the_answer_of_a_source() {
    let answered = |body: &str| {
        let own = SOURCES.replacen(
            "[source.hyvor]",
            &format!("[source.hyvor]\nanswer = {{ body = '{body}' }}"),
            1,
        );
        let text = format!("{own}[handler.a.log]\n");
        let Checked { config, mut report, .. } =
            config::check_text(&text, "x.toml", Path::new("/"), None);
        lint(&config.unwrap(), &mut report);
        report
            .entries()
            .into_iter()
            .map(|one| format!("{} | {}", one.message, one.help))
            .collect::<Vec<_>>()
    };
    let nothing = "nothing stands there in the answer";
    assert_eq!(
        answered("{{ event.idd }}"),
        [format!("there is no `event.idd`: {nothing} | did you mean `event.id`?")]
    );
    assert_eq!(
        answered("{{ data.coment.id }}"),
        [format!("there is no `data.coment`: {nothing} | did you mean `data.comment`?")]
    );
    assert_eq!(answered("{{ event.id }} {{ data.comment.id }} {{ payload.other }}"), [""; 0]);
}

#[test]
fn body_that_goes_by_get_is_told() {
    let by = |method: &str, body: &str| {
        let text = format!(
            "[handler.a]\non = ['hyvor:comment.create']\n[handler.a.http]\nurl = 'http://a/'\n{method}\n{body}"
        );
        found(&text)
    };
    let [one] = &by("method = 'GET'", "body = '{{ event.id }}'")[..] else { panic!("one warning") };
    assert!(one.starts_with("many servers and proxies drop the body of a GET | "), "{one}");
    assert_eq!(by("method = 'GET'", ""), [""; 0]);
    assert_eq!(by("method = 'POST'", "body = '{{ event.id }}'"), [""; 0]);
}

#[test]
fn slip_of_a_known_field_is_told_whatever_else_may_come() {
    let slip = |on: &str, message: &str| {
        found(&format!("[handler.a]\n{on}\n[handler.a.log]\nmessage = '{message}'"))
    };
    let no = |of: &str, message: &str| {
        let told = slip(of, message);
        told.iter().any(|one| one.contains("has `data.coment` | did you mean `data.comment`?"))
    };
    let wrong = "{{ data.coment.body }}";
    for on in [
        "on = ['hyvor:comment.create', 'hyvor:comment.creat']",
        "on = ['hyvor:comment.create', 'own:*']",
        "",
    ] {
        assert!(no(on, wrong), "{on}: {:?}", slip(on, wrong));
        // What may be a field of the others, or may be missing.
        for other in ["{{ data.order.id }}", "{{ data.coment.body or 1 }}"] {
            assert!(!no(on, other), "{on}: {:?}", slip(on, other));
        }
    }
}
