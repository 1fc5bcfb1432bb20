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
