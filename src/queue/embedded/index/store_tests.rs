//! Both stores against a map, and what sled's one does with damage.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::store::{Direction, Store, StoreError, Table, Write};
use super::{MemoryStore, SledStore};

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn table() -> impl Strategy<Value = Table> {
    prop::sample::select(Table::ALL.to_vec())
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..4, 0..4)
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        2 => (table(), key(), any::<Vec<u8>>())
            .prop_map(|(table, key, value)| Write::Put { table, key, value }),
        1 => (table(), key()).prop_map(|(table, key)| Write::Delete { table, key }),
    ]
}

fn apply_to(model: &mut Model, write: &Write) {
    match write.clone() {
        Write::Put { table, key, value } => drop(model.insert((table, key), value)),
        Write::Delete { table, key } => drop(model.remove(&(table, key))),
    }
}

fn assert_same(store: &dyn Store, model: &Model) {
    for table in Table::ALL {
        let expected: Vec<_> = model
            .iter()
            .filter(|((of, _), _)| *of == table)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        for (direction, limit) in
            [(Direction::Forward, 100), (Direction::Backward, 100), (Direction::Forward, 3)]
        {
            let found = store.scan(table, &[1], &[3, 2], direction, limit).unwrap();
            let mut wanted: Vec<_> = expected
                .iter()
                .filter(|(key, _)| key.as_slice() >= [1].as_slice())
                .filter(|(key, _)| key.as_slice() < [3, 2].as_slice())
                .cloned()
                .collect();
            if direction == Direction::Backward {
                wanted.reverse();
            }
            wanted.truncate(limit);
            assert_eq!(found, wanted, "{table:?} {direction:?}");
        }
        for (key, value) in expected {
            assert_eq!(store.get(table, &key).unwrap(), Some(value));
        }
        assert_eq!(store.get(table, &[9]).unwrap(), None);
    }
}

fn check(store: &dyn Store, batches: &[Vec<Write>]) {
    let mut model = Model::new();
    for batch in batches {
        store.apply(batch.clone()).unwrap();
        for write in batch {
            apply_to(&mut model, write);
        }
        assert_same(store, &model);
    }
    assert!(store.scan(Table::Dead, &[3], &[1], Direction::Forward, 9).unwrap().is_empty());
    store.flush().unwrap();
    assert_same(store, &model);
    store.clear().unwrap();
    assert_same(store, &Model::new());
}

fn batches() -> impl Strategy<Value = Vec<Vec<Write>>> {
    prop::collection::vec(prop::collection::vec(write(), 0..30), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn memory_store_is_a_map(batches in batches()) {
        check(&MemoryStore::default(), &batches);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn sled_store_is_a_map(batches in batches()) {
        let folder = TempDir::new().unwrap();
        let store = SledStore::new(&folder.path().join("sled"));
        check(&store, &batches);
        store.close().unwrap();
    }
}

fn put(store: &dyn Store, key: &[u8], value: &[u8]) {
    let (key, value) = (key.to_vec(), value.to_vec());
    store.apply(vec![Write::Put { table: Table::Dead, key, value }]).unwrap();
}

#[test]
fn sled_store_keeps_what_was_closed_and_nothing_of_another_boot() {
    let folder = TempDir::new().unwrap();
    let sled = folder.path().join("sled");
    let store = SledStore::new(&sled);
    put(&store, b"a", b"1");
    store.close().unwrap();
    assert!(matches!(store.get(Table::Dead, b"a"), Err(StoreError::Closed)));

    let store = SledStore::new(&sled);
    assert_eq!(store.get(Table::Dead, b"a").unwrap().unwrap(), b"1");
    assert!(store.bytes() > 0);
    drop(store);
    // As a power cut leaves it.
    std::fs::write(sled.join("state"), "open another-boot 1\n").unwrap();
    let store = SledStore::new(&sled);
    assert_eq!(store.get(Table::Dead, b"a").unwrap(), None);
}

#[test]
fn sled_store_whose_files_are_garbage_is_remade() {
    let folder = TempDir::new().unwrap();
    let sled = folder.path().join("sled");
    let store = SledStore::new(&sled);
    put(&store, b"a", b"1");
    store.close().unwrap();
    for entry in std::fs::read_dir(&sled).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("state") {
            std::fs::write(path, vec![0xa5; 100_000]).unwrap();
        }
    }
    let store = SledStore::new(&sled);
    assert_eq!(store.get(Table::Dead, b"a").unwrap(), None);
    put(&store, b"b", b"2");
    assert_eq!(store.get(Table::Dead, b"b").unwrap().unwrap(), b"2");
}

#[test]
fn panic_in_sled_is_an_error() {
    let failed = super::sled::fence::<()>(|| panic!("as sled does on some damage"));
    assert!(matches!(failed, Err(StoreError::Panicked)));
}

#[test]
fn sled_store_that_is_compacted_has_the_same_content() {
    let folder = TempDir::new().unwrap();
    let store = SledStore::new(&folder.path().join("sled"));
    for n in 0..3_000_u32 {
        put(&store, &n.to_be_bytes(), &[7; 50]);
    }
    store.compact().unwrap();
    let all = store.scan(Table::Dead, &[], &[0xff], Direction::Forward, 9_999).unwrap();
    assert_eq!(all.len(), 3_000);
    put(&store, b"new", b"1");
    store.close().unwrap();
    let store = SledStore::new(&folder.path().join("sled"));
    assert_eq!(store.get(Table::Dead, b"new").unwrap().unwrap(), b"1");
    assert!(!folder.path().join("sled.new").exists());
}

#[test]
fn many_threads_may_open_a_sled_store() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(SledStore::new(&folder.path().join("sled")));
    let threads: Vec<_> = (0..4_u8)
        .map(|n| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || put(&*store, &[n], &[n]))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let all = store.scan(Table::Dead, &[], &[9], Direction::Forward, 9).unwrap();
    assert_eq!(all.len(), 4);
}

#[test]
fn sled_store_that_was_just_made_is_not_made_twice() {
    use std::os::unix::fs::MetadataExt;

    let folder = TempDir::new().unwrap();
    let store = SledStore::new(&folder.path().join("sled"));
    let inode = || std::fs::metadata(folder.path().join("sled/db")).map(|file| file.ino()).ok();
    assert_eq!(store.get(Table::Meta, b"k").unwrap(), None);
    let made = inode().unwrap();
    store.clear().unwrap();
    assert_eq!(inode(), Some(made));
    let write =
        || vec![Write::Put { table: Table::Meta, key: b"k".to_vec(), value: b"v".to_vec() }];
    store.apply(write()).unwrap();
    store.clear().unwrap();
    assert_eq!(store.get(Table::Meta, b"k").unwrap(), None);
    // One that is cleared although it is empty failed: its files are not believed a second time.
    store.clear().unwrap();
    store.clear().unwrap();
    assert!(!folder.path().join("sled/db").exists());
}
