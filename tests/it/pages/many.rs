//! Pages of gateways that have more than a page shows, and forms that keep what was chosen.

use std::fmt::Write as _;

use super::{ask, page};
use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::{Gateway, http_handler};

/// The most that a page may weigh.
const PAGE_MAX: usize = 60 << 10;

fn sources(n: usize) -> String {
    (0..n).fold(String::new(), |mut text, n| {
        write!(text, "[source.s{n:03}]\nverify = {{ algorithm = 'none' }}\n").unwrap();
        text
    })
}

#[test]
fn overview_of_200_handlers_is_no_larger_than_others_and_leads_to_them() {
    let handlers = (0..200).fold(String::new(), |mut text, n| {
        write!(text, "[handler.h{n:03}]\non = ['*:*']\n[handler.h{n:03}.log]\n").unwrap();
        text
    });
    let gateway = Gateway::with("", &handlers);
    gateway.send(br#"{"event":"comment.create"}"#).id();
    gateway.wait_until_delivered("h199", 1);
    for path in ["/", "/handlers", "/handlers?after=h100", "/events", "/config", "/dead"] {
        let answer = gateway.ask("GET", path, "");
        let n_bytes = answer.text().len();
        assert!(answer.status == 200 && n_bytes <= PAGE_MAX, "{path}: {n_bytes} bytes");
    }
    assert!(page(&gateway, "/").contains("<a href=\"/handlers\">"));
    let first = page(&gateway, "/handlers");
    assert!(first.contains(">177 more handlers</a>"), "{first}");
    // By the links all of them are come to.
    let (mut path, mut n_shown) = ("/handlers".to_owned(), 0);
    loop {
        let list = page(&gateway, &path);
        n_shown += list.matches("<th scope=\"row\"").count();
        let Some((before, _)) = list.split_once(" more handlers</a>") else { break };
        let link = before.rsplit_once("<a href=\"").unwrap().1;
        link.split_once('"').unwrap().0.clone_into(&mut path);
    }
    assert_eq!(n_shown, 201, "with `all`");
}

#[test]
fn list_of_sources_says_how_many_more_there_are_and_leads_to_them_with_the_troubled_ones_first() {
    let silent = "[source.zz]\nverify = { algorithm = 'none' }\nexpect_every = '1s'\n";
    let gateway = Gateway::with("", &(sources(30) + silent));
    crate::support::patience::wait_until("it is silent", || {
        page(&gateway, "/").contains("zz has been silent since")
    });
    let first = page(&gateway, "/sources");
    assert!(first.contains("<a href=\"/sources/zz\">"), "{first}");
    let link = "<a href=\"/sources?after=s021\">9 more sources</a>";
    assert!(first.contains(link), "{first}");
    let rest = page(&gateway, "/sources?after=s021");
    assert!(
        rest.contains("<a href=\"/sources/s022\">") && !rest.contains("more sources"),
        "{rest}"
    );
    assert!(!rest.contains("<a href=\"/sources/zz\">"), "{rest}");
}

/// A handler whose receiver gives up these, one by one.
fn gave_up(answers: &[u16]) -> (BadServer, Gateway) {
    let receiver = BadServer::start(answers.iter().map(|code| status(*code)));
    let gateway = Gateway::with("", &http_handler("app", "concurrency = 1", &receiver));
    (receiver, gateway)
}

fn send(gateway: &Gateway, n: usize, n_dead: usize) {
    gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", n_dead as u64);
}

/// The fields of the form of `page` whose button is called `button`.
fn form_of(page: &str, button: &str) -> String {
    let before = page.split_once(&format!(">{button}</button>")).unwrap().0;
    let form = before.rsplit_once("<form").unwrap().1;
    let fields = form.split("<input type=\"hidden\" name=\"").skip(1).map(|field| {
        let (name, rest) = field.split_once("\" value=\"").unwrap();
        format!("{name}={}", rest.split_once('"').unwrap().0)
    });
    fields.collect::<Vec<_>>().join("&")
}

/// The page speaks of one reason; what dies of another one while it is looked at is not meant.
#[test]
fn buttons_of_the_only_group_are_for_that_group_alone() {
    let (_receiver, gateway) = gave_up(&[422, 422, 410]);
    send(&gateway, 0, 1);
    send(&gateway, 1, 2);
    let shown = page(&gateway, "/dead");
    let form = form_of(&shown, "Redrive all 2");
    assert!(form.contains("handler=app&like="), "{form}");
    send(&gateway, 2, 3);
    assert_eq!(gateway.ask("POST", "/dead/redrive", &form).status, 303);
    gateway.wait_until_delivered("app", 2);
    let dead = ask(&gateway, "dead");
    let reasons: Vec<&str> =
        dead.as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert!(matches!(reasons.as_slice(), [one] if one.contains("410")), "{reasons:?}");
}

#[test]
fn filter_of_dead_letters_stays_in_the_address_behind_each_step_of_a_rollout() {
    let (_receiver, gateway) = gave_up(&[422; 4]);
    (0..3).for_each(|n| send(&gateway, n, n + 1));
    let filter = "handler=app&reason=422";
    let begun = gateway.ask("POST", "/dead/rollout", &format!("{filter}&rate=1"));
    let address = begun.header("location").unwrap().to_owned();
    assert!(address.starts_with(&format!("/dead?{filter}&done=")), "{address}");
    for (button, step) in [("Pause", "pause"), ("Go on", "resume"), ("Cancel", "cancel")] {
        let shown = page(&gateway, &format!("/dead?{filter}"));
        if !shown.contains(&format!(">{button}</button>")) {
            // The only letter that was let go failed, or all were delivered: nothing is paused.
            continue;
        }
        let form = form_of(&shown, button);
        assert_eq!(form, filter, "{button}");
        let answer = gateway.ask("POST", &format!("/rollouts/1/{step}"), &form);
        let address = answer.header("location").unwrap_or_default().to_owned();
        assert!(address.starts_with(&format!("/dead?{filter}&done=")), "{step}: {answer:?}");
    }
}

#[test]
fn limit_of_a_change_of_dead_letters_says_how_many_more_match() {
    let (_receiver, gateway) = gave_up(&[422; 5]);
    (0..5).for_each(|n| send(&gateway, n, n + 1));
    for (dry_run, expected) in [(true, 2), (false, 2)] {
        let body = serde_json::json!({ "handler": "app", "limit": 3, "dry_run": dry_run });
        let changed = gateway.ask("POST", "/api/v1/dead/drop", &body.to_string()).json();
        assert_eq!((&changed["matched"], &changed["more"]), (&3.into(), &expected.into()));
    }
    let actions = ask(&gateway, "actions");
    assert_eq!(actions[0]["result"], "3 of 3, 0 skipped; left out by its limit: 2");
    let again = gateway.ask("POST", "/api/v1/dead/drop", r#"{"handler":"app"}"#).json();
    assert_eq!((&again["matched"], &again["more"]), (&2.into(), &serde_json::Value::Null));
}

/// By its file: what was let go before counts.
#[test]
fn rollout_with_a_limit_lets_go_no_more_than_that_and_leaves_the_rest_dead() {
    let (_receiver, gateway) = gave_up(&[422; 5]);
    (0..5).for_each(|n| send(&gateway, n, n + 1));
    let body = r#"{"handler":"app","limit":3}"#;
    assert_eq!(gateway.ask("POST", "/api/v1/rollouts", body).status, 200);
    crate::support::patience::wait_until("it is done", || {
        ask(&gateway, "rollouts/1")["state"] == "done"
    });
    assert_eq!(ask(&gateway, "rollouts/1")["delivered"], 3);
    assert_eq!(ask(&gateway, "dead").as_array().unwrap().len(), 2);
}
