//! A data folder that belongs to another user is left alone: what this one made in it, the owner
//! could not open.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost::queue::embedded::Settings;
use gatepost::queue::storage::OsStorage;
use gatepost::queue::{Queue, QueueError};

use super::Site;

/// No user has it.
const UID: u32 = 61_299;

fn settings(site: &Site) -> Settings {
    Settings { storage: Arc::new(OsStorage), ..site.settings() }
}

/// The text with which a folder is refused.
fn refusal(site: &Site, folder: &Path) -> String {
    let settings = Settings { folder: folder.to_owned(), ..settings(site) };
    let Err(err @ QueueError::ForeignOwner { .. }) = site.try_open(settings) else {
        panic!("it opens, or fails in another way");
    };
    err.to_string()
}

fn names(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_folder_of_another_user_is_refused_before_anything_is_made() {
    let site = Site::new();
    let folder = site.folder.path().join("queue");
    // Only root may give files away.
    if rustix::process::geteuid().is_root() {
        chown(&folder, Some(UID), None).unwrap();
        let told = refusal(&site, &folder);
        assert!(told.contains(&format!("belongs to the user {UID} of a service, and")), "{told}");
        assert!(
            told.contains("this runs as `root`: start the service (`systemctl start"),
            "{told}"
        );
        assert!(told.contains("-p StateDirectory=gatepost gatepost"), "{told}");
        assert!(!told.contains("chown"), "it would keep the service from starting: {told}");
        assert!(names(&folder).is_empty());
        assert_eq!(folder.metadata().unwrap().uid(), UID);
    } else {
        let told = refusal(&site, Path::new("/usr"));
        assert!(told.contains("sudo -u 'root' gatepost …"), "{told}");
    }
}

#[tokio::test]
async fn the_owner_is_told_by_name_and_an_old_queue_stays_as_it_is() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::new();
    let folder = site.folder.path().join("queue");
    site.try_open(settings(&site)).unwrap().close().await.unwrap();
    let before = names(&folder);
    let list = std::fs::read_to_string("/etc/passwd").unwrap();
    let other = list.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let other = other.into_iter().find(|fields| fields[2] != "0").expect("root is not alone");
    chown(&folder, Some(other[2].parse().unwrap()), None).unwrap();
    let told = refusal(&site, &folder);
    assert!(told.contains(&format!("sudo -u '{}' gatepost …", other[0])), "{told}");
    assert_eq!(names(&folder), before);
    chown(&folder, Some(0), None).unwrap();
    site.try_open(settings(&site)).unwrap().close().await.unwrap();
}
