//! Patterns over events, and filters that let no sample through.

use super::*;

#[test]
fn deletes_of_a_type_that_the_sender_never_sends_are_found() {
    let sql = |delete_on: &str| {
        format!(
            "[handler.a]\non = ['hyvor:comment.*', 'git:*']\norder_by = 'event.id'\n[handler.a.sql]\nurl = 'sqlite:a'\ncreate_table = true\ntable = 'a'\n\
             key = ['id']\ndelete_on = ['{delete_on}']\n\
             columns = {{ id = {{ value = 'event.id', type = 'text' }} }}"
        )
    };
    check(
        &sql("hyvor:comment.deleted"),
        &[
            "this version knows no event of type `comment.deleted` of `hyvor-talk` | did you mean `hyvor:comment.delete`?",
        ],
    );
    for good in ["hyvor:comment.delete", "hyvor:*.delete", "git:anything"] {
        check(&sql(good), &[]);
    }
}

#[test]
fn type_and_source_in_a_text_are_known_ones() {
    let log = |on: &str, message: &str| {
        format!("[handler.a]\n{on}\n[handler.a.log]\nmessage = '{message}{{{{ event.id }}}}'")
    };
    let on = "on = ['hyvor:*']";
    let wrong = |name: &str| {
        format!(
            "this version knows no event of type `{name}` of `hyvor-talk` | did you mean \"comment.create\"?"
        )
    };
    for text in [
        "{% if event.type == \"comment.created\" %}x{% endif %}",
        "{% if 1 > 2 %}{% elif event.type != \"comment.created\" %}x{% endif %}",
        "{{ \"x\" if \"comment.created\" == event.type else \"y\" }}",
        "{% for e in events %}{{ e.event.type in [\"comment.update\", \"comment.created\"] }}{% endfor %}",
        "{{ event.type not in (\"comment.created\",) }}",
    ] {
        check(&log(on, text), &[&wrong("comment.created")]);
    }
    check(
        &log(on, "{{ event.source == \"hyvr\" }}"),
        &["no source is called `hyvr` | did you mean \"hyvor\"?"],
    );
    check(
        &log("on = ['git:*']", "{{ event.type == \"pushed\" }}"),
        &["this version knows no event of type `pushed` of `github` | did you mean \"push\"?"],
    );
    let when = "[handler.a]\non = ['hyvor:*']\nwhen = 'event.type == \"comment.created\" or event.type in [\"user.new\"]'\n[handler.a.log]";
    let [first, second] = &found(when)[..] else { panic!("{:?}", found(when)) };
    assert_eq!(*first, wrong("comment.created"));
    assert!(
        second.starts_with("this version knows no event of type `user.new` of `hyvor-talk`"),
        "{second}"
    );
    // Any of several senders may send it, and of one's own nothing is known.
    for (on, text) in [
        (on, "{{ event.type == \"comment.update\" and event.source != \"hyvor\" }}"),
        ("on = ['hyvor:*', 'git:*']", "{{ event.type == \"push\" }}"),
        ("", "{{ event.type == \"whatever\" and event.source == \"gatepost\" }}"),
        ("on = ['gatepost:*']", "{{ event.type == \"handler.down\" }}"),
        (on, "{{ event.type == \"comment.\" ~ data.kind or data.kind ~ \".new\" == event.type }}"),
        (on, "{{ event.source == \"hyv\" ~ \"or\" or event.source == \"HYVOR\" | lower }}"),
        (on, "{{ event.type == 5 or event.type is none or event.type in data }}"),
    ] {
        check(&log(on, text), &[]);
    }
}

#[test]
fn item_of_events_is_asked_by_what_it_has() {
    let log = |text: &str| {
        format!(
            "[handler.a]\non = ['hyvor:comment.create']\n[handler.a.log]\nmessage = '{{% for e in events %}}{text}{{% endfor %}}'"
        )
    };
    let no = |name: &str| {
        format!("an item of `events` has `event`, `payload` and `data`, and no `{name}`")
    };
    for (text, name, help) in [
        ("{{ e.comment.body }}", "comment", "write `e.data.comment.body`"),
        ("{{ e.type }}{{ e.data.comment.id }}", "type", "write `e.event.type`"),
        ("{{ e.dta.comment.body }}", "dta", "did you mean `data`?"),
    ] {
        check(&log(text), &[&format!("{} | {help}", no(name))]);
    }
}

#[test]
fn value_that_may_never_come_is_found() {
    let when = |when: &str| {
        format!("[handler.a]\non = ['hyvor:comment.create']\nwhen = '{when}'\n[handler.a.log]")
    };
    let of = "no sample of hyvor:comment.create";
    let slip = |literal: &str| {
        format!("{of} has `{literal}` in `data.comment.status` | did you mean \"published\"?")
    };
    for (text, literal) in [
        ("data.comment.status == \"publishd\"", "\"publishd\""),
        ("data.comment.id and data.comment.status == \"Published\"", "\"Published\""),
        ("(data.comment.status in [\"spam\", \"publsihed\"])", "\"publsihed\""),
    ] {
        check(&when(text), &[&slip(literal)]);
    }
    let [number] = &found(&when("data.comment.id == \"424242\""))[..] else {
        panic!("one warning")
    };
    assert!(
        number.starts_with(
            "`\"424242\"` is a text, and `data.comment.id` is a number in every sample"
        ),
        "{number}"
    );
    let [text] = &found(&when("data.comment.status == 5"))[..] else { panic!("one warning") };
    assert!(text.starts_with("`5` is a number, and `data.comment.status` is a text"), "{text}");
    // What a sample has not, and an event may well have.
    let note = format!(
        "{of} passes `when`: what it lets through is not looked at | see what it says to an event with \
         `gatepost handlers try a`"
    );
    for other in [
        "data.comment.status == \"spam\"",
        "data.comment.status in [\"spam\", \"deleted\"]",
        "data.comment.status == \"published\" and data.comment.id == 5",
        "data.comment.status | upper == \"published\"",
        "data.comment.status == \"unpublished\"",
        "false",
    ] {
        check(&when(other), &[&note]);
    }
    for good in ["data.comment.status == \"published\"", "data.comment.status != \"publishd\""] {
        check(&when(good), &[]);
    }
}

#[test]
fn senders_without_samples_are_told_once_for_all_handlers() {
    let log = |name: &str, field: &str| {
        format!(
            "[handler.{name}]\non = ['own:a', 'own:{name}']\n[handler.{name}.log]\nmessage = '{{{{ {field} }}}}'\n"
        )
    };
    let text = log("b", "data.x") + &log("c", "payload.y") + &log("d", "event.id");
    let [told] = &found(&text)[..] else { panic!("{:?}", found(&text)) };
    let expected = "there is no sample of own:a, own:b, own:c: whether its events have the fields that 2 \
                    handlers ask for (b, c) is not looked at | try it with ";
    assert!(told.starts_with(expected) && told.contains("`gatepost handlers try b "), "{told}");
}

#[test]
fn slips_in_types_of_presets_whose_types_are_not_all_known_are_found() {
    let on = |pattern: &str| format!("[handler.a]\non = ['{pattern}']\n[handler.a.log]\n");
    let patterns = |pattern: &str| {
        let found = found(&on(pattern)).into_iter();
        found.filter(|one| one.contains("this version knows no event")).collect::<Vec<_>>()
    };
    for (wanted, help) in [
        ("git:pul_request", "did you mean `git:pull_request`?"),
        ("git:Push", "did you mean `git:push`?"),
        ("git:pushed", "did you mean `git:push`?"),
        ("git:issue", "did you mean `git:issues`?"),
        ("git:PushEvent", "did you mean `git:push`?"),
        ("git:PullRequestEvent", "did you mean `git:pull_request`?"),
        ("git:PULL_REQUEST", "did you mean `git:pull_request`?"),
        ("git:releases", "did you mean `git:release`?"),
        (
            "git:pull_request.opened",
            "write `git:pull_request`; what happened is in the body: `when = 'payload.action == \"opened\"'`",
        ),
    ] {
        let told = patterns(wanted);
        assert!(told.len() == 1 && told[0].ends_with(help), "{told:?}");
    }
    for good in ["git:push", "git:pull_*", "git:*", "git:projects_v2_item", "*:pul_request"] {
        assert_eq!(patterns(good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn deletes_of_every_event_and_of_none_are_found() {
    let sql = |more: &str| {
        format!(
            "[handler.a]\non = ['hyvor:comment.*']\norder_by = 'event.id'\n[handler.a.sql]\n\
             url = 'sqlite:a'\ncreate_table = true\ntable = 'a'\nkey = ['id']\n{more}\n\
             columns = {{ id = {{ value = 'event.id', type = 'text' }} }}"
        )
    };
    let every = "every event deletes its row: no row is ever written | ";
    for more in ["delete_when = 'true'", "delete_on = ['hyvor:*']", "delete_on = ['*:*']"] {
        let [one] = &found(&sql(more))[..] else { panic!("{more}") };
        assert!(one.starts_with(every), "{one}");
    }
    let never = "`on` lets no event of `hyvor:user.created` through: it deletes nothing | ";
    let [one] = &found(&sql("delete_on = ['hyvor:user.created']"))[..] else { panic!() };
    assert!(one.starts_with(never), "{one}");
    let [one] = &found(&sql("delete_when = 'data.comment.status == \"publishd\"'"))[..] else {
        panic!()
    };
    assert!(one.contains("`\"publishd\"` in `data.comment.status`"), "{one}");
    assert!(one.ends_with("did you mean \"published\"?"), "{one}");
    for good in [
        "delete_on = ['hyvor:comment.delete']",
        "delete_when = 'data.comment.status != \"published\"'",
    ] {
        check(&sql(good), &[]);
    }
}

#[test]
fn conditions_that_look_like_another_one_are_found() {
    let when = |when: &str| {
        format!("[handler.a]\non = ['hyvor:comment.create']\nwhen = '{when}'\n[handler.a.log]")
    };
    for (text, expected) in [
        (
            "data.comment.status == \"spam\" or \"deleted\"",
            "write `data.comment.status in [\"spam\", \"deleted\"]`",
        ),
        ("\"published\"", "compare it with a field"),
        (
            "data.comment.status == [\"published\", \"spam\"]",
            "write `in [\"published\", \"spam\"]`",
        ),
        ("data.comment.is_edited == \"true\"", "write it without quotation marks: `true`"),
        (
            "event.type == \"hyvor:comment.create\"",
            "`event.type` is `comment.create`, and `event.source` is `hyvor`",
        ),
    ] {
        let found = found(&when(text));
        let [one] = &found[..] else { panic!("{text}: {found:?}") };
        assert!(one.contains(expected), "{one}");
    }
}

#[test]
fn list_of_a_form_that_is_compared_with_a_text_is_found() {
    let when = |when: &str| {
        let when = format!("[handler.a]\non = ['own:*']\nwhen = '{when}'\n[handler.a.log]");
        let mut found = found(&when);
        found.retain(|one| one.contains("is a list"));
        found
    };
    let told = "in a form `payload[\"status[]\"]` is a list, also where one thing is in it | write \
                `payload[\"status[]\"][0]` for the first, or `\"paid\" in payload[\"status[]\"]`";
    for text in [
        "payload[\"status[]\"] == \"paid\"",
        "payload[\"status[]\"] != \"paid\"",
        "\"paid\" == payload[\"status[]\"]",
        "payload[\"status[]\"] in [\"paid\", \"due\"]",
    ] {
        assert_eq!(when(text), [told], "{text}");
    }
    for text in [
        "payload[\"status[]\"][0] == \"paid\"",
        "\"paid\" in payload[\"status[]\"]",
        "payload[\"status[]\"] | join == \"paid\"",
        "payload[\"status\"] == \"paid\"",
    ] {
        assert_eq!(when(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn all_events_of_hyvor_talk_s_page_and_of_its_library_are_known() {
    let types = [
        "flag.created",
        "flag.deleted",
        "vote.created",
        "vote.updated",
        "vote.deleted",
        "comment.vote.created",
        "comment.vote.updated",
        "comment.vote.deleted",
        "comment.flag.created",
        "comment.flag.deleted",
        "user.updated",
        "media.deleted",
    ];
    for one in types {
        check(&format!("[handler.a]\non = ['hyvor:{one}']\n[handler.a.log]"), &[]);
    }
}
