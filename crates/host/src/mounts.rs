//! The mount table, and which block devices a filesystem is on.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::device::{Number, attribute};

/// One line of the mount table.
#[derive(Debug)]
pub struct Mount {
    /// The number that the kernel gave it.
    pub id: u64,
    /// What it is mounted on.
    pub parent: u64,
    /// The device number that its files have, of a block device or of none.
    pub device: Number,
    /// Which directory of the filesystem is seen there.
    pub root: PathBuf,
    /// Where it is.
    pub at: PathBuf,
    /// What it was mounted from: a device, several with colons between them, or any text.
    pub source: PathBuf,
    /// What is mounted in one of this group is mounted in all of it.
    pub shared: Option<u64>,
    /// What is mounted in one of that group is mounted here.
    pub master: Option<u64>,
}

/// All mounts of this mount namespace.
pub fn all() -> Vec<Mount> {
    of_process("self")
}

fn of_process(process: &str) -> Vec<Mount> {
    let table = fs::read(format!("/proc/{process}/mountinfo")).unwrap_or_default();
    table.split(|byte| *byte == b'\n').filter_map(parse).collect()
}

/// The mounts of another mount namespace, as one of its processes sees them.
#[derive(Debug)]
pub struct Elsewhere {
    /// The process.
    pub pid: u32,
    /// What it sees.
    pub mounts: Vec<Mount>,
}

/// All mounts of the other mount namespaces that can be seen; those of other users only by root.
pub fn elsewhere() -> Vec<Elsewhere> {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let own = namespace("self");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    // A process sees what is below its root only.
    let mut seen = std::collections::BTreeSet::new();
    pids.filter_map(|pid| {
        let process = pid.to_string();
        let other = namespace(&process).filter(|other| Some(other) != own.as_ref())?;
        let root = fs::read_link(format!("/proc/{process}/root")).ok()?;
        seen.insert((other, root)).then(|| Elsewhere { pid, mounts: of_process(&process) })
    })
    .collect()
}

/// The id of the mount that `path` is on, where the kernel tells it (Linux 5.8). No server of a filesystem is asked.
pub fn id_of(path: &Path) -> Option<u64> {
    let stat = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID).ok()?;
    (stat.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(stat.stx_mnt_id)
}

/// The mount that `path` is on.
pub(crate) fn of(path: &Path) -> Option<Mount> {
    // The device number of a btrfs file is not the one in the mount table; the mount's id is, but
    // only Linux 5.8 and later tell it (statx(2)).
    let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    if stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 {
        return all().into_iter().find(|mount| mount.id == stat.stx_mnt_id);
    }
    let number = Number::new(stat.stx_dev_major, stat.stx_dev_minor).filesystem()?;
    all().into_iter().find(|mount| mount.device == number)
}

/// The block devices that hold the filesystem of `path`, as far as they can be known: none for
/// network filesystems and those in memory, and none for overlays, whose layers are mounts of their
/// own.
pub(crate) fn devices_of(path: &Path) -> Vec<Number> {
    of(path).map(|mount| mount.devices()).unwrap_or_default()
}

impl Mount {
    /// The block devices that hold this filesystem.
    pub fn devices(&self) -> Vec<Number> {
        if let Some(number) = self.device.filesystem() {
            return vec![number];
        }
        let source = self.source.to_string_lossy();
        // bcachefs names all its devices.
        let named = source.split(':').filter(|part| part.starts_with('/'));
        let named: Vec<Number> =
            named.filter_map(|part| Number::of(&fs::metadata(part).ok()?)).collect();
        // btrfs names one of them.
        let others = named.iter().flat_map(|number| btrfs_siblings(*number));
        let mut all: Vec<Number> = others.collect();
        all.extend(&named);
        all
    }
}

/// All devices of the btrfs filesystem that `number` is one of, from `/sys/fs/btrfs/UUID/devices`.
fn btrfs_siblings(number: Number) -> Vec<Number> {
    let filesystems = fs::read_dir("/sys/fs/btrfs").into_iter().flatten().flatten();
    let devices = filesystems.map(|filesystem| {
        let devices = fs::read_dir(filesystem.path().join("devices")).into_iter().flatten();
        devices.flatten().filter_map(|d| attribute(&d.path().join("dev"))?.parse().ok()).collect()
    });
    devices.into_iter().find(|devices: &Vec<Number>| devices.contains(&number)).unwrap_or_default()
}

/// One line as `proc_pid_mountinfo(5)` has it: mount id, parent, device number, root, mount point,
/// options; fields that need not be there; after a lone `-` the filesystem type and the source.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = text(fields.next()?)?.parse().ok()?;
    let parent = text(fields.next()?)?.parse().ok()?;
    let device = text(fields.next()?)?.parse().ok()?;
    let root = unescape(fields.next()?);
    let at = unescape(fields.next()?);
    let _options = fields.next()?;
    let (mut shared, mut master) = (None, None);
    loop {
        let field = text(fields.next()?)?;
        let group = |name| field.strip_prefix(name)?.parse().ok();
        if field == "-" {
            break;
        }
        shared = shared.or(group("shared:"));
        master = master.or(group("master:"));
    }
    let source = unescape(fields.nth(1)?);
    Some(Mount { id, parent, device, root, at, source, shared, master })
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

/// A path as the kernel writes it in its tables, where blanks and backslashes are three octal
/// digits after a backslash.
pub(crate) fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = || u8::from_str_radix(text(after.get(..3)?)?, 8).ok();
        if *first == b'\\'
            && let Some(byte) = octal()
        {
            path.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            path.push(*first);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{parse, unescape};

    #[test]
    fn a_line_with_optional_fields_and_escapes() {
        let line = br"36 35 98:0 /mnt1 /mnt\040two rw,noatime master:1 - ext3 /dev/ro\134ot rw";
        let mount = parse(line).unwrap();
        assert_eq!((mount.id, mount.parent, mount.device.to_string()), (36, 35, "98:0".to_owned()));
        assert_eq!((mount.shared, mount.master), (None, Some(1)));
        assert_eq!(mount.root, Path::new("/mnt1"));
        assert_eq!(mount.at, Path::new("/mnt two"));
        assert_eq!(mount.source, Path::new(r"/dev/ro\ot"));
        let line = b"36 35 0:24 / /mnt rw - btrfs /dev/sdb rw";
        assert!(parse(line).unwrap().device.filesystem().is_none(), "btrfs has no device number");
        assert!(parse(b"36 35 98:0 / /mnt rw").is_none());
    }

    #[test]
    fn an_escaped_backslash_starts_no_escape() {
        assert_eq!(unescape(br"a\134040b\0"), Path::new(r"a\040b\0"));
    }
}
