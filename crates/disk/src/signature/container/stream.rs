//! Compressed and encrypted streams, and those of backup programs.

use super::{Format, Probe, magic, own};

pub(super) const FORMATS: &[Format] = &[
    magic("gzip stream", "gzip -dc gives what is in it", gzip),
    magic("xz stream", "xz -dc gives what is in it", |p| {
        p.has(0, b"\xfd7zXZ\0\0") && p.bytes(7).is_some_and(|[check]: [u8; 1]| check < 16)
    }),
    magic("zstd stream", "zstd -dc gives what is in it", zstd),
    magic("lz4 stream", "lz4 -dc gives what is in it", lz4),
    magic("bzip2 stream", "bzip2 -dc gives what is in it", bzip2),
    magic("lzma stream", "xz --format=lzma -dc gives what is in it", lzma),
    magic("lzip stream", "lzip -dc gives what is in it", |p| p.has(0, b"LZIP\x01")),
    magic("lzop stream", "lzop -dc gives what is in it", |p| {
        p.has(0, b"\x89LZO\0\x0d\x0a\x1a\x0a")
    }),
    magic("lrzip stream", "lrzip -d gives what is in it", |p| p.has(0, b"LRZI\0")),
    magic("snappy stream", "snzip -dc gives what is in it", |p| p.has(0, b"\xff\x06\0\0sNaPpY")),
    magic("compress stream", "gzip -dc gives what is in it", |p| p.has(0, b"\x1f\x9d\x90")),
    magic("encrypted PGP message", "gpg -d gives what is in it", |p| p.has(0, b"-----BEGIN PGP ")),
    magic("stream encrypted by openssl", "openssl enc -d gives what is in it", |p| {
        // The same in Base64 begins like this.
        p.has(0, b"Salted__") || p.has(0, b"U2FsdGVkX1")
    }),
    magic("stream encrypted by age", "age -d gives what is in it", |p| {
        p.has(0, b"age-encryption.org/v1\n") || p.has(0, b"-----BEGIN AGE ENCRYPTED FILE-----")
    }),
    magic("btrfs send stream", "btrfs receive takes it", |p| p.has(0, b"btrfs-stream\0")),
    magic("ZFS send stream", "zfs receive takes it", |p| {
        p.has(8, b"\xac\xcb\xba\xf5\x02\0\0\0") || p.has(8, b"\0\0\0\x02\xf5\xba\xcb\xac")
    }),
    magic("xfsdump stream", "xfsrestore takes it", |p| p.has(0, b"xFSdump0")),
    own("dump(8) stream", "restore(8) takes it", dump),
];

/// RFC 1952: deflate, no reserved flag, and what compressors and systems are known. Where the data
/// follow at once, a first block of a type there is (RFC 1951, 3.2.3), with its length if it is stored.
fn gzip(probe: &Probe<'_>) -> bool {
    let header: Option<[u8; 15]> = probe.bytes(0);
    header.is_some_and(|[id1, id2, method, flags, _, _, _, _, extra, system, first, rest @ ..]| {
        let [low, high, not_low, not_high] = rest;
        let is_block = match (first >> 1) & 3 {
            0 => [!low, !high] == [not_low, not_high],
            kind => kind != 3,
        };
        [id1, id2, method] == [0x1f, 0x8b, 8]
            && flags & 0xe0 == 0
            && matches!(extra, 0 | 2 | 4)
            && matches!(system, 0..=13 | 255)
            && (flags != 0 || is_block)
    })
}

/// RFC 8878: a frame without the reserved bit, or behind skippable ones (3.1.2) a frame.
fn zstd(probe: &Probe<'_>) -> bool {
    /// Skippable frames before the first other one; pzstd writes one.
    const MOST: usize = 8;
    let mut at = 0;
    for skipped in 0..MOST {
        match probe.le32(at) {
            Some(0xfd2f_b528) => {
                let descriptor: Option<[u8; 1]> = at.checked_add(4).and_then(|at| probe.bytes(at));
                return descriptor.is_some_and(|[descriptor]| descriptor & 0x08 == 0);
            }
            Some(0x184d_2a50..=0x184d_2a5f) => {
                let len = at.checked_add(4).and_then(|at| probe.le32(at)).map(u64::from);
                let Some(next) = len.and_then(|len| at.checked_add(8)?.checked_add(len)) else {
                    return false;
                };
                at = next;
            }
            // Skippable frames and nothing else.
            None => return skipped > 0 && at == probe.len(),
            Some(_) => return false,
        }
    }
    false
}

/// The frame format of LZ4, 1.6: version 1, blocks of 64 KiB to 4 MiB, no reserved bit. Or the one
/// before: a block of at most 8 MiB and a bit.
fn lz4(probe: &Probe<'_>) -> bool {
    let flags: Option<[u8; 2]> = probe.bytes(4);
    let frame = flags.is_some_and(|[flg, bd]| {
        flg & 0xc2 == 0x40 && bd & 0x8f == 0 && (4..=7).contains(&(bd >> 4))
    });
    let legacy = probe.le32(4).is_some_and(|len| (1..=(8 << 20) + (64 << 10)).contains(&len));
    (probe.has(0, b"\x04\x22\x4d\x18") && frame) || (probe.has(0, b"\x02\x21\x4c\x18") && legacy)
}

/// The level, then the magic number of a block or of the end.
fn bzip2(probe: &Probe<'_>) -> bool {
    let level: Option<[u8; 1]> = probe.bytes(3);
    probe.has(0, b"BZh")
        && level.is_some_and(|[level]| level.is_ascii_digit() && level != b'0')
        && (probe.has(4, b"1AY&SY") || probe.has(4, b"\x17\x72\x45\x38\x50\x90"))
}

/// `xz/doc/lzma-file-format.txt`: the usual properties, a dictionary of 2^n or 2^n + 2^(n-1) bytes, a
/// size that is not known or below 256 GiB, and a first byte of 0.
fn lzma(probe: &Probe<'_>) -> bool {
    let dictionary = probe.le32(1).filter(|size| *size >= 4096);
    let is_usual = dictionary.is_some_and(|size| {
        size.is_power_of_two() || (size % 3 == 0 && (size / 3).is_power_of_two())
    });
    let size = probe.bytes(5).map(u64::from_le_bytes);
    let is_size = size.is_some_and(|size| size == u64::MAX || (1..256 << 30).contains(&size));
    probe.has(0, b"\x5d") && is_usual && is_size && probe.has(13, b"\0")
}

/// `protocols/dumprestore.h` of BSD: a header of 1 KiB whose words add up to 84446.
fn dump(probe: &Probe<'_>) -> bool {
    const MAGIC: u32 = 60_012;
    const SUM: u32 = 84_446;
    let adds_up = |word: fn([u8; 4]) -> u32| {
        let header: Option<[u8; 1024]> = probe.bytes(0);
        header.is_some_and(|header| {
            let words = header.as_chunks::<4>().0.iter().copied().map(word);
            words.fold(0, u32::wrapping_add) == SUM
        })
    };
    (probe.le32(24) == Some(MAGIC) && adds_up(u32::from_le_bytes))
        || (probe.be32(24) == Some(MAGIC) && adds_up(u32::from_be_bytes))
}
