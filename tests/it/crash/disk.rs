//! A disk of our own: an ext4 image on a loop device, whose power can be cut.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::servers::{find, skip};

/// Shuts the file system down at once, with nothing written that waits: `EXT4_IOC_SHUTDOWN` with
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`. What is not on the disk by then is gone, as in a power cut.
const CUT: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// A mounted image. Gone with everything on it when dropped.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
    device: String,
    is_mounted: bool,
}

impl Disk {
    /// A disk of `size_mib`; `None` where this machine does not let us, which is said.
    pub(crate) fn new(size_mib: u64) -> Option<Self> {
        if let Err(why) = possible() {
            skip(&why);
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(size_mib << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        let device = run("losetup", &["--find", "--show", image.to_str().unwrap()]);
        std::fs::create_dir(folder.path().join("mnt")).unwrap();
        let mut disk = Self { folder, device: device.trim().to_owned(), is_mounted: false };
        disk.mount();
        Some(disk)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    pub(crate) fn mount(&mut self) {
        run("mount", &["-t", "ext4", &self.device, self.path().to_str().unwrap()]);
        self.is_mounted = true;
    }

    pub(crate) fn unmount(&mut self) {
        run("umount", &[self.path().to_str().unwrap()]);
        self.is_mounted = false;
    }

    /// Cuts the power. Whoever has files open on it gets errors from here on.
    pub(crate) fn cut(&self) {
        run("python3", &["-c", CUT, self.path().to_str().unwrap()]);
    }

    /// Writes all that waits, as a machine that has been idle for a while has.
    pub(crate) fn sync(&self) {
        run("sync", &["-f", self.path().to_str().unwrap()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The program that a failed test leaves may hold the mount: let it go all the same.
        let path = self.path();
        if self.is_mounted {
            drop(Command::new("umount").args(["-l", path.to_str().unwrap()]).status());
        }
        drop(Command::new("losetup").args(["-d", &self.device]).status());
    }
}

/// Whether this machine lets us mount an image.
fn possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("a disk image can be mounted by root only".to_owned());
    }
    for program in ["mkfs.ext4", "losetup", "mount", "python3"] {
        if find(program).is_none() {
            return Err(format!("`{program}` is not there"));
        }
    }
    if !Path::new("/dev/loop-control").exists() {
        return Err("this machine has no loop devices".to_owned());
    }
    Ok(())
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(find(program).unwrap()).args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}
