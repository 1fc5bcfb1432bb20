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

#[test]
fn the_help_of_each_verb_names_its_options() {
    for verb in [
        "check",
        "send",
        "events",
        "events list",
        "events replay",
        "dead",
        "dead redrive",
        "rollouts",
        "rejected",
        "handlers",
        "queue",
    ] {
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
