//! In which fields two steps differ.

use super::Step;

/// The names of the fields in which two steps of the same sort are not equal.
macro_rules! others {
    ($one:expr, $two:expr; $($sort:ident { $($field:ident),+ }),+) => {
        match $one {
            $(Step::$sort { $($field),+ } => {
                let mut others = Vec::new();
                $(
                    match $two {
                        Step::$sort { $field: other, .. } if $field == other => {}
                        Step::$sort { .. } => others.push(stringify!($field)),
                        _ => return vec!["kind"],
                    }
                )+
                others
            })+
        }
    };
}

impl Step {
    /// The fields in which `other` differs; `kind` where it is another sort of step.
    pub fn other_fields(&self, other: &Self) -> Vec<&'static str> {
        let mut fields = others!(self, other;
            Log { level, message },
            Append { file, line },
            Mail { from, to, headers, subject, text, html, secret },
            Sql { statement, values },
            Request { method, url, headers, body, secret },
            Message { service, message },
            Run { run, cwd, user, environment, input, secret },
            Skip { why });
        // It is a hash over what is shown as well: it tells something only where nothing else does.
        if fields.len() > 1 {
            fields.retain(|field| *field != "secret");
        }
        fields
    }
}
