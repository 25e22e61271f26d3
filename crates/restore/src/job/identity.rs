//! What a journal knows its target by.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, OFlags, StatxFlags, statx};

use host::device::{self, Identity};
use host::entry::reopen;

/// Those who make device-mapper devices and give each an id of its own: what follows is made by chance, or a
/// disk's own.
const UNIQUE_MAPPINGS: [&str; 3] = ["LVM-", "CRYPT-LUKS", "mpath-"];

/// What tells a file or device from others, also after the machine was started again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetId {
    /// All that is known, in one line.
    pub text: String,
    /// Whether no other file or device can have the same: otherwise what was written to it tells.
    pub is_unique: bool,
}

impl TargetId {
    /// Of `file`, which was opened as `path`.
    pub fn of(path: &Path, file: &File) -> io::Result<Self> {
        let device = Identity::of(path, file)?;
        if device.number.is_none() { of_file(file) } else { Ok(of_device(&device)) }
    }
}

/// What tells the file or device at `path` from others, in one line.
pub fn identity(path: &Path) -> io::Result<String> {
    Ok(TargetId::of(path, &File::open(path)?)?.text)
}

/// The number of an inode is given again when its file is gone; with the time of its birth it is one file's
/// only (statx(2)). Not every filesystem keeps that time.
fn of_file(file: &File) -> io::Result<TargetId> {
    let stat = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME)?;
    let meta = file.metadata()?;
    let is_unique = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    let text = if is_unique {
        let born = stat.stx_btime;
        format!("inode {} born {}.{:09}", meta.ino(), born.tv_sec, born.tv_nsec)
    } else {
        let (major, minor) = (stat.stx_dev_major, stat.stx_dev_minor);
        format!("inode {} of filesystem {major}:{minor}, which keeps no time of birth", meta.ino())
    };
    Ok(TargetId { text, is_unique })
}

/// All identifiers together: disks of one maker may have one serial number, a mapping's name may be given to
/// another, and a file may be behind many loop devices.
fn of_device(device: &Identity) -> TargetId {
    let mut parts = Vec::new();
    let mut is_unique = device.wwid.is_some();
    let named = [
        ("serial", &device.serial),
        ("WWID", &device.wwid),
        ("mapping", &device.mapping),
        ("uuid", &device.uuid),
    ];
    for (what, value) in named {
        parts.extend(value.as_ref().map(|value| format!("{what} {}", value.escape_debug())));
    }
    if let Some(uuid) = &device.uuid {
        let is_array = device.mapping.is_none();
        is_unique |= is_array || UNIQUE_MAPPINGS.iter().any(|maker| uuid.starts_with(maker));
    }
    if let Some(backing) = &device.backing {
        let (text, is_known) = of_backing(backing);
        let mut part = format!("over {text}");
        if let Some(range) = &device.backing_range {
            let end =
                if range.end == u64::MAX { "its end".to_owned() } else { range.end.to_string() };
            // Writing to a string cannot fail.
            let _ = write!(part, " from byte {} to {end}", range.start);
        }
        parts.push(part);
        is_unique |= is_known;
    }
    if parts.is_empty() {
        // Numbers are given anew each time the machine starts.
        let boot = device::attribute(Path::new("/proc/sys/kernel/random/boot_id"));
        let number = device.number.map(|number| number.to_string()).unwrap_or_default();
        parts.push(format!("{number} since boot {}", boot.unwrap_or_default()));
    }
    if let Some(number) = device.partition {
        let start = device.start.unwrap_or(0);
        parts.push(format!("partition {number} at byte {start}"));
    }
    parts
        .extend(device.partition_uuid.as_ref().map(|id| format!("PARTUUID {}", id.escape_debug())));
    let text = format!("device {} of {} bytes", parts.join(", "), device.size);
    TargetId { text, is_unique }
}

/// What is behind a loop device. It is not opened: what has its name by now may be a FIFO.
fn of_backing(path: &Path) -> (String, bool) {
    let found = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty());
    let file = found.map_err(io::Error::from).and_then(|fd| {
        device::check_kind(&File::from(fd.try_clone()?).metadata()?)?;
        reopen(fd, OFlags::RDONLY)
    });
    match file.and_then(|file| TargetId::of(path, &file)) {
        Ok(id) => (id.text, id.is_unique),
        Err(_) => (path.display().to_string(), false),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::of_device;
    use host::device::Identity;

    fn disk() -> Identity {
        let file = tempfile::NamedTempFile::new().unwrap();
        let identity = Identity::of(file.path(), file.as_file()).unwrap();
        Identity { number: Some("8:16".parse().unwrap()), size: 1 << 20, ..identity }
    }

    /// Each pair differs in one thing only, and is told apart by it.
    #[test]
    fn whatever_differs_tells_two_devices_apart() {
        let text = |text: &str| Some(text.to_owned());
        let serial = Identity { serial: text("S"), ..disk() };
        let mapping = Identity { mapping: text("data"), ..disk() };
        let backing = Identity {
            backing: Some(PathBuf::from("/no/such")),
            backing_range: Some(0..512),
            ..disk()
        };
        let partition = Identity { partition: Some(1), start: Some(1 << 20), ..serial.clone() };
        let pairs = [
            (serial.clone(), Identity { wwid: text("W"), ..serial.clone() }),
            (serial.clone(), Identity { size: 2 << 20, ..serial.clone() }),
            (mapping.clone(), Identity { uuid: text("U"), ..mapping }),
            (backing.clone(), Identity { backing_range: Some(512..1024), ..backing.clone() }),
            (backing.clone(), Identity { backing_range: Some(0..u64::MAX), ..backing }),
            (partition.clone(), Identity { start: Some(2 << 20), ..partition.clone() }),
            (partition.clone(), Identity { partition_uuid: text("P"), ..partition.clone() }),
            (partition, serial),
            (disk(), Identity { number: Some("8:32".parse().unwrap()), ..disk() }),
        ];
        for (one, other) in pairs {
            assert_ne!(of_device(&one).text, of_device(&other).text);
        }
    }

    #[test]
    fn only_what_nobody_gives_twice_is_enough() {
        let text = |text: &str| Some(text.to_owned());
        assert!(of_device(&Identity { wwid: text("naa.5"), ..disk() }).is_unique);
        assert!(!of_device(&Identity { serial: text("S"), ..disk() }).is_unique);
        assert!(!of_device(&disk()).is_unique);
        let mapping = Identity { mapping: text("data"), ..disk() };
        assert!(!of_device(&mapping).is_unique);
        assert!(!of_device(&Identity { uuid: text("mine"), ..mapping.clone() }).is_unique);
        assert!(of_device(&Identity { uuid: text("LVM-x"), ..mapping }).is_unique);
        assert!(of_device(&Identity { uuid: text("md"), ..disk() }).is_unique);
    }
}
