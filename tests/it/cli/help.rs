//! The texts that people read.

use super::super::support::gateway::Folder;
use super::super::support::program::{printed, run};

fn help(arguments: &[&str]) -> String {
    let folder = Folder::new("", "");
    printed(&run(&folder, arguments), 0)
}

#[test]
fn the_help_names_every_verb() {
    insta::assert_snapshot!(help(&["--help"]));
}

/// Every verb but those without words of their own.
const VERBS: &[&str] = &[
    "serve",
    "check",
    "test",
    "init",
    "import",
    "import webhook",
    "import qhook",
    "reload",
    "send",
    "status",
    "top",
    "events",
    "events list",
    "events show",
    "events save",
    "events tail",
    "events replay",
    "events edit",
    "dead",
    "dead list",
    "dead show",
    "dead redrive",
    "dead drop",
    "rollouts",
    "rollouts list",
    "rollouts show",
    "rollouts pause",
    "rollouts resume",
    "rollouts cancel",
    "rejected",
    "rejected list",
    "rejected show",
    "rejected explain",
    "rejected release",
    "handlers",
    "handlers list",
    "handlers try",
    "handlers pause",
    "handlers resume",
    "handlers retry",
    "handlers forget",
    "queue",
    "queue check",
    "queue export",
    "queue import",
    "queue compact",
    "standby",
    "standby promote",
    "cluster",
    "cluster status",
    "restore",
    "schema",
    "completions",
    "man",
];

#[test]
fn every_verb_is_among_those_whose_help_is_looked_at() {
    let mut unknown = Vec::new();
    for verb in std::iter::once("").chain(VERBS.iter().copied()) {
        let mut arguments: Vec<&str> = verb.split(' ').filter(|word| !word.is_empty()).collect();
        arguments.push("--help");
        let text = help(&arguments);
        let Some((_, commands)) = text.split_once("Commands:\n") else { continue };
        let commands = commands.lines().take_while(|line| !line.is_empty());
        // A line that goes on is indented further.
        let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for name in names.filter_map(|line| line.split_whitespace().next()) {
            let whole = format!("{verb} {name}");
            let is_known = VERBS.contains(&whole.trim()) || name == "help";
            if !is_known {
                unknown.push(whole);
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
}

#[test]
fn the_help_of_each_verb_names_its_options() {
    for verb in VERBS {
        let mut arguments: Vec<&str> = verb.split(' ').collect();
        arguments.push("--help");
        insta::assert_snapshot!(verb.replace(' ', "_"), help(&arguments));
    }
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(help(&["completions", shell]).contains("gatepost"), "{shell}");
    }
}

#[test]
fn the_schema_is_json() {
    let schema: serde_json::Value = serde_json::from_str(&help(&["schema"])).unwrap();
    assert!(schema["properties"]["source"].is_object());
}

/// What is not explained below `schema`: each key has a description and an example, and a default, or a
/// description that says what holds without it.
fn unexplained(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    let own = schema["properties"].as_object().into_iter().flatten();
    let named = schema.get("additionalProperties").filter(|one| one.is_object());
    let named = named.map(|one| ("NAME".to_owned(), one));
    for (name, schema) in own.map(|(name, schema)| (name.clone(), schema)).chain(named) {
        let path = format!("{path}.{name}");
        let text = schema["description"].as_str().unwrap_or_default();
        let says = |words: &str| text.to_ascii_lowercase().contains(words);
        let has_default = schema.get("default").is_some()
            || says("left out")
            || says("required")
            || name == "NAME";
        for (is_there, what) in [
            (text.len() > 8 && text != "a table", "description"),
            (schema["examples"].as_array().is_some_and(|all| !all.is_empty()), "example"),
            (has_default, "default"),
        ] {
            if !is_there {
                found.push(format!("{path}: no {what}"));
            }
        }
        unexplained(schema, &path, found);
    }
}

#[test]
fn schema_explains_every_key_with_its_default_and_an_example() {
    let schema: serde_json::Value = serde_json::from_str(&help(&["schema"])).unwrap();
    let mut found = Vec::new();
    unexplained(&schema, "", &mut found);
    assert_eq!(found, Vec::<String>::new());
    let handler = &schema["properties"]["handler"]["additionalProperties"]["properties"];
    assert_eq!(handler["file"]["properties"]["rotate"]["default"], "never");
    assert_eq!(handler["batch"]["properties"]["wait"]["default"], "1s");
    assert_eq!(
        schema["properties"]["server"]["properties"]["trusted_proxies"]["default"],
        serde_json::json!([])
    );
    let queue = &schema["properties"]["queue"]["properties"];
    assert_eq!(queue["nats"]["properties"]["stream"]["default"], "gatepost");
    assert_eq!(queue["postgres"]["properties"]["schema"]["default"], "gatepost");
}
