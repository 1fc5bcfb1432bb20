//! Why the queue does not do what it is asked.

use crate::event::HandlerName;
use crate::files;

/// Why the queue could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// No room: try again when something was removed.
    #[error("the queue has no room: {0}")]
    Full(String),
    /// The log that several gateways share does not answer: try again when it is back.
    #[error("the shared log is away: {0}")]
    LogAway(&'static str),
    /// What the log says does not fit what this gateway has: asking again is of no use.
    #[error(
        "this gateway takes no part in the cluster any more, so nothing of it gets into the shared log: ask another \
         one, or do first what `gatepost cluster status` says of it"
    )]
    NoPart,
    /// Too much at once: try again in a moment.
    #[error("the queue is behind: {0}")]
    Behind(&'static str),
    /// A sync failed: nothing is known about what was written since the last good one, and only a
    /// restart can find out.
    #[error("the queue is poisoned by a failed write and must be reopened")]
    Poisoned,
    #[error("handler `{0}` is already subscribed")]
    Busy(HandlerName),
    #[error("the queue is closed")]
    Closed,
    #[error("`{folder}` is held by {holder}")]
    Held {
        folder: String,
        /// Who holds it, for people.
        holder: String,
    },
    /// The data folder belongs to another user: what is made there by this one would keep the
    /// service from starting.
    #[error("{}", of_another(folder, owner, user))]
    ForeignOwner {
        folder: String,
        /// Its name of /etc/passwd, else `#` and its number: also where systemd has made up a name for it.
        owner: String,
        /// Who runs this, in the same way.
        user: String,
    },
    /// A newer version wrote the data folder, and nothing in it was changed.
    #[error("`{folder}` was written by a newer version of gatepost ({found}); use that version")]
    Unsupported {
        /// The data folder, or the file.
        folder: String,
        found: String,
    },
    /// The data folder is a standby's copy of another gateway's: two that serve the same events would
    /// deliver them twice.
    #[error(
        "`{folder}` holds a standby's copy, which nobody may serve from; make it a gateway's by \
         `gatepost standby promote`"
    )]
    Standby { folder: String },
    #[error("the queue is damaged: {0}")]
    Corrupt(String),
    #[error("{what} failed")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

/// The users that systemd makes up for services (systemd.exec(5), `DynamicUser=`).
const DYNAMIC_USERS: std::ops::RangeInclusive<u32> = 61_184..=65_519;

/// What to do where `folder` is another user's. A user without a name of its own is one that systemd makes for a service:
/// what it owns is below `/var/lib/private`, which none but root and that service enter.
fn of_another(folder: &str, owner: &str, user: &str) -> String {
    let number = owner.strip_prefix('#').and_then(|number| number.parse().ok());
    let of_service = number.filter(|number: &u32| DYNAMIC_USERS.contains(number));
    let what = if let Some(number) = of_service {
        format!("`{folder}` belongs to the user {} of a service", files::user_shown(number))
    } else {
        format!("`{folder}` belongs to the user `{owner}`")
    };
    let as_owner = format!("run it as that user (sudo -u '{owner}' gatepost …)");
    let help = match (of_service, user) {
        (Some(_), _) => "start the service (`systemctl start gatepost`), which then answers, or run this in its place: \
             systemd-run --pty -p DynamicUser=yes -p User=gatepost -p StateDirectory=gatepost gatepost \
             --config /etc/gatepost/config.toml …"
            .to_owned(),
        (None, "root") => as_owner,
        (None, _) => {
            let user = user.trim_start_matches('#');
            format!("{as_owner}, or give the folder to this one (chown -R '{user}' '{folder}')")
        }
    };
    format!("{what}, and this runs as `{user}`: {help}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn folder_of_a_dynamic_user_is_left_to_its_service_and_another_one_is_not() {
        // Systemd may call it `gatepost`: no command here is to have that name.
        let owner = files::user_name(61_234);
        assert_eq!(owner, "#61234");
        for user in ["root", "site", "#1002"] {
            let told = of_another("/var/lib/private/gatepost", &owner, user);
            assert!(told.contains("belongs to the user 61234 of a service, and this"), "{told}");
            assert!(told.contains("start the service (`systemctl start gatepost`)"), "{told}");
            assert!(!told.contains("sudo") && !told.contains("chown"), "{told}");
        }
        for (owner, user, expected) in [
            ("site", "root", "(sudo -u 'site' gatepost …)"),
            ("#1002", "root", "(sudo -u '#1002' gatepost …)"),
            ("site", "#1002", "(chown -R '1002' '/q')"),
        ] {
            let told = of_another("/q", owner, user);
            assert!(told.ends_with(expected), "{told}");
            assert!(told.contains(&format!("belongs to the user `{owner}`")), "{told}");
        }
    }
}
