//! How much memory there is.

use std::fs;
use std::path::Path;

/// Bytes of memory that this process may have: the machine's, or what its control groups leave it of that
/// (`cgroups(7)`; `memory.max`, in version 1 `memory.limit_in_bytes`).
pub fn total() -> u64 {
    let machine = rustix::system::sysinfo();
    // Their types differ from one architecture to another.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "not everywhere")]
    let machine = (machine.totalram as u64).saturating_mul(u64::from(machine.mem_unit));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit(&groups, Path::new("/sys/fs/cgroup")).map_or(machine, |limit| limit.min(machine))
}

/// The most bytes of memory that this process has had so far, its program and libraries among them;
/// 0 where `/proc` does not say.
pub fn most_so_far() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = most.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// The least of the limits of the `groups` a process is in, and of the groups around them.
fn limit(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let (root, name) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        // Inside a container the group may have another name than outside: those that are there count.
        let around = Path::new(group.trim_start_matches('/')).ancestors();
        around.filter_map(|group| read(&root.join(group).join(name))).min()
    });
    limits.min()
}

/// A limit; `None` where the group has none, and says `max`.
fn read(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{limit, total};
    use std::fs;
    use std::path::Path;

    fn put(root: &Path, group: &str, name: &str, text: &str) {
        fs::create_dir_all(root.join(group)).unwrap();
        fs::write(root.join(group).join(name), text).unwrap();
    }

    #[test]
    fn the_least_limit_of_all_groups_around_counts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "a", "memory.max", "4096\n");
        put(root, "a/b", "memory.max", "max\n");
        put(root, "memory/c", "memory.limit_in_bytes", "9223372036854771712\n");
        put(root, "memory", "memory.limit_in_bytes", "8192\n");
        assert_eq!(limit("0::/a/b\n", root), Some(4096));
        assert_eq!(limit("0::/\n", root), None);
        assert_eq!(limit("7:cpu,memory:/c\n3:cpuset:/c\n0::/\n", root), Some(8192));
        assert_eq!(limit("7:cpu,memory:/c:d\n0::/a\n", root), Some(4096));
        assert_eq!(limit("3:cpuset:/c\nno group\n", root), None);
    }

    #[test]
    fn this_process_has_some() {
        assert!(total() > 1 << 20, "{}", total());
    }
}
