use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn storage_with(path: &str, bytes: &[u8]) -> (MemoryStorage, Arc<dyn StorageFile>) {
    let storage = MemoryStorage::new();
    storage.create_folder(Path::new("/q")).unwrap();
    let file = storage.open(Path::new(path), OpenMode::Create).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    (storage, file)
}

fn crashes(storage: &MemoryStorage, options: CrashOptions) -> Vec<MemoryStorage> {
    (0..200).map(|seed| storage.crash(&mut StdRng::seed_from_u64(seed), options)).collect()
}

#[test]
fn synced_bytes_and_names_survive_every_power_cut() {
    let (storage, file) = storage_with("/q/a", &[7; 2000]);
    file.sync_data().unwrap();
    storage.sync_folder(Path::new("/q")).unwrap();
    for crashed in crashes(&storage, CrashOptions { torn_sectors: true }) {
        assert_eq!(crashed.bytes(Path::new("/q/a")), Some(vec![7; 2000]));
    }
}

#[test]
fn unsynced_sectors_are_kept_or_lost_one_by_one() {
    let (storage, file) = storage_with("/q/a", &[1; 1536]);
    file.sync_data().unwrap();
    storage.sync_folder(Path::new("/q")).unwrap();
    file.write_all_at(&[2; 1536], 0).unwrap();
    let mut seen = BTreeSet::new();
    for crashed in crashes(&storage, CrashOptions::default()) {
        let bytes = crashed.bytes(Path::new("/q/a")).unwrap();
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        seen.insert(sectors);
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn a_torn_sector_has_new_bytes_before_old_ones() {
    let (storage, file) = storage_with("/q/a", &[1; 512]);
    file.sync_data().unwrap();
    storage.sync_folder(Path::new("/q")).unwrap();
    file.write_all_at(&[2; 512], 0).unwrap();
    let torn = crashes(&storage, CrashOptions { torn_sectors: true }).into_iter().any(|crashed| {
        let bytes = crashed.bytes(Path::new("/q/a")).unwrap();
        let n_new = bytes.iter().take_while(|byte| **byte == 2).count();
        assert!(bytes[n_new..].iter().all(|byte| *byte == 1));
        n_new > 0 && n_new < 512
    });
    assert!(torn);
}

#[test]
fn unsynced_growth_may_be_lost() {
    let (storage, file) = storage_with("/q/a", &[1; 100]);
    file.sync_data().unwrap();
    storage.sync_folder(Path::new("/q")).unwrap();
    file.write_all_at(&[2; 2000], 100).unwrap();
    let sizes: BTreeSet<usize> = crashes(&storage, CrashOptions::default())
        .iter()
        .map(|crashed| crashed.bytes(Path::new("/q/a")).unwrap().len())
        .collect();
    assert!(sizes.contains(&100) && sizes.contains(&2100), "{sizes:?}");
}

#[test]
fn unsynced_names_come_in_the_order_of_their_changes() {
    let (storage, _a) = storage_with("/q/a", b"a");
    storage.open(Path::new("/q/b"), OpenMode::Create).unwrap();
    storage.rename(Path::new("/q/a"), Path::new("/q/c")).unwrap();
    let names = |storage: &MemoryStorage| -> String {
        storage.paths().iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
    };
    let seen: BTreeSet<String> =
        crashes(&storage, CrashOptions::default()).iter().map(names).collect();
    assert_eq!(seen, ["", "a", "ab", "bc"].map(String::from).into());
    storage.sync_folder(Path::new("/q")).unwrap();
    for crashed in crashes(&storage, CrashOptions::default()) {
        assert_eq!(names(&crashed), "bc");
    }
}

#[test]
fn a_rename_between_folders_is_never_half() {
    let (storage, _a) = storage_with("/q/a", b"a");
    storage.sync_folder(Path::new("/q")).unwrap();
    storage.create_folder(Path::new("/r")).unwrap();
    storage.rename(Path::new("/q/a"), Path::new("/r/a")).unwrap();
    for crashed in crashes(&storage, CrashOptions::default()) {
        assert_eq!(crashed.paths().len(), 1);
    }
    storage.sync_folder(Path::new("/r")).unwrap();
    for crashed in crashes(&storage, CrashOptions::default()) {
        assert_eq!(crashed.paths(), [PathBuf::from("/r/a")]);
    }
}

#[test]
fn a_kill_keeps_what_was_written_and_stops_the_old_handles() {
    let (storage, file) = storage_with("/q/a", b"abc");
    let after = storage.kill();
    assert_eq!(after.bytes(Path::new("/q/a")), Some(b"abc".to_vec()));
    assert!(file.write_all_at(b"x", 0).is_err());
    assert!(storage.open(Path::new("/q/a"), OpenMode::Read).is_err());
    // It is no more durable than it was.
    assert!(crashes(&after, CrashOptions::default()).iter().any(|c| c.paths().is_empty()));
}

#[test]
fn a_copy_has_files_of_its_own_that_are_as_durable() {
    let (storage, file) = storage_with("/q/a", b"abc");
    file.sync_data().unwrap();
    let copy = storage.copy();
    copy.flip_bit(Path::new("/q/a"), 0, 1);
    file.write_all_at(b"x", 1).unwrap();
    assert_eq!(copy.bytes(Path::new("/q/a")), Some(b"cbc".to_vec()));
    assert_eq!(storage.bytes(Path::new("/q/a")), Some(b"axc".to_vec()));
    // Its name was not synced; the bytes are.
    copy.sync_folder(Path::new("/q")).unwrap();
    for crashed in crashes(&copy, CrashOptions::default()) {
        assert_eq!(crashed.bytes(Path::new("/q/a")), Some(b"cbc".to_vec()));
    }
}

#[test]
fn a_full_storage_takes_what_fits_and_gives_room_back() {
    let (storage, file) = storage_with("/q/a", b"abc");
    storage.set_free(Some(2));
    assert_eq!(storage.free_bytes(Path::new("/q")).unwrap(), 2);
    let err = file.write_all_at(b"defg", 3).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::StorageFull);
    assert_eq!(storage.bytes(Path::new("/q/a")), Some(b"abcde".to_vec()));
    file.write_all_at(b"ABC", 0).unwrap();
    storage.remove(Path::new("/q/a")).unwrap();
    assert_eq!(storage.free_bytes(Path::new("/q")).unwrap(), 5);
}

#[test]
fn faults_fail_the_calls_that_they_name() {
    let (storage, file) = storage_with("/q/a", b"abc");
    storage.record_calls();
    let fail = |failing, verdict| {
        storage.fail(move |call, _, _, _| if call == failing { verdict } else { Verdict::Ok });
    };
    fail(Call::Sync, Verdict::Errno(5));
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    fail(Call::Write, Verdict::Short(1));
    file.write_all_at(b"xyz", 0).unwrap_err();
    fail(Call::Open, Verdict::Error(ErrorKind::PermissionDenied));
    assert!(storage.open(Path::new("/q/a"), OpenMode::Read).is_err());
    storage.clear_faults();
    file.sync_data().unwrap();
    assert_eq!(storage.bytes(Path::new("/q/a")), Some(b"xbc".to_vec()));
    assert_eq!(storage.take_calls(), [(Call::Sync, PathBuf::from("/q/a"))]);
}

#[test]
fn flipped_bits_cuts_and_removals_are_durable() {
    let (storage, file) = storage_with("/q/a", b"abc");
    file.sync_data().unwrap();
    storage.sync_folder(Path::new("/q")).unwrap();
    storage.put_now(Path::new("/q/b"), b"b".to_vec());
    storage.flip_bit(Path::new("/q/a"), 0, 1);
    storage.cut(Path::new("/q/a"), 2);
    storage.remove_now(Path::new("/q/b"));
    for crashed in crashes(&storage, CrashOptions::default()) {
        assert_eq!(crashed.paths(), [PathBuf::from("/q/a")]);
        assert_eq!(crashed.bytes(Path::new("/q/a")), Some(b"cb".to_vec()));
    }
}
