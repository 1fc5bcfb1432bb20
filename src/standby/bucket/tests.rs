//! A gateway and a copy in an object store in memory.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::super::error::StandbyError;
use super::super::held::HeldCopy;
use super::super::local::CopyError;
use super::super::promote::Thoroughness;
use super::super::tests::rig::{Rig, clock, files};
use super::super::wire::{Hello, Pull, PulledParts};
use super::copy::BucketCopy;
use super::error::BucketError;
use super::manifest::{BucketManifest, MANIFEST};
use super::merge::PARTS_MAX;
use super::objects::BucketPlace;
use super::restore::restore_from_bucket;
use crate::clock::Clock;
use crate::queue::embedded::COPY_FORMAT;

const CHECKED: Thoroughness = Thoroughness { force: false, verify: true };

/// A prefix in a store in memory.
struct Store(Arc<InMemory>);

impl Store {
    fn new() -> Self {
        Self(Arc::new(InMemory::new()))
    }

    fn place(&self) -> BucketPlace {
        let store: Arc<dyn ObjectStore> = Arc::clone(&self.0) as Arc<dyn ObjectStore>;
        BucketPlace::new(store, "copies".to_owned(), Path::from("shop/one"))
    }

    async fn copy(&self) -> BucketCopy {
        BucketCopy::open(self.place(), clock()).await.unwrap()
    }

    async fn manifest(&self) -> BucketManifest {
        BucketManifest::read(&self.place()).await.unwrap().unwrap().0
    }

    /// The names of all objects but the manifest.
    async fn names(&self) -> BTreeSet<String> {
        let listed = self.place().list().await.unwrap().into_iter();
        listed.map(|object| object.name).filter(|name| name != MANIFEST).collect()
    }

    async fn object(&self, name: &str) -> Bytes {
        self.0.get(&Self::path(name)).await.unwrap().bytes().await.unwrap()
    }

    async fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        self.0.put(&Self::path(name), bytes.into().into()).await.unwrap();
    }

    fn path(name: &str) -> Path {
        Path::from(format!("shop/one/{name}"))
    }

    /// Turns a byte of an object over.
    async fn flip(&self, name: &str, at: usize) {
        let mut bytes = self.object(name).await.to_vec();
        bytes[at] ^= 0x40;
        self.put(name, bytes).await;
    }
}

async fn hello(rig: &Rig, copy: &mut BucketCopy) -> Result<String, StandbyError> {
    let hello = Hello {
        format: COPY_FORMAT,
        version: "test".to_owned(),
        name: "bucket".to_owned(),
        gateway: copy.gateway().map(str::to_owned),
        stand: copy.checked_end().await.unwrap(),
    };
    let welcome = rig.standbys.hello(&hello)?;
    copy.begin(&welcome.gateway).await.unwrap();
    Ok(welcome.session)
}

async fn step(rig: &Rig, session: &str, copy: &mut BucketCopy) -> Result<PulledParts, CopyError> {
    let pull = Pull {
        session: session.to_owned(),
        from: copy.stand(),
        durable: copy.stand().map(|stand| stand.place()).unwrap_or_default(),
        kept: copy.kept_parts(),
        keys: copy.key_parts(),
        wait_ms: 0,
    };
    let answer = rig.standbys.pull(pull).await.unwrap();
    let (batch, parts) = PulledParts::decode(&answer).unwrap();
    copy.apply(batch.clone(), &parts, clock().now()).await?;
    Ok(batch)
}

/// Follows until nothing more comes.
async fn follow(rig: &Rig, copy: &mut BucketCopy) {
    let session = hello(rig, copy).await.unwrap();
    while !step(rig, &session, copy).await.unwrap().chunks.is_empty() {}
    assert_eq!(copy.stand().unwrap().place(), rig.queue.files().head());
    assert!(copy.is_complete());
}

/// Restores the copy and compares it with the gateway's queue.
async fn compare(rig: &Rig, store: &Store) {
    let to = rig.copy_folder();
    let restored = restore_from_bucket(&store.place(), &to, CHECKED, &|_, _| ()).await.unwrap();
    assert_eq!(restored.damage, Vec::<String>::new());
    rig.compare_with(restored, &to).await;
}

/// A copy with some complete segments, an open one, kept records and keys.
async fn followed() -> (Rig, Store) {
    let (mut rig, store) = (Rig::new().await, Store::new());
    rig.append(60).await;
    rig.deliver().await;
    rig.append(40).await;
    follow(&rig, &mut store.copy().await).await;
    (rig, store)
}

#[tokio::test]
async fn a_copy_in_a_bucket_follows_through_segments_that_come_and_go() {
    let (mut rig, store) = (Rig::new().await, Store::new());
    let mut copy = store.copy().await;
    for _ in 0..6 {
        rig.append(50).await;
        follow(&rig, &mut copy).await;
        rig.deliver().await;
        rig.append(3).await;
        follow(&rig, &mut copy).await;
        // The lists count once the log is as far as they are.
        rig.append(1).await;
        follow(&rig, &mut copy).await;
    }
    assert!(rig.queue.files().first_segment() > 10, "segments were let go of");
    let n_segments = store.manifest().await.log().count();
    assert!(n_segments < 10, "the copy lets go of them, too: {n_segments}");
    let needed = store.manifest().await.objects().map(|part| part.object.clone()).collect();
    assert_eq!(store.names().await, needed, "no object is left over");
    compare(&rig, &store).await;
}

#[tokio::test]
async fn a_copy_in_a_bucket_is_gone_on_with_by_a_new_run_at_any_question() {
    let (mut rig, store) = (Rig::new().await, Store::new());
    rig.append(60).await;
    rig.deliver().await;
    for _ in 0..30 {
        rig.append(7).await;
        // Killed after a single answer, and begun anew.
        let mut copy = store.copy().await;
        let session = hello(&rig, &mut copy).await.unwrap();
        step(&rig, &session, &mut copy).await.unwrap();
    }
    follow(&rig, &mut store.copy().await).await;
    compare(&rig, &store).await;
}

#[tokio::test]
async fn the_parts_of_an_open_segment_are_put_together() {
    let (mut rig, store) = (Rig::new().await, Store::new());
    let mut copy = store.copy().await;
    let mut most = 0;
    for _ in 0..150 {
        rig.append(1).await;
        follow(&rig, &mut copy).await;
        let manifest = store.manifest().await;
        most = most.max(manifest.files.values().map(|file| file.parts.len()).max().unwrap());
        let sealed = manifest.log().filter(|(_, file)| file.seal.is_some());
        for (_, file) in sealed {
            assert_eq!(file.parts.len(), 1, "a complete segment is one object");
        }
    }
    assert!(most <= PARTS_MAX, "{most} parts of one file");
    compare(&rig, &store).await;
}

#[tokio::test]
async fn what_a_killed_run_left_is_removed_and_nothing_else() {
    let (rig, store) = followed().await;
    let before = store.names().await;
    store.put("log/0000000a-00000000000000ff.seg.0badcafe-12", "left over").await;
    store.put("notes.txt", "not ours").await;
    let mut copy = store.copy().await;
    let mut left = store.names().await;
    assert!(left.remove("notes.txt"), "what is not ours stays");
    assert_eq!(left, before);
    follow(&rig, &mut copy).await;
    compare(&rig, &store).await;
}

#[tokio::test]
async fn an_object_that_changed_or_is_gone_is_found_and_comes_again() {
    for kind in ["flipped", "cut", "gone"] {
        let (rig, store) = followed().await;
        let names = store.names().await;
        let logs: Vec<&String> = names.iter().filter(|name| name.starts_with("log/")).collect();
        assert!(logs.len() > 2, "{logs:?}");
        // A complete segment and the open one.
        for name in [logs[0], logs[logs.len() - 1]] {
            match kind {
                "flipped" => store.flip(name, 20).await,
                "cut" => store.put(name, store.object(name).await.slice(..30)).await,
                _ => store.0.delete(&Store::path(name)).await.unwrap(),
            }
        }
        let err =
            restore_from_bucket(&store.place(), &rig.copy_folder(), CHECKED, &|_, _| ()).await;
        let err = err.unwrap_err();
        assert!(matches!(err, CopyError::Damaged { .. }), "{kind}: {err}");
        assert!(err.to_string().contains("s3://copies/shop/one"), "{kind}: {err}");
        assert!(err.to_string().contains(logs[0].as_str()), "{kind}: {err}");
        follow(&rig, &mut store.copy().await).await;
        // The folder is as empty as it was.
        compare(&rig, &store).await;
    }
}

#[tokio::test]
async fn a_damaged_copy_in_a_bucket_is_restored_by_force_only() {
    let (rig, store) = followed().await;
    let first = store.names().await.into_iter().find(|name| name.starts_with("log/")).unwrap();
    store.flip(&first, 4_000).await;
    let how = Thoroughness { force: true, ..CHECKED };
    let restored =
        restore_from_bucket(&store.place(), &rig.copy_folder(), how, &|_, _| ()).await.unwrap();
    assert!(restored.damage.iter().any(|text| text.contains(&first)), "{:?}", restored.damage);
    assert!(!files(&rig.copy_folder().join("log")).is_empty());
}

/// Found only once all is there: the folder is left as empty as it was.
#[tokio::test]
async fn a_copy_in_a_bucket_that_is_not_restored_leaves_nothing_behind() {
    let (rig, store) = followed().await;
    let mut manifest = store.manifest().await;
    let sealed = manifest.files.values_mut().find(|file| file.seal.is_some()).unwrap();
    sealed.seal = sealed.seal.map(|checksum| checksum ^ 1);
    store.put(MANIFEST, manifest.encode().unwrap()).await;
    for _ in 0..2 {
        let refused =
            restore_from_bucket(&store.place(), &rig.copy_folder(), CHECKED, &|_, _| ()).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, CopyError::Damaged { .. }), "{refused}");
    }
    assert!(!rig.copy_folder().join("log").exists());
}

#[tokio::test]
async fn of_two_standbys_with_one_prefix_one_ends() {
    let (mut rig, store) = followed().await;
    let mut older = store.copy().await;
    let session = hello(&rig, &mut older).await.unwrap();
    let mut newer = store.copy().await;
    rig.append(1).await;
    let err = step(&rig, &session, &mut older).await.unwrap_err();
    assert!(matches!(err, CopyError::Bucket(BucketError::OtherWriter(_))), "{err}");
    assert!(!err.may_pass());
    follow(&rig, &mut newer).await;
    compare(&rig, &store).await;
}

#[tokio::test]
async fn a_standby_that_another_took_over_from_removes_none_of_its_objects() {
    let (mut rig, store) = followed().await;
    let mut older = store.copy().await;
    let mut newer = store.copy().await;
    rig.append(30).await;
    follow(&rig, &mut newer).await;
    let names = store.names().await;
    let err = older.sweep_now().await.unwrap_err();
    assert!(matches!(err, BucketError::OtherWriter(_)), "{err}");
    assert_eq!(store.names().await, names);
    compare(&rig, &store).await;
}

#[tokio::test]
async fn a_prefix_with_something_else_in_it_is_refused() {
    let store = Store::new();
    store.put("photos/cat.jpg", "miaow").await;
    let err = BucketCopy::open(store.place(), clock()).await.unwrap_err();
    assert!(matches!(err, BucketError::NotEmpty(..)), "{err}");
    assert!(err.to_string().contains("photos/cat.jpg"), "{err}");
    assert_eq!(store.names().await.len(), 1, "nothing was written");
}

#[tokio::test]
async fn the_copy_of_another_gateway_in_the_prefix_is_refused() {
    let (_rig, store) = followed().await;
    let mut other = Rig::new().await;
    other.append(1).await;
    let mut copy = store.copy().await;
    let err = hello(&other, &mut copy).await.unwrap_err();
    assert!(matches!(err, StandbyError::OtherGateway { .. }), "{err}");
}

#[tokio::test]
async fn a_manifest_of_another_version_and_none_at_all_are_told_apart() {
    let (rig, store) = followed().await;
    let mut manifest = store.manifest().await;
    manifest.format += 1;
    store.put(MANIFEST, serde_json::to_vec(&manifest).unwrap()).await;
    let err = BucketCopy::open(store.place(), clock()).await.unwrap_err();
    assert!(matches!(err, BucketError::Format { .. }), "{err}");
    let to: PathBuf = rig.copy_folder();
    let err = restore_from_bucket(&store.place(), &to, CHECKED, &|_, _| ()).await.unwrap_err();
    assert!(matches!(err, CopyError::Bucket(BucketError::Format { .. })), "{err}");
    store.put(MANIFEST, "{").await;
    let err = BucketCopy::open(store.place(), clock()).await.unwrap_err();
    assert!(matches!(err, BucketError::Manifest(..)), "{err}");
    let err =
        restore_from_bucket(&Store::new().place(), &to, CHECKED, &|_, _| ()).await.unwrap_err();
    assert!(matches!(err, CopyError::NoCopy(_)), "{err}");
}
