//! What other programs call our verbs and flags.

use clap::{Command, CommandFactory as _};

use super::args::Cli;

/// Verbs of the program itself, and what to say in their place.
const VERBS: &[(&[&str], &str)] = &[
    (&["daemon", "listen", "run", "server", "start"], "`gatepost serve` runs the server"),
    (
        &["kill", "quit", "shutdown", "stop"],
        "`systemctl stop gatepost` ends the server, or Ctrl-C where it runs in a terminal: what waits is kept",
    ),
    (
        &["restart"],
        "`gatepost reload` takes a changed configuration over, `systemctl restart gatepost` a new program",
    ),
    (
        &["log", "logs"],
        "`gatepost events tail` prints what comes in; what the server logs is in `journalctl -u gatepost`",
    ),
    (
        &["follow", "monitor", "watch"],
        "`gatepost top` watches all, `gatepost events tail` what comes in",
    ),
    (
        &["dlq", "errors", "failed", "failures"],
        "`gatepost dead list` lists the deliveries that were given up",
    ),
    (
        &["config", "configtest", "lint", "test-config", "validate", "verify"],
        "`gatepost check` finds every mistake in the configuration",
    ),
    (&["version"], "`gatepost --version` says it"),
    (
        &["health", "healthcheck", "info", "metrics", "ping", "ps", "source", "sources", "stats"],
        "`gatepost status` shows how everything stands",
    ),
    (
        &["backup", "dump"],
        "`gatepost queue export` prints every retained event; see Operations in the handbook",
    ),
    (
        &["migrate", "update", "upgrade"],
        "there is nothing to run: `gatepost serve` takes over what an earlier program left",
    ),
    (
        &["clear", "delete", "flush", "purge"],
        "`gatepost dead drop` gives dead letters up; events are let go after their `retention`",
    ),
    (
        &["dashboard", "open", "tui", "ui"],
        "`gatepost top` is a live view; the dashboard is at the address of `[admin]`",
    ),
    (
        &["add", "create", "generate", "install", "new", "setup"],
        "`gatepost init` writes a configuration",
    ),
    (
        &["keygen", "password", "secret", "secrets", "token"],
        "a secret is made at the start, where its `{ file = … }` has `create = true`",
    ),
    (&["emit", "fire", "post", "publish", "trigger"], "`gatepost send` posts a signed sample"),
    (
        &["redeliver", "requeue", "resend", "retry"],
        "`gatepost dead redrive` tries again what was given up, `gatepost events replay` what was delivered, \
         `gatepost handlers retry` a failing handler",
    ),
];

/// Verbs of a group, and ours in the order in which they are looked for there.
const GROUP_VERBS: &[(&[&str], &[&str])] = &[
    (&["find", "grep", "ls", "search"], &["list"]),
    (&["cat", "get", "info", "inspect", "view"], &["show", "list"]),
    (&["follow", "stream", "watch"], &["tail"]),
    (&["redeliver", "replay", "requeue", "resend", "retry"], &["redrive", "replay", "release"]),
    (&["clear", "delete", "purge", "remove", "rm"], &["drop", "forget"]),
    (&["disable", "stop"], &["pause"]),
    (&["enable", "start", "unpause"], &["resume"]),
    (&["dry-run", "plan", "preview", "test"], &["try"]),
    (&["why"], &["explain"]),
    (&["accept", "allow"], &["release"]),
    (&["backup", "dump"], &["export"]),
    (&["load", "restore"], &["import"]),
    (&["fsck", "repair", "validate", "verify"], &["check"]),
    (&["optimize", "vacuum"], &["compact"]),
];

/// Flags that other programs have, and what to say in their place.
const FLAGS: &[(&[&str], &str)] = &[
    (
        &["--addr", "--address", "--bind", "--host", "--listen", "--port", "-H", "-p"],
        "where the server listens is `listen` in `[server]` of the configuration",
    ),
    (
        &["--debug", "--log-level", "--quiet", "--verbose", "-q", "-v", "-vv"],
        "how much is logged is `level` in `[log]` of the configuration; `-V` prints the version",
    ),
    (
        &["--background", "--daemon", "--daemonize", "--detach", "-D"],
        "it stays in the foreground, as systemd wants it: see Install in the handbook",
    ),
    (&["--format", "-j"], "`--json` prints JSON"),
    (&["--watch", "-w"], "`gatepost top` watches how everything stands"),
    (
        &["--count", "--last", "--max", "--tail"],
        "`events list`, `dead list` and `rejected list` take `--limit`",
    ),
    (&["--force", "--yes", "-y"], "leave it out: only `gatepost init` asks"),
    (
        &["--data-dir", "--datadir", "--storage"],
        "where events are kept is `path` in `[queue]` of the configuration",
    ),
    (&["--conf", "--config-file"], "the configuration file is named by `--config PATH`"),
    (
        &["--dead", "--failed", "--failures"],
        "`gatepost dead list` lists the deliveries that were given up",
    ),
];

/// What to say to a flag that the verb does not have.
pub(super) fn flag_advice(flag: &str) -> Option<String> {
    let name = flag.split('=').next().unwrap_or(flag);
    let meant = FLAGS.iter().find(|(theirs, _)| theirs.contains(&name));
    meant.map(|(_, told)| (*told).to_owned())
}

/// What to say to `word`, which is no verb of `group`; `None` = one of the program itself was wanted.
pub(super) fn advice(group: Option<&str>, word: &str) -> Option<String> {
    let program = Cli::command();
    if let Some(group) = group {
        let group = program.find_subcommand(group)?;
        let meant = GROUP_VERBS.iter().find(|(theirs, _)| theirs.contains(&word));
        let (_, ours) = meant?;
        let verb = ours.iter().find_map(|verb| group.find_subcommand(verb));
        let name = group.get_name();
        // What is spelled alike may be its opposite: `release` for `delete`.
        return Some(match verb {
            Some(verb) => format!("did you mean `gatepost {name} {}`?", verb.get_name()),
            None => format!(
                "there is no such verb: `gatepost {name} --help` lists those that there are"
            ),
        });
    }
    if let Some((_, told)) = VERBS.iter().find(|(theirs, _)| theirs.contains(&word)) {
        return Some((*told).to_owned());
    }
    // `show`, without what is to be shown.
    let has_verb =
        |group: &&Command| group.get_name() != "help" && group.find_subcommand(word).is_some();
    let groups = program.get_subcommands().filter(has_verb);
    let whole: Vec<_> =
        groups.map(|group| format!("`gatepost {} {word}`", group.get_name())).collect();
    (!whole.is_empty()).then(|| format!("did you mean {}?", whole.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No word is a verb of its own, and each that is named in advice is one.
    #[test]
    fn advice_names_verbs_that_there_are() {
        let program = Cli::command();
        for (words, told) in VERBS {
            for word in *words {
                assert!(program.find_subcommand(word).is_none(), "{word} is a verb");
                assert!(advice(None, word).is_some(), "{word}");
            }
            for named in told.split("`gatepost ").skip(1) {
                let mut found = &program;
                for verb in
                    named.split('`').next().unwrap().split(' ').filter(|it| !it.starts_with('-'))
                {
                    found = found.find_subcommand(verb).unwrap_or_else(|| panic!("{told}: {verb}"));
                }
            }
        }
        for (theirs, ours) in GROUP_VERBS {
            for verb in *ours {
                let is_one = |group: &Command| group.find_subcommand(verb).is_some();
                assert!(program.get_subcommands().any(is_one), "{verb} for {theirs:?}");
            }
        }
    }

    #[test]
    fn verb_is_looked_for_in_its_group() {
        for (group, word, told) in [
            (None, "show", "`gatepost events show` or `gatepost dead show` or"),
            (None, "replay", "`gatepost events replay`?"),
            (None, "retry", "`gatepost dead redrive` tries again"),
            (Some("dead"), "retry", "`gatepost dead redrive`?"),
            (Some("events"), "resend", "`gatepost events replay`?"),
            (Some("queue"), "fsck", "`gatepost queue check`?"),
            (Some("rejected"), "delete", "there is no such verb"),
        ] {
            let said = advice(group, word).unwrap();
            assert!(said.contains(told), "{said}");
        }
        assert_eq!(advice(Some("queue"), "xyzzy"), None);
        assert_eq!(advice(None, "xyzzy"), None);
    }
}
