//! Shapes of configurations that people have put into public, of which the documentation says little.

use super::super::support::gateway::Folder;
use super::super::support::program::{printed, run};
use super::import::{checked, imported};

#[test]
fn any_of_several_networks_is_who_may_send() {
    let folder = Folder::of_text("");
    let network =
        |range: &str| format!(r#"{{"match": {{"type": "ip-whitelist", "ip-range": "{range}"}}}}"#);
    let networks = ["13.52.5.96/28", "104.192.136.0/21", "2401:1d80:3000::/36"].map(network);
    let hooks = format!(
        r#"[{{"id": "bitbucket", "execute-command": "/srv/deploy.sh", "http-methods": ["POST"],
             "trigger-rule": {{"or": [{}]}}}}]"#,
        networks.join(", ")
    );
    let (config, told) = imported(&folder, "webhook", &hooks);
    let allowed = "allow = [\"13.52.5.96/28\", \"104.192.136.0/21\", \"2401:1d80:3000::/36\"]";
    assert!(config.contains(allowed), "{config}");
    assert!(!config.contains("enabled = false") && !told.contains("is not known here"), "{told}");
    checked(&folder);
    // With a condition among them it is no list of networks.
    let event = r#"{"match": {"type": "value", "value": "push",
        "parameter": {"source": "payload", "name": "event"}}}"#;
    let hooks = hooks.replacen("\"or\": [", &format!("\"or\": [{event}, "), 1);
    let (config, _) = imported(&folder, "webhook", &hooks);
    assert!(!config.contains("\nallow = ") && config.contains("# enabled = false"), "{config}");
}

/// `webhook -template` with quotation marks that JSON takes.
#[test]
fn variables_of_a_template_that_is_json_are_filled_in() {
    let folder = Folder::of_text("");
    let hooks = r#"[{"id": "site", "execute-command": "{{ getenv `SITE` }}/update.sh",
      "trigger-rule": {"match": {"type": "value", "value": "{{ getenv `API_TOKEN` }}",
        "parameter": {"source": "header", "name": "X-Webhook-Token"}}}}]"#;
    let (config, told) = imported(&folder, "webhook", hooks);
    assert!(config.contains("secrets = [{ env = \"API_TOKEN\" }]"), "{config}");
    assert!(told.contains("`${SITE}/update.sh` stands as it is"), "{told}");
    checked(&folder);
}

#[test]
fn hook_whose_program_only_a_template_knows_keeps_no_other_back() {
    let folder = Folder::of_text("");
    let hooks = r#"[{"id": "filled", "execute-command": "{{ .Program }}"},
      {"id": "plain", "execute-command": "/srv/deploy.sh"}]"#;
    let (config, told) = imported(&folder, "webhook", hooks);
    assert!(config.contains("[handler.plain.command]"), "{config}");
    assert!(told.contains("hook `filled`: its program stands in a template"), "{told}");
    checked(&folder);
    let alone = hooks.replace("/srv/deploy.sh", "{{ .Other }}");
    std::fs::write(folder.path().join("theirs"), alone).unwrap();
    let output = run(&folder, &["import", "webhook", "theirs"]);
    printed(&output, 1);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("nothing in it can be carried over"), "{told}");
}
