//! Who a file or block device is, for messages a person decides by.

use std::fmt::{self, Write};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{LoopDevice, Number, attribute, size};
use crate::ByteSize;

/// What a file or block device is known by. Only a device has more than a path and a size; model,
/// serial number and WWID of a partition are its disk's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The path it was given by.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its device number; `None` for a regular file.
    pub number: Option<Number>,
    /// Its number among the partitions of its disk, if it is one.
    pub partition: Option<u32>,
    /// What the maker calls it.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its world-wide id.
    pub wwid: Option<String>,
    /// The name of a device-mapper device.
    pub mapping: Option<String>,
    /// The id that a device-mapper or MD device was given when it was made.
    pub uuid: Option<String>,
    /// Where a partition begins on its disk, in bytes.
    pub start: Option<u64>,
    /// The id of a partition in its table, where the kernel tells it.
    pub partition_uuid: Option<String>,
    /// The file or device behind a loop device.
    pub backing: Option<PathBuf>,
    /// Which bytes of that, up to its end where no length was given.
    pub backing_range: Option<Range<u64>>,
    /// Whether the kernel refuses to write to it.
    pub read_only: bool,
    /// Whether its medium can be taken out.
    pub removable: bool,
}

impl Identity {
    /// Of `file`, which was opened as `path`. Everything but the size is from sysfs, by the
    /// `Documentation/ABI` of the kernel: `stable/sysfs-block` (`serial`, `removable`, `ro`),
    /// `testing/sysfs-block-device` and `testing/sysfs-block-dm`; `drivers/scsi/scsi_sysfs.c` has the
    /// attributes of SCSI disks, `drivers/nvme/host/sysfs.c` those of NVM Express.
    pub fn of(path: &Path, file: &File) -> io::Result<Self> {
        let mut identity = Self {
            path: path.to_owned(),
            size: size(file)?,
            number: Number::of(&file.metadata()?),
            partition: None,
            model: None,
            serial: None,
            wwid: None,
            mapping: None,
            uuid: None,
            start: None,
            partition_uuid: None,
            backing: None,
            backing_range: None,
            read_only: false,
            removable: false,
        };
        if let Some(number) = identity.number {
            identity.read_sysfs(number);
        }
        Ok(identity)
    }

    fn read_sysfs(&mut self, number: Number) {
        let whole = number.disk().unwrap_or(number);
        self.partition = number.partition();
        self.read_only = is_set(&number.sysfs().join("ro"));
        if let Some(device) = LoopDevice::numbered(whole) {
            self.backing_range = Some(device.range().clone());
            self.backing = Some(device.backing);
        }
        if self.partition.is_some() {
            self.read_partition(&number.sysfs());
        }
        self.read_disk(&whole.sysfs());
    }

    /// What the directory in sysfs of a partition says. Its start is in units of 512 bytes, whatever the
    /// disk's sectors are.
    fn read_partition(&mut self, sysfs: &Path) {
        let start = attribute(&sysfs.join("start")).and_then(|start| start.parse::<u64>().ok());
        self.start = start.and_then(|start| start.checked_mul(512));
        let event = std::fs::read_to_string(sysfs.join("uevent")).unwrap_or_default();
        let uuid = event.lines().find_map(|line| line.strip_prefix("PARTUUID="));
        self.partition_uuid = uuid.map(str::to_owned);
    }

    /// What the directory in sysfs of a whole disk says.
    fn read_disk(&mut self, sysfs: &Path) {
        let first = |names: &[&str]| names.iter().find_map(|name| attribute(&sysfs.join(name)));
        // Disks of an MMC host call their model a name.
        self.model = first(&["device/model", "device/name"]);
        self.serial = first(&["serial", "device/serial"])
            .or_else(|| scsi_serial(&std::fs::read(sysfs.join("device/vpd_pg80")).ok()?));
        self.wwid = first(&["wwid", "device/wwid"]);
        self.mapping = first(&["dm/name"]);
        self.uuid = first(&["dm/uuid", "md/uuid"]);
        self.removable = is_set(&sysfs.join("removable"));
    }

    /// One line: `/dev/sdb (8:16), 1.0 TiB, model "XYZ", serial ABC`. Text that devices say of
    /// themselves is escaped; the path is as it was given.
    pub fn describe(&self) -> String {
        let mut line = self.path.display().to_string();
        // Writing to a string cannot fail.
        let _ = match self.number {
            Some(number) => write!(line, " ({number}), {}", ByteSize(self.size)),
            None => write!(line, " (a file), {}", ByteSize(self.size)),
        };
        if let Some(partition) = self.partition {
            let _ = write!(line, ", partition {partition}");
        }
        if let Some(mapping) = &self.mapping {
            let _ = write!(line, ", mapping \"{}\"", mapping.escape_debug());
        }
        if let Some(backing) = &self.backing {
            let _ = write!(line, ", backed by {}", backing.display());
        }
        if let Some(model) = &self.model {
            let _ = write!(line, ", model \"{}\"", model.escape_debug());
        }
        match (&self.serial, &self.wwid) {
            (Some(serial), _) => drop(write!(line, ", serial {}", serial.escape_debug())),
            (None, Some(wwid)) => drop(write!(line, ", WWID {}", wwid.escape_debug())),
            (None, None) => {}
        }
        if self.removable {
            line.push_str(", removable");
        }
        line
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

fn is_set(flag: &Path) -> bool {
    attribute(flag).is_some_and(|value| value == "1")
}

/// The unit serial number page of a SCSI disk (SPC-4, 7.8.15): the page's code in byte 1, the
/// length in bytes 2 and 3, then that many bytes of ASCII.
fn scsi_serial(page: &[u8]) -> Option<String> {
    let (header, rest) = page.split_first_chunk::<4>()?;
    let [_, 0x80, high, low] = *header else { return None };
    let serial = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
    let serial = String::from_utf8_lossy(serial);
    let serial = serial.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!serial.is_empty()).then(|| serial.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::{Identity, scsi_serial};

    fn disk() -> Identity {
        Identity {
            path: PathBuf::from("/dev/sdb"),
            size: 1 << 40,
            number: Some("8:16".parse().unwrap()),
            partition: None,
            model: Some("X\u{1b}Z".to_owned()),
            serial: Some("ABC".to_owned()),
            wwid: Some("naa.5000".to_owned()),
            mapping: None,
            uuid: None,
            start: None,
            partition_uuid: None,
            backing: None,
            backing_range: None,
            read_only: false,
            removable: false,
        }
    }

    #[test]
    fn a_line_for_people() {
        let mut disk = disk();
        assert_eq!(disk.describe(), r#"/dev/sdb (8:16), 1.0 TiB, model "X\u{1b}Z", serial ABC"#);
        disk.serial = None;
        disk.partition = Some(3);
        assert!(disk.describe().contains(", partition 3, "), "{disk}");
        assert!(disk.describe().ends_with(", WWID naa.5000"), "{disk}");
    }

    #[test]
    fn disks_of_all_kinds() {
        for (files, model, serial, wwid) in [
            // virtio, SCSI, NVMe, MMC.
            (vec![("serial", &b"vol0123\n"[..])], None, Some("vol0123"), None),
            (
                vec![
                    ("device/model", b"QEMU HARDDISK   \n"),
                    ("device/vpd_pg80", b"\0\x80\0\x02S1"),
                    ("device/wwid", b"t10.ATA\n"),
                ],
                Some("QEMU HARDDISK"),
                Some("S1"),
                Some("t10.ATA"),
            ),
            (
                vec![
                    ("device/serial", b"S2  \n"),
                    ("wwid", b"eui.36\n"),
                    ("device/model", b"EBS\n"),
                ],
                Some("EBS"),
                Some("S2"),
                Some("eui.36"),
            ),
            (vec![("device/name", b"SU16G\n"), ("serial", b"\n")], Some("SU16G"), None, None),
        ] {
            let sysfs = tempfile::tempdir().unwrap();
            fs::create_dir(sysfs.path().join("device")).unwrap();
            for (name, bytes) in files {
                fs::write(sysfs.path().join(name), bytes).unwrap();
            }
            fs::write(sysfs.path().join("removable"), "1\n").unwrap();
            let mut disk = disk();
            disk.read_disk(sysfs.path());
            let found = [&disk.model, &disk.serial, &disk.wwid].map(|text| text.as_deref());
            assert_eq!(found, [model, serial, wwid]);
            assert!(disk.describe().ends_with(", removable"), "{disk}");
        }
    }

    #[test]
    fn the_serial_number_page() {
        assert_eq!(scsi_serial(b"\0\x80\0\x06  S1X\0rest").as_deref(), Some("S1X"));
        assert_eq!(scsi_serial(b"\0\x83\0\x03S1X"), None, "another page");
        assert_eq!(scsi_serial(b"\0\x80\0\x04S1X"), None, "cut off");
        assert_eq!(scsi_serial(b"\0\x80\0\x02  "), None, "blank");
    }
}
