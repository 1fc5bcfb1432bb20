//! Arguments that a program runs as code, or takes for an option: an event must not write them.

use std::path::Path;

/// A program that runs what stands in its arguments.
struct Interpreter {
    names: &'static [&'static str],
    /// The letters of options that code follows, as in `-c`.
    letters: &'static str,
    /// Their long names.
    words: &'static [&'static str],
    /// The letters of other options with a value of its own behind them.
    values: &'static str,
    first: FirstArgument,
}

/// What its first argument is that is neither an option nor the value of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstArgument {
    /// A script; what is behind that, or behind the code of an option, are values.
    Script,
    /// The same where several options may bring code.
    ScriptWithoutCode,
    /// A program with arguments of its own.
    Program,
    /// A value.
    Value,
}

const INTERPRETERS: [Interpreter; 5] = [
    Interpreter {
        names: &["sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox"],
        letters: "c",
        words: &["--command"],
        values: "oO",
        first: FirstArgument::Script,
    },
    Interpreter {
        names: &["python", "pypy"],
        letters: "cm",
        words: &[],
        values: "WX",
        first: FirstArgument::Script,
    },
    Interpreter {
        names: &["perl", "ruby", "lua", "node", "nodejs", "php", "deno", "bun"],
        letters: "eEprBR",
        words: &["--eval", "--print"],
        values: "IdC",
        first: FirstArgument::ScriptWithoutCode,
    },
    Interpreter {
        names: &["psql", "mysql", "mariadb", "su", "runuser"],
        letters: "ce",
        words: &["--command", "--execute"],
        values: "",
        first: FirstArgument::Value,
    },
    Interpreter {
        names: &["env", "sudo", "doas", "nohup", "setsid", "nice", "xargs"],
        letters: "S",
        words: &["--split-string"],
        values: "uUgnCp",
        first: FirstArgument::Program,
    },
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
    let before = run.get(..index)?;
    for (at, name) in before.iter().enumerate() {
        let name = file_name(name);
        if name == "ssh" && at < 2 {
            let message = "a shell on the other machine would run what an event says here";
            let help = "send it on the standard input of the program there, where the body is";
            return Some((message.to_owned(), help));
        }
        let kind = INTERPRETERS.iter().find(|kind| kind.names.contains(&name));
        match kind.map(|kind| (kind, kind.runs(before.get(at + 1..).unwrap_or_default(), own))) {
            Some((_, Some(true))) => {
                let message = format!("`{name}` would run what an event says here");
                let help = "write the code or the program itself here; it reads what an event says from a \
                            variable: `fields = { TEXT = \"data.…\" }`";
                return Some((message, help));
            }
            // What is behind its code or its script is no program any more.
            Some((kind, None)) if kind.first != FirstArgument::Program => return None,
            Some(_) | None => {}
        }
    }
    None
}

impl Interpreter {
    /// Whether it runs the argument that begins with `own`, behind these; `None` = it has what it runs.
    fn runs(&self, between: &[String], own: &str) -> Option<bool> {
        let (mut is_code, mut is_value, mut has_code) = (false, false, false);
        let is_first = |text: &str| self.first != FirstArgument::Value && !text.contains('=');
        for argument in between {
            if argument.len() > 1 && argument.starts_with(['-', '+']) {
                is_code |= self.is_code_option(argument) && !argument.contains('=');
                is_value = argument.chars().last().is_some_and(|last| self.values.contains(last));
            } else if is_value {
                is_value = false;
            } else if is_code {
                (is_code, has_code) = (false, true);
                if self.first == FirstArgument::Script {
                    return None;
                }
            } else if is_first(argument) {
                return None;
            }
        }
        if own.starts_with(['-', '+']) {
            return Some(self.is_code_option(own));
        }
        Some(!is_value && (is_code || is_first(own) && !has_code))
    }

    /// Whether code follows this option, or stands in it.
    fn is_code_option(&self, option: &str) -> bool {
        let is_word = |word: &&str| option.split('=').next() == Some(*word);
        let letters = option.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
        self.words.iter().any(is_word)
            || letters.is_some_and(|rest| rest.contains(|c| self.letters.contains(c)))
    }
}

/// `python` for `/usr/bin/python3.11`.
fn file_name(path: &str) -> &str {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_options_are_never_an_events() {
        let check = |run: &[&str], is_refused: bool| {
            let run: Vec<String> = run.iter().map(|part| (*part).to_owned()).collect();
            let index = run.iter().rposition(|part| part.contains('{')).unwrap();
            assert_eq!(objection(&run, index).is_some(), is_refused, "{run:?}");
        };
        for run in [
            &["sh", "-c", "echo {{ x }}"][..],
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
            &["tool", "-{{ x }}"],
            &["tool", "--{{ x }}=1"],
        ] {
            check(run, true);
        }
        for run in [
            &["tool", "{{ x }}"][..],
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
        ] {
            check(run, false);
        }
    }
}
