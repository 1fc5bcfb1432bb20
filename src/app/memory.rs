//! How much memory a service manager or a container lets this process have.

use std::path::Path;

/// The most bytes that the control groups of this process may have (version 2); `None` = no limit that can be seen.
pub(super) fn limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(&groups, Path::new("/sys/fs/cgroup"))
}

fn limit_of(groups: &str, root: &Path) -> Option<u64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = root.join(group);
    // Each group that it is in has a limit of its own; without one it says `max`.
    let folders = group.ancestors().take_while(|folder| folder.starts_with(root));
    let limits = folders.filter_map(|folder| {
        let limit = std::fs::read_to_string(folder.join("memory.max")).ok()?;
        limit.trim().parse().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::super::parts::n_connections;
    use super::*;

    #[test]
    fn the_least_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let service = root.join("system.slice/gatepost.service");
        std::fs::create_dir_all(&service).unwrap();
        let groups = "1:name=systemd:/x\n0::/system.slice/gatepost.service\n";
        assert_eq!(limit_of(groups, root), None);
        let write = |folder: &Path, text| std::fs::write(folder.join("memory.max"), text).unwrap();
        write(&service, "max\n");
        assert_eq!(limit_of(groups, root), None);
        write(&service, "1073741824\n");
        write(root, "max\n");
        assert_eq!(limit_of(groups, root), Some(1 << 30));
        write(&root.join("system.slice"), "536870912\n");
        assert_eq!(limit_of(groups, root), Some(512 << 20));
        assert_eq!(limit_of("0::/\n", root), None, "a container sees its own group as the root");
        write(root, "268435456\n");
        assert_eq!(limit_of("0::/\n", root), Some(256 << 20));
    }

    #[test]
    fn connections_fill_no_more_than_half_of_the_memory() {
        assert_eq!(n_connections(2, usize::MAX, None), 8_192);
        assert_eq!(n_connections(2, 1_000, Some(1 << 30)), 500);
        assert_eq!(n_connections(8, usize::MAX, Some(1 << 30)), 4_096);
        assert_eq!(n_connections(8, usize::MAX, Some(1)), 1);
    }
}
