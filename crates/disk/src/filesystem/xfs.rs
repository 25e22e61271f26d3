//! XFS: `struct xfs_dsb` in the first sector of each allocation group, and its log
//! (`fs/xfs/libxfs/xfs_format.h`, `xfs_log_format.h`), big-endian.

use super::{Backup, Elsewhere, Facts, State};
use crate::signature::Probe;

/// The log is written in units of 512 bytes, each of which begins with the number of the round.
const UNIT: u64 = 512;
/// `XLOG_HEADER_MAGIC_NUM`, where a record begins.
const RECORD: [u8; 4] = 0xfeed_babe_u32.to_be_bytes();
/// The longest record, 256 KiB, and its headers.
const LONGEST_RECORD: u64 = (256 << 10) / UNIT + 8;
/// `XLOG_UNMOUNT_TRANS` in the flags of an operation.
const UNMOUNT: u8 = 0x20;

pub(super) fn facts(probe: &Probe<'_>) -> Facts {
    read(probe).unwrap_or_default()
}

fn read(probe: &Probe<'_>) -> Option<Facts> {
    let be32 = |at| probe.bytes(at).map(|bytes| u64::from(u32::from_be_bytes(bytes)));
    let be64 = |at| probe.bytes(at).map(u64::from_be_bytes);
    let block = be32(4).filter(|b| (512..=65_536).contains(b))?;
    let (groups, group) = (be32(88)?, be32(84)?);
    let uuid: Option<[u8; 16]> = probe.bytes(32);
    let second = group.checked_mul(block)?;
    // `sb_logstart` and `sb_rblocks`: a log that begins nowhere is on a device of its own.
    let elsewhere = if be64(48)? == 0 {
        Some(Elsewhere::Log)
    } else {
        (be64(16)? != 0).then_some(Elsewhere::Realtime)
    };
    let agrees = || probe.has(second, b"XFSB") && probe.bytes(second + 32) == uuid;
    Some(Facts {
        size: be64(8)?.checked_mul(block),
        block: Some(block),
        state: Log::of(probe, block).map_or(State::Unknown, |log| log.state()),
        elsewhere,
        backup: if groups > 1 { Backup::at(second, agrees()) } else { Backup::None },
        ..Facts::default()
    })
}

/// A log within the filesystem.
struct Log<'p, 'a> {
    probe: &'p Probe<'a>,
    /// In bytes of the device.
    start: u64,
    /// In units.
    len: u64,
}

impl<'p, 'a> Log<'p, 'a> {
    /// `None` if the log is on a device of its own, or not within this one.
    fn of(probe: &'p Probe<'a>, block: u64) -> Option<Self> {
        let be32 = |at| probe.bytes(at).map(|bytes| u64::from(u32::from_be_bytes(bytes)));
        let place = probe.bytes(48).map(u64::from_be_bytes).filter(|start| *start > 0)?;
        // A block number is that of the group and, in the lower bits, that within it.
        let [bits] = probe.bytes(124)?;
        let within = place & 1_u64.checked_shl(bits.into())?.checked_sub(1)?;
        let number = (place >> bits).checked_mul(be32(84)?)?.checked_add(within)?;
        let (start, bytes) = (number.checked_mul(block)?, be32(96)?.checked_mul(block)?);
        let is_within = start.checked_add(bytes)? <= probe.len() && bytes >= UNIT;
        is_within.then_some(Self { probe, start, len: bytes / UNIT })
    }

    /// Clean if the last thing in it is the note that the filesystem was unmounted, as
    /// `xlog_check_unmount_rec` in `fs/xfs/xfs_log_recover.c` has it.
    fn state(&self) -> State {
        self.is_unmounted().map_or(State::Unknown, |unmounted| {
            if unmounted { State::Clean } else { State::NeedsReplay }
        })
    }

    fn is_unmounted(&self) -> Option<bool> {
        let head = self.head()?;
        let before = |back: u64| (head + self.len - back) % self.len;
        let last = (1..=LONGEST_RECORD.min(self.len)).map(before);
        let record = last.into_iter().find(|unit| self.bytes(*unit, 0) == Some(RECORD))?;
        let be32 = |at| self.bytes(record, at).map(u32::from_be_bytes);
        let (version, len, operations) = (be32(8)?, be32(12)?, be32(40)?);
        // From version 2 on there is a header for each 32 KiB that a record may have.
        let (size, extended) = (be32(320)?, version & 2 != 0 && be32(320)? > 32 << 10);
        let headers = if extended { u64::from(size).div_ceil(32 << 10) } else { 1 };
        let units = headers + u64::from(len).div_ceil(UNIT);
        let is_last = (record + units) % self.len == head;
        let [.., flags] = self.bytes::<10>((record + headers) % self.len, 0)?;
        Some(is_last && operations == 1 && flags & UNMOUNT != 0)
    }

    /// The unit that is written next: the first one of an older round than the first of the log.
    fn head(&self) -> Option<u64> {
        let first = self.round(0)?;
        if self.round(self.len - 1)? == first {
            return Some(0);
        }
        let (mut new, mut old) = (0, self.len - 1);
        while old - new > 1 {
            let middle = new + (old - new) / 2;
            if self.round(middle)? == first { new = middle } else { old = middle }
        }
        Some(old)
    }

    /// The number of the round in which a unit was written. A record's first unit has its magic
    /// number in that place, and the round behind it.
    fn round(&self, unit: u64) -> Option<u32> {
        let [word, next] = [self.bytes(unit, 0)?, self.bytes(unit, 4)?];
        Some(u32::from_be_bytes(if word == RECORD { next } else { word }))
    }

    fn bytes<const N: usize>(&self, unit: u64, at: u64) -> Option<[u8; N]> {
        self.probe.bytes(self.start + unit * UNIT + at)
    }
}
