//! A pause that is given another end.

use serde_json::Value;

use super::page;
use crate::support::gateway::Gateway;

#[test]
fn pause_is_lengthened_on_the_page_without_letting_anything_go() {
    let gateway = Gateway::start();
    let change = |form: &str| gateway.ask("POST", "/handlers/all/pause", form).status;
    assert_eq!(change("for=15m&reason=disk+%3Cfull%3E"), 303);
    let pause =
        || -> Value { gateway.ask("GET", "/api/v1/handlers/all", "").json()["pause"].clone() };
    let first = pause();
    let text = page(&gateway, "/handlers/all");
    assert!(text.contains("<button class=\"go\">Resume</button>"), "{text}");
    let form = text.split("action=\"/handlers/all/pause\"").nth(1).expect("a pause can be changed");
    let form = form.split("</form>").next().unwrap();
    assert!(form.contains("<button>Change its end</button>"), "{form}");
    assert!(form.contains("value=\"disk &#60;full&#62;\""), "the reason stays: {form}");
    assert_eq!(change("for=8h&reason=disk+%3Cfull%3E"), 303);
    let second = pause();
    assert!(second["until"].as_str() > first["until"].as_str(), "{first} {second}");
    assert_eq!(second["reason"], "disk <full>");
    assert_eq!(gateway.ask("GET", "/api/v1/handlers/all", "").json()["state"], "paused");
}
