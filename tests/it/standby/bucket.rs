//! A second copy in S3-compatible storage: a real server, with both sides killed and objects damaged.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use super::objects::{BUCKET, KEYS, PREFIX, Refusing, Storage};
use super::process::{StandbyProcess, WAITS, waiting_folder};
use super::promoted::{assert_all_there, wait_until_caught_up};
use crate::crash::load::{Acknowledged, Load};
use crate::support::gateway::Folder;
use crate::support::patience::wait_until;
use crate::support::program::{self, Served, printed};
use crate::support::proxy::{Direction, Proxy, Upstream};

fn address_of_copy() -> String {
    format!("s3://{BUCKET}/{PREFIX}")
}

/// The command that follows the gateway of `gateway`, with a copy in the storage at `storage`.
fn follow(gateway: &Folder, admin: SocketAddr, storage: SocketAddr) -> Command {
    let mut command = program::command(gateway, &["standby", "--json", "--token-file"]);
    command.arg("data/standby-token").args(["--from", &format!("http://{admin}")]);
    command.args(["--to", &address_of_copy(), "--endpoint", &format!("http://{storage}")]);
    command.envs(KEYS).env_remove("AWS_REGION").stderr(Stdio::null());
    command
}

fn start(gateway: &Folder, admin: SocketAddr, storage: SocketAddr) -> StandbyProcess {
    StandbyProcess::spawn(follow(gateway, admin, storage))
}

/// Restores the copy into the folder's `data`.
fn restore(folder: &Folder, storage: &Storage, more: &[&str]) -> Output {
    let mut command = program::command(folder, &["restore", "--json", "--verify"]);
    command.args(["--from", &address_of_copy()]).args(more).envs(KEYS);
    command.args(["--endpoint", &format!("http://{}", storage.address)]);
    command.output().unwrap()
}

fn restored(folder: &Folder, storage: &Storage) -> serde_json::Value {
    serde_json::from_str(&printed(&restore(folder, storage, &[]), 0)).unwrap()
}

/// A copy of a gateway that is gone, with some complete segments.
fn copy_of_a_gateway(storage: &Storage) -> Acknowledged {
    let gateway = Folder::new("", WAITS);
    let served = Served::start(&gateway);
    let mut standby = start(&gateway, served.admin(), storage.address);
    let load = Load::start(served.public(), 21, 200_000);
    load.wait_for(900);
    let acknowledged = load.stop();
    standby.wait_until_complete();
    wait_until_caught_up(&served);
    served.kill();
    standby.kill();
    acknowledged
}

#[test]
fn gateway_and_standby_may_be_killed_by_turns_and_the_copy_is_restored() {
    let Some(storage) = Storage::start() else { return };
    let (gateway, second) = (Folder::new("", WAITS), Folder::new("", ""));
    let mut acknowledged = Acknowledged::new();
    for kill in 0..6_u64 {
        let served = Served::start(&gateway);
        let mut standby = start(&gateway, served.admin(), storage.address);
        standby.wait_for("following");
        let load = Load::start(served.public(), 300 + kill, 60_000);
        load.wait_for(40 * (kill + 1));
        if kill % 2 == 0 {
            standby.kill();
            load.wait_for(40 * (kill + 1) + 100);
        }
        served.kill();
        acknowledged.extend(load.stop());
    }
    let served = Served::start(&gateway);
    let mut standby = start(&gateway, served.admin(), storage.address);
    standby.wait_until_complete();
    wait_until_caught_up(&served);
    standby.kill();
    assert_eq!(served.stop(), Some(0));
    let restored = restored(&second, &storage);
    assert_eq!(restored["events_behind"], 0, "{restored}");
    assert_eq!(restored["damage"], serde_json::json!([]), "{restored}");
    assert_all_there(&second, &acknowledged);
    let served = Served::start(&second);
    served.wait_until_delivered("all");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn an_answer_waits_for_the_copy_in_the_bucket_and_nothing_acknowledged_is_lost() {
    let Some(storage) = Storage::start() else { return };
    let (gateway, second) = (waiting_folder(), Folder::new("", WAITS));
    let served = Served::start(&gateway);
    let mut standby = start(&gateway, served.admin(), storage.address);
    standby.wait_until_complete();
    let load = Load::start(served.public(), 31, 20_000);
    load.wait_for(50);
    served.kill();
    std::fs::remove_dir_all(gateway.path().join("data")).unwrap();
    let acknowledged = load.stop();
    standby.kill();
    restored(&second, &storage);
    assert_all_there(&second, &acknowledged);
}

#[test]
fn every_kind_of_damage_to_an_object_is_found_by_restore_and_mended_by_the_standby() {
    let Some(storage) = Storage::start() else { return };
    let gateway = Folder::new("", WAITS);
    let served = Served::start(&gateway);
    let mut standby = start(&gateway, served.admin(), storage.address);
    let load = Load::start(served.public(), 22, 200_000);
    load.wait_for(900);
    let acknowledged = load.stop();
    standby.wait_until_complete();
    wait_until_caught_up(&served);
    standby.kill();
    for kind in ["flipped", "cut", "gone"] {
        let name = storage.names_in("log").remove(0);
        let mut bytes = storage.get(&name);
        assert!(bytes.len() > 10_000, "{}", bytes.len());
        bytes[5_000] ^= 1;
        match kind {
            "flipped" => storage.put(&name, &bytes),
            "cut" => storage.put(&name, &bytes[..5_000]),
            _ => storage.remove(&name),
        }
        let second = Folder::new("", "");
        let refused = restore(&second, &storage, &[]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{kind}: {told}");
        let file = name.strip_prefix(PREFIX).unwrap().trim_start_matches('/');
        assert!(told.contains(file) && told.contains("--force"), "{kind}: {told}");
        // By force the rest of it, with its damage told, also to scripts.
        let forced = printed(&restore(&second, &storage, &["--force"]), 1);
        assert!(forced.contains(file), "{kind}: {forced}");
        let mut standby = start(&gateway, served.admin(), storage.address);
        standby.wait_until_complete();
        standby.kill();
        assert!(!storage.names().contains(&name), "{kind}");
        let third = Folder::new("", "");
        assert_eq!(restored(&third, &storage)["damage"], serde_json::json!([]), "{kind}");
        assert_all_there(&third, &acknowledged);
    }
    assert_eq!(served.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_the_storage_that_is_cut_is_gone_on_with() {
    let Some(storage) = Storage::start() else { return };
    let (gateway, second) = (Folder::new("", WAITS), Folder::new("", ""));
    let served = Served::start(&gateway);
    let load = Load::start(served.public(), 23, 20_000);
    load.wait_for(400);
    let acknowledged = load.stop();
    let proxy = Proxy::start(Upstream::Tcp(storage.address)).await;
    for (direction, n_bytes) in
        [(Direction::ToServer, 200_000), (Direction::ToClient, 900), (Direction::ToClient, 1_500)]
    {
        proxy.cut_after(direction, n_bytes);
        let mut standby = start(&gateway, served.admin(), proxy.address);
        standby.wait_until_complete();
        wait_until_caught_up(&served);
        assert!(!proxy.is_uncut(direction), "it was cut once");
        standby.kill();
    }
    assert_eq!(served.stop(), Some(0));
    restored(&second, &storage);
    assert_all_there(&second, &acknowledged);
}

#[test]
fn what_is_no_place_for_a_copy_is_told_at_once() {
    let Some(storage) = Storage::start() else { return };
    let (gateway, other) = (Folder::new("", WAITS), Folder::new("", WAITS));
    let (served, second) = (Served::start(&gateway), Served::start(&other));
    let told = |mut command: Command| {
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(!told.contains(KEYS[0].1) && !told.contains(KEYS[1].1), "{told}");
        told
    };
    let at = |address: &str| {
        let mut command = program::command(&gateway, &["standby", "--token-file"]);
        command.arg("data/standby-token").args(["--from", &format!("http://{}", served.admin())]);
        command.args(["--to", address, "--endpoint", &format!("http://{}", storage.address)]);
        command.envs(KEYS);
        command
    };
    let no_bucket = told(at("s3://elsewhere/x"));
    assert!(no_bucket.contains("the bucket `elsewhere` does not exist"), "{no_bucket}");
    let no_address = told(at("https://copies/x"));
    assert!(no_address.contains("write s3://BUCKET/PREFIX"), "{no_address}");
    let mut command = at(&address_of_copy());
    command.env_remove("AWS_ACCESS_KEY_ID");
    let no_keys = told(command);
    assert!(no_keys.contains("AWS_ACCESS_KEY_ID") && no_keys.contains("--credentials-file"));
    storage.put("photos/cat.jpg", b"miaow");
    let in_use = told(at("s3://copies/photos"));
    assert!(in_use.contains("holds `cat.jpg`, which is no part of a copy"), "{in_use}");
    let mut standby = start(&gateway, served.admin(), storage.address);
    standby.wait_until_complete();
    let of_another = told(follow(&other, second.admin(), storage.address));
    assert!(of_another.contains("belongs to another gateway"), "{of_another}");
    standby.kill();
    assert_eq!((served.stop(), second.stop()), (Some(0), Some(0)));
    let missing = restore(&gateway, &storage, &["--data", "elsewhere", "--from", "s3://copies/no"]);
    assert_ne!(missing.status.code(), Some(0));
}

#[test]
fn keys_may_be_in_a_file_of_aws_s_form() {
    let Some(storage) = Storage::start() else { return };
    let gateway = Folder::new("", WAITS);
    let served = Served::start(&gateway);
    let file = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key={}\n",
        KEYS[0].1, KEYS[1].1
    );
    gateway.write_secret("keys", &file);
    let command = || {
        let mut command = follow(&gateway, served.admin(), storage.address);
        for (name, _) in KEYS {
            command.env_remove(name);
        }
        command.args(["--credentials-file", "keys"]);
        command
    };
    let mut standby = StandbyProcess::spawn(command());
    standby.wait_until_complete();
    standby.kill();
    gateway.write_secret("keys", "[default]\naws_access_key_id = x\n");
    let output = command().stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("has no `aws_secret_access_key`"), "{told}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn what_the_storage_says_is_told_in_words_and_without_keys() {
    let gateway = Folder::new("", WAITS);
    let served = Served::start(&gateway);
    // The answer, what is told, and whether it is tried again.
    let cases = [
        ("503 Slow Down", "SlowDown", "cannot do reading `manifest.json` just now: SlowDown", true),
        ("500 Internal Server Error", "InternalError", "just now: InternalError", true),
        ("403 Forbidden", "RequestTimeTooSkewed", "Set the clock", true),
        ("403 Forbidden", "SignatureDoesNotMatch", "refuses reading `manifest.json`", false),
        ("403 Forbidden", "AccessDenied", "must allow reading, writing, listing", false),
        ("400 Bad Request", "ExpiredToken", "refuses reading `manifest.json`", false),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "cannot do reading", false),
        ("404 Not Found", "NoSuchBucket", "the bucket `copies` does not exist", false),
    ];
    for (status, code, told, is_tried_again) in cases {
        let storage = Refusing::start(status, code, "in its words");
        let mut command = follow(&gateway, served.admin(), storage.address);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(told), "{code}: {line}");
        assert!(!line.contains(KEYS[0].1), "{code}: {line}");
        if is_tried_again {
            wait_until("it is asked again", || storage.asked.lock().unwrap().len() >= 2);
            child.kill().unwrap();
        }
        let code_of_end = child.wait().unwrap().code();
        assert_eq!(code_of_end, (!is_tried_again).then_some(1), "{code}");
        let asked = storage.asked.lock().unwrap();
        assert!(asked[0].starts_with("GET /copies/shop/one/manifest.json "), "{}", asked[0]);
        assert!(!asked[0].contains(KEYS[1].1), "{}", asked[0]);
    }
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn the_rights_are_checked_by_the_storage() {
    // It asks for rights from the first request on, and knows no keys.
    let Some(storage) = Storage::start_in(&[("INITIAL_NO_AUTH_ACTION_COUNT", "0")]) else { return };
    let gateway = Folder::new("", WAITS);
    let served = Served::start(&gateway);
    let mut command = follow(&gateway, served.admin(), storage.address);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("the storage refuses reading `manifest.json`"), "{told}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_copy_of_a_gateway_that_is_gone_is_restored_and_served() {
    let Some(storage) = Storage::start() else { return };
    let acknowledged = copy_of_a_gateway(&storage);
    assert!(storage.names_in("log").len() > 1, "some segments are complete");
    let second = Folder::new("", "");
    let text = printed(&restore(&second, &storage, &[]), 0);
    assert!(text.contains("\"events_behind\":0"), "{text}");
    assert_all_there(&second, &acknowledged);
    let again = restore(&second, &storage, &[]);
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(told.contains("is not empty"), "{told}");
}
