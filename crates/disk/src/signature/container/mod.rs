//! Files that hold a disk, or other files, in a form of their own: images of virtual machines, evidence,
//! compressed streams, archives, backups. Their bytes are not those of the disk.

mod archive;
mod disk;
mod remains;
mod stream;

use std::fmt;

use snapfmt::ReadAt;

use super::{Kind, Probe};

/// How much of the beginning is looked at, in bytes.
const HEAD: u64 = 256 << 10;

/// A format whose files are no raw copies. Displays as `qcow2 image`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Container {
    /// What a person calls it.
    pub noun: &'static str,
    /// What gives the raw bytes that it holds.
    pub way: &'static str,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun)
    }
}

/// How a format is told.
struct Format {
    container: Container,
    proof: Proof,
    test: fn(&Probe<'_>) -> bool,
}

/// How much it takes to be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// A checksum, or fields that agree with each other: no disk has that by chance.
    Own,
    /// A magic number: a disk may have as much left from an earlier use, or as boot code, so it counts
    /// only where nothing in its first bytes says that it is a disk.
    Magic,
}

const fn own(noun: &'static str, way: &'static str, test: fn(&Probe<'_>) -> bool) -> Format {
    Format { container: Container { noun, way }, proof: Proof::Own, test }
}

const fn magic(noun: &'static str, way: &'static str, test: fn(&Probe<'_>) -> bool) -> Format {
    Format { container: Container { noun, way }, proof: Proof::Magic, test }
}

impl Container {
    /// The container that `source` is; `None` for a raw copy of a disk or a device, as far as can be
    /// told.
    pub fn of(source: &dyn ReadAt) -> Option<&'static Self> {
        let probe = Probe::new(source)?;
        let is_disk = begins_as_disk(&probe);
        Self::find(&probe, |format| format.proof == Proof::Own || !is_disk)
    }

    /// Whether it is a snapshot of this project, or what is left of one.
    pub fn is_snapshot(&self) -> bool {
        remains::WHOLE.iter().chain(remains::LEFT).any(|format| format.container == *self)
    }

    /// The same as [`Container::of`], of what no other format was found on.
    pub(super) fn of_unknown(probe: &Probe<'_>) -> Option<&'static Self> {
        Self::find(probe, |_| true)
    }

    fn find(probe: &Probe<'_>, counts: impl Fn(&Format) -> bool) -> Option<&'static Self> {
        let tables = [disk::FORMATS, archive::FORMATS, stream::FORMATS];
        // A snapshot begins as a zstd stream does; what is left of one takes a search.
        let all = [remains::WHOLE].into_iter().chain(tables).chain([remains::LEFT]);
        let found = all.flatten().find(|f| counts(f) && (f.test)(probe));
        found.map(|format| &format.container)
    }
}

/// Whether the first bytes are those of a disk. What an earlier disk left at the end does not count,
/// nor does what may be a part of the disk in a container.
fn begins_as_disk(probe: &Probe<'_>) -> bool {
    let len = usize::try_from(probe.len().min(HEAD)).unwrap_or(0);
    let Some(head) = probe.block(0, len) else { return false };
    let Some(probe) = Probe::new(&head) else { return false };
    super::signatures(&probe).iter().any(|signature| signature.kind != Kind::Zfs)
}

#[cfg(test)]
mod tests;
