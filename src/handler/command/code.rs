//! Arguments that a program runs as code, or takes for an option: an event must not write them.
//!
//! 1. Code: no event writes what stands behind `-c`, `--eval` and the like of a program that is named anywhere
//!    before, as in `docker exec web sh -c`.
//! 2. What runs: no event writes the script of an interpreter, what `ssh` hands to the other machine's shell,
//!    or the program of a wrapper such as `sudo`, where these are the program themselves or stand behind
//!    wrappers only. Elsewhere their names are words like any other, as in `logger -t node`.

use std::path::Path;

/// A program that runs what stands in its arguments.
struct Runner {
    names: &'static [&'static str],
    kind: Kind,
    /// The letters of options that code follows, as in `-c`.
    code: &'static str,
    /// Their other names.
    words: &'static [&'static str],
    /// The letters of other options with a value of its own behind them.
    values: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The first argument is a script; what is behind that, or behind code, are values.
    Script,
    /// Arguments are values, and options with code may stand behind them.
    Client,
    /// The same, and all that is behind code is more of it.
    Rest,
    /// Runs the program that stands behind so many arguments.
    Wrapper(usize),
}

/// What an option says of the argument behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NextArgument {
    Value,
    MaybeValue,
    NoValue,
}

/// What the last of a program's arguments is to it.
enum Role {
    Code,
    /// The script, or the program, is this one of the arguments.
    Runs(usize),
    Other,
}

/// Programs that read `|`, `$NAME` and their like.
pub(super) const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "zsh", "ksh", "fish"];

#[rustfmt::skip]
const RUNNERS: [Runner; 19] = [
    Runner::new(SHELLS, Kind::Script, "cC", &["--command", "--init-command"], "oO"),
    Runner::new(&["python", "pypy"], Kind::Script, "cm", &[], "WX"),
    Runner::new(&["perl"], Kind::Script, "eE", &[], "IMmF"),
    Runner::new(&["ruby"], Kind::Script, "e", &[], "rICEF"),
    Runner::new(&["lua"], Kind::Script, "e", &[], "l"),
    Runner::new(&["node", "nodejs", "tsx"], Kind::Script, "ep", &["--eval", "--print"], "rC"),
    Runner::new(&["deno", "bun"], Kind::Script, "ep", &["--eval", "--print", "eval", "run"], "rc"),
    Runner::new(&["php"], Kind::Script, "rBREfF", &["--run", "--file"], "dczSt"),
    Runner::new(&["psql"], Kind::Client, "c", &["--command"], "dfhpUvoFPRTL"),
    Runner::new(&["mysql", "mariadb"], Kind::Client, "e", &["--execute", "--init-command"], "hPuDSp"),
    Runner::new(&["su", "runuser"], Kind::Client, "c", &["--command", "--session-command"], "sgGuw"),
    Runner::new(&["pwsh"], Kind::Rest, "", &["-c", "-Command"], ""),
    Runner::new(&["sudo", "doas", "runuser"], Kind::Wrapper(0), "", &[], "aCcDgGhpRrTtUu"),
    Runner::new(&["nice", "nohup", "setsid", "busybox"], Kind::Wrapper(0), "", &[], "n"),
    Runner::new(&["env"], Kind::Wrapper(0), "S", &["--split-string"], "uC"),
    Runner::new(&["xargs", "sshpass"], Kind::Wrapper(0), "", &[], "adEfILnpPs"),
    Runner::new(&["ionice", "stdbuf"], Kind::Wrapper(0), "", &[], "cenioPpu"),
    Runner::new(&["timeout", "gosu", "su-exec", "chroot", "taskset"], Kind::Wrapper(1), "", &[], "ks"),
    Runner::new(&["flock"], Kind::Wrapper(1), "c", &["--command"], "wE"),
];

/// Long options whose value is the next argument: others of a wrapper have none.
#[rustfmt::skip]
const LONG_WITH_VALUE: [&str; 19] = [
    "--adjustment", "--arg-file", "--chdir", "--chroot", "--conflict-exit-code", "--delimiter", "--group", "--host",
    "--import", "--init-file", "--kill-after", "--max-args", "--max-procs", "--prompt", "--rcfile", "--require",
    "--signal", "--unset", "--user",
];

/// What speaks against the template at `index` of `run`, and what to write; `None` = nothing.
pub(super) fn objection(run: &[String], index: usize) -> Option<(String, &'static str)> {
    let own = run.get(index)?.split("{{").next()?.split("{%").next()?;
    if !own.is_empty()
        && own.chars().all(|c| c == '-')
        && run.get(index)?.starts_with(&format!("{own}{{{{"))
    {
        let message = "an event would say which option this is".to_owned();
        return Some((message, "write the option's name, as in `--name={{ … }}`"));
    }
    // Where the program is that the wrappers run.
    let mut program = 0;
    for (at, name) in run.get(..index)?.iter().enumerate() {
        let name = file_name(name);
        if name == "ssh" && at == program {
            let message = "a shell on the other machine would run what an event says here";
            let help = "send it on the standard input of the program there, where the body is";
            return Some((message.to_owned(), help));
        }
        let between = run.get(at + 1..index)?;
        for runner in RUNNERS.iter().filter(|runner| runner.names.contains(&name)) {
            let is_run = match runner.role(between, own) {
                Role::Code => true,
                Role::Runs(what) if at == program => {
                    if matches!(runner.kind, Kind::Wrapper(_)) {
                        program = at + 1 + what;
                    }
                    what == between.len()
                }
                Role::Runs(_) | Role::Other => false,
            };
            if is_run {
                let message = format!("`{name}` would run what an event says here");
                let help = "write the code or the program itself here; it reads what an event says from a \
                            variable: `fields = { TEXT = \"data.…\" }`";
                return Some((message, help));
            }
        }
    }
    None
}

impl Runner {
    const fn new(
        names: &'static [&'static str],
        kind: Kind,
        code: &'static str,
        words: &'static [&'static str],
        values: &'static str,
    ) -> Self {
        Self { names, kind, code, words, values }
    }

    /// What the argument that begins with `own` is to it, behind these.
    fn role(&self, between: &[String], own: &str) -> Role {
        let mut n_values = match self.kind {
            Kind::Script => 0,
            Kind::Client | Kind::Rest => usize::MAX,
            Kind::Wrapper(n_values) => n_values,
        };
        let is_wrapper = matches!(self.kind, Kind::Wrapper(_));
        let (mut next, mut is_code) = (NextArgument::NoValue, false);
        let (mut has_run, mut has_ended) = (false, false);
        for (at, argument) in between.iter().map(String::as_str).chain([own]).enumerate() {
            let is_last = at == between.len();
            if argument == "--" && !is_last && !has_ended {
                (has_ended, next) = (true, NextArgument::NoValue);
                continue;
            }
            if !has_ended && self.is_option(argument) {
                let is_code_option;
                (is_code_option, next) = self.option(argument);
                if is_last {
                    return if is_code_option { Role::Code } else { Role::Other };
                }
                is_code |= is_code_option && !argument.contains('=');
                has_run |= is_code_option;
                continue;
            }
            match std::mem::replace(&mut next, NextArgument::NoValue) {
                // A file that is named by an option may be code as well.
                NextArgument::Value
                    if !is_last || self.kind != Kind::Script || !is_long(between) => {}
                _ if is_code && (is_last || is_wrapper) => return Role::Code,
                _ if is_code => is_code = self.kind == Kind::Rest,
                NextArgument::MaybeValue if !is_last => has_run = true,
                _ if is_wrapper && argument.contains('=') => {}
                _ if n_values > 0 => n_values -= 1,
                _ => return if has_run { Role::Other } else { Role::Runs(at) },
            }
        }
        Role::Other
    }

    fn is_option(&self, argument: &str) -> bool {
        argument.len() > 1 && argument.starts_with(['-', '+']) || self.words.contains(&argument)
    }

    /// Whether code follows this option, or stands in it, and what else may be behind it.
    fn option(&self, option: &str) -> (bool, NextArgument) {
        let name = option.split('=').next().unwrap_or(option);
        if self.words.iter().any(|word| word.eq_ignore_ascii_case(name)) {
            return (true, NextArgument::NoValue);
        }
        if option.starts_with("--") {
            return match self.kind {
                _ if option.contains('=') => (false, NextArgument::NoValue),
                _ if LONG_WITH_VALUE.contains(&option) => (false, NextArgument::Value),
                Kind::Wrapper(_) => (false, NextArgument::NoValue),
                Kind::Script | Kind::Client | Kind::Rest => (false, NextArgument::MaybeValue),
            };
        }
        let (sign, letters) = option.split_at(1);
        let mut is_code = false;
        for (at, letter) in letters.char_indices() {
            if sign == "-" && self.code.contains(letter) {
                is_code = true;
            } else if self.values.contains(letter) {
                let is_last = at + letter.len_utf8() == letters.len();
                return (
                    is_code,
                    if is_last { NextArgument::Value } else { NextArgument::NoValue },
                );
            }
        }
        (is_code, NextArgument::NoValue)
    }
}

/// Whether the last of these is a long option.
fn is_long(arguments: &[String]) -> bool {
    arguments.last().is_some_and(|last| last.starts_with("--"))
}

/// `python` for `/usr/bin/python3.11`.
fn file_name(path: &str) -> &str {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &[&[&str]] = &[
        &["sh", "-c", "echo {{ x }}"],
        &["/bin/bash", "-euo", "pipefail", "-c", "{{ x }}"],
        &["/usr/bin/env", "bash", "-lc", "{% if x %}a{% endif %}"],
        &["sh", "-c", "--", "echo {{ x }}"],
        &["sh", "scripts/{{ x }}.sh"],
        &["python3.11", "-c", "{{ x }}"],
        &["python3", "-c{{ x }}"],
        &["node", "--eval={{ x }}"],
        &["perl", "-ne", "{{ x }}"],
        &["php", "-r", "{{ x }}"],
        &["perl", "-e", "1", "-e", "{{ x }}"],
        &["psql", "-c", "select 1", "-c", "select {{ x }}"],
        &["psql", "db", "-c", "insert into t values ('{{ x }}')"],
        &["mysql", "--execute=delete from t where id = {{ x }}"],
        &["/usr/bin/env", "{{ x }}"],
        &["sudo", "-u", "www", "{{ x }}"],
        &["ssh", "host", "deploy", "{{ x }}"],
        // Whatever stands before the code's option.
        &["bash", "--rcfile", "/dev/null", "-c", "echo {{ x }}"],
        &["bash", "-c", "-o", "pipefail", "echo {{ x }}"],
        &["sh", "-ce", "echo {{ x }}"],
        &["fish", "-C", "{{ x }}"],
        &["busybox", "sh", "-c", "echo {{ x }}"],
        &["docker", "run", "--rm", "busybox", "sh", "-c", "echo {{ x }}"],
        &["docker", "exec", "php", "sh", "-c", "artisan {{ x }}"],
        &["docker", "compose", "exec", "node", "bash", "-c", "x {{ x }}"],
        &["docker", "exec", "-i", "db", "mysql", "-uroot", "crm", "--execute={{ x }}"],
        &["find", "/srv", "-exec", "sh", "-c", "{{ x }}", ";"],
        &["node", "--require", "./x.js", "-e", "{{ x }}"],
        &["node", "--title", "x", "-e", "{{ x }}"],
        &["node", "-r", "./x.js", "-p", "{{ x }}"],
        &["deno", "eval", "{{ x }}"],
        &["deno", "eval", "--ext=ts", "{{ x }}"],
        &["php", "-d", "a=1", "-r", "{{ x }}"],
        &["psql", "-Atc", "select {{ x }}"],
        &["psql", "-h", "db", "-c", "select {{ x }}"],
        &["mysql", "-psecret", "-NBe", "select {{ x }}"],
        &["mysql", "--init-command=set @id={{ x }}"],
        &["su", "-", "www", "-c", "{{ x }}"],
        &["pwsh", "-ExecutionPolicy", "Bypass", "-command", "x", "{{ x }}"],
        &["flock", "/run/x", "-c", "{{ x }}"],
        &["env", "-S", "sh -c", "{{ x }}"],
        // The script, the other machine's shell or the program, behind wrappers too.
        &["sudo", "-u", "www", "php", "{{ x }}"],
        &["nice", "-n", "10", "busybox", "sh", "{{ x }}"],
        &["bash", "--rcfile", "{{ x }}"],
        &["node", "--require", "./x.js", "{{ x }}"],
        &["ssh", "-o", "BatchMode=yes", "host", "--", "deploy", "{{ x }}"],
        &["timeout", "10", "ssh", "host", "{{ x }}"],
        &["timeout", "-k", "5", "10", "ssh", "host", "{{ x }}"],
        &["sudo", "-u", "deploy", "ssh", "host", "{{ x }}"],
        &["sudo", "--user", "deploy", "ssh", "host", "{{ x }}"],
        &["sudo", "-n", "{{ x }}"],
        &["sudo", "-nu", "www", "--", "{{ x }}"],
        &["sudo", "-u", "www", "A=b", "env", "-i", "C=d", "{{ x }}"],
        &["doas", "-n", "{{ x }}"],
        &["runuser", "-u", "www", "--", "{{ x }}"],
        &["timeout", "10", "{{ x }}"],
        &["flock", "/run/x", "{{ x }}"],
        &["xargs", "-0", "-P", "4", "{{ x }}"],
        &["tool", "-{{ x }}"],
        &["tool", "--{{ x }}=1"],
    ];
    const GOOD: &[&[&str]] = &[
        &["tool", "{{ x }}"],
        &["tool", "-c", "{{ x }}"],
        &["tool", "-n{{ x }}"],
        &["tool", "{% if x %}--yes{% else %}--no{% endif %}"],
        &["sh", "-c", "echo \"$1\"", "sh", "{{ x }}"],
        &["sh", "-c", "--", "echo \"$1\"", "sh", "{{ x }}"],
        &["sh", "-c", "env \"$@\"", "env", "{{ x }}"],
        &["perl", "-e", "print @ARGV", "{{ x }}"],
        &["sh", "script.sh", "-c", "{{ x }}"],
        &["python3", "-W", "ignore", "notify.py", "--text={{ x }}"],
        &["/usr/bin/env", "LANG=C", "tool", "{{ x }}"],
        &["/usr/bin/env", "ID={{ x }}", "tool"],
        &["psql", "-v", "id={{ x }}", "-f", "insert.sql"],
        &["git", "log", "--", "{{ x }}"],
        // Behind code, a script or a program.
        &["sh", "-c", "ls \"$1\"", "sh", "{{ x }}"],
        &["docker", "exec", "web", "sh", "-c", "ls \"$1\"", "sh", "{{ x }}"],
        &["su", "-", "www", "-c", "deploy.sh", "{{ x }}"],
        &["php", "-d", "memory_limit=-1", "artisan", "x", "{{ x }}"],
        &["python3", "-u", "-m", "notify", "{{ x }}"],
        &["python3", "-u", "notify.py", "-c", "{{ x }}"],
        &["bash", "--norc", "s.sh", "{{ x }}"],
        &["node", "--loader", "tsx", "s.ts", "{{ x }}"],
        &["deno", "run", "-A", "s.ts", "{{ x }}"],
        &["perl", "-MFile::Slurp", "s.pl", "{{ x }}"],
        &["ruby", "-rjson", "s.rb", "{{ x }}"],
        &["sudo", "-n", "/usr/local/bin/deploy", "{{ x }}"],
        &["sudo", "--non-interactive", "deploy", "{{ x }}"],
        &["sudo", "-u", "www", "-n", "deploy", "{{ x }}"],
        &["sudo", "-nu", "www", "deploy", "{{ x }}"],
        &["doas", "-n", "deploy", "{{ x }}"],
        &["runuser", "-u", "www", "--", "deploy", "-c", "{{ x }}"],
        &["timeout", "{{ x }}", "deploy"],
        &["nice", "-n", "10", "php", "artisan", "--id={{ x }}"],
        &["flock", "/run/x", "tool", "-c", "{{ x }}"],
        &["xargs", "-I{}", "deploy", "{}", "{{ x }}"],
        &["busybox", "echo", "{{ x }}"],
        // An option's value, or the value of the one before.
        &["psql", "-dcrm", "-v", "x={{ x }}"],
        &["psql", "-e", "-v", "{{ x }}"],
        &["psql", "-vname={{ x }}", "-f", "i.sql"],
        &["psql", "-Atc", "select 1", "-d", "{{ x }}"],
        &["mysql", "-psecret", "{{ x }}"],
        // Words that are no program here.
        &["logger", "-t", "node", "{{ x }}"],
        &["logger", "-t", "php", "--", "{{ x }}"],
        &["logger", "-t", "ssh", "{{ x }}"],
        &["systemctl", "--user", "restart", "php", "{{ x }}"],
        &["docker", "exec", "php", "/app/x.php", "{{ x }}"],
        &["docker", "run", "python", "x.py", "{{ x }}"],
        &["git", "-C", "/srv/node", "tag", "{{ x }}"],
    ];

    #[test]
    fn code_and_options_are_never_an_events() {
        let refused = REFUSED.iter().map(|run| (run, true));
        for (run, is_refused) in refused.chain(GOOD.iter().map(|run| (run, false))) {
            let run: Vec<String> = run.iter().map(|part| (*part).to_owned()).collect();
            let index = run.iter().rposition(|part| part.contains('{')).unwrap();
            assert_eq!(objection(&run, index).is_some(), is_refused, "{run:?}");
        }
    }
}
