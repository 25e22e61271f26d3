//! Archives of files.

use super::{Format, Probe, magic, own};

const UNPACK: &str = "unpack it and give the disk image that is in it";

pub(super) const FORMATS: &[Format] = &[
    own("tar archive", UNPACK, tar),
    magic("AFF4 evidence file", "aff4imager gives the disk in it", |p| zip(p) && aff4(p)),
    magic("zip archive", UNPACK, |p| {
        zip(p) || p.has(0, b"PK\x05\x06") || p.has(0, b"PK\x07\x08PK")
    }),
    magic("7z archive", UNPACK, |p| p.has(0, b"7z\xbc\xaf\x27\x1c\0")),
    magic("rar archive", UNPACK, |p| {
        p.has(0, b"Rar!\x1a\x07\0") || p.has(0, b"Rar!\x1a\x07\x01\0")
    }),
    magic("cpio archive", UNPACK, cpio),
    magic("ar archive", UNPACK, |p| p.has(0, b"!<arch>\n")),
    magic("xar archive", UNPACK, |p| p.has(0, b"xar!\0\x1c\0\x01")),
    magic("cabinet archive", UNPACK, |p| p.has(0, b"MSCF\0\0\0\0")),
    magic("WIM archive", "wimlib-imagex extract gives what is in it", |p| p.has(0, b"MSWIM\0\0\0")),
    magic("dar archive", "dar -x gives what is in it", dar),
    magic("segment of a borg repository", "borg extract gives what is in it", |p| {
        p.has(0, b"BORG_SEG")
    }),
];

/// A header of 512 bytes whose sum it gives itself in octal digits, the field counted as blanks: of
/// ustar, GNU and those before them. Some of the oldest add up signed bytes (`tar(5)`).
fn tar(probe: &Probe<'_>) -> bool {
    let header: Option<[u8; 512]> = probe.bytes(0);
    header.is_some_and(|header| {
        let (before, rest) = header.split_at(148);
        let (field, after) = rest.split_at(8);
        let text = field.split(|byte| matches!(byte, 0)).next().unwrap_or(field);
        let claimed = std::str::from_utf8(text).ok().map(str::trim);
        let claimed = claimed.and_then(|digits| i32::from_str_radix(digits, 8).ok());
        let bytes = || before.iter().chain(after).copied();
        let is_sum = |sum: i32| claimed == Some(sum + 8 * i32::from(b' '));
        // No byte but those of the field adds up to blanks only.
        bytes().any(|byte| byte != 0)
            && (is_sum(bytes().map(i32::from).sum())
                || is_sum(bytes().map(|byte| i32::from(byte.cast_signed())).sum()))
    })
}

/// The header of a first file (`APPNOTE.TXT`, 4.3.7): a version from 1.0 to 6.3 and a method there is.
fn zip(probe: &Probe<'_>) -> bool {
    let half = |at| probe.bytes(at).map(u16::from_le_bytes);
    probe.has(0, b"PK\x03\x04")
        && half(4).is_some_and(|version| (10..=63).contains(&(version & 0xff)))
        && half(8).is_some_and(|method| matches!(method, 0..=20 | 93..=99))
}

/// A zip archive whose first file is the one of AFF4.
fn aff4(probe: &Probe<'_>) -> bool {
    probe.has(30, b"container.description") || probe.has(30, b"information.turtle")
}

/// Headers in octal or hexadecimal digits, or in words of 16 bits: with a name of a length that can be
/// and the type of a file there is.
fn cpio(probe: &Probe<'_>) -> bool {
    let octal: Option<[u8; 76]> = probe.bytes(0);
    let hex: Option<[u8; 110]> = probe.bytes(0);
    let is_octal = octal.is_some_and(|h| {
        h.starts_with(b"070707") && h.iter().all(|digit| matches!(digit, b'0'..=b'7'))
    });
    let is_hex = hex.is_some_and(|h| {
        (h.starts_with(b"070701") || h.starts_with(b"070702"))
            && h.iter().all(u8::is_ascii_hexdigit)
    });
    let words = |word: fn([u8; 2]) -> u16| {
        let half = |at| probe.bytes(at).map(word);
        let name = half(20).filter(|len| (2..=4096).contains(len));
        let ends = name.is_some_and(|len| probe.has(25 + u64::from(len), b"\0"));
        let kind = half(6).map(|mode| mode >> 12);
        half(0) == Some(0o070_707) && ends && matches!(kind, Some(1 | 2 | 4 | 6 | 8 | 10 | 12))
    };
    is_octal || is_hex || words(u16::from_le_bytes) || words(u16::from_be_bytes)
}

/// A slice (`src/libdar/header.hpp`): magic number, a label of ten bytes, and two flags, the second of
/// which is followed by where the data are.
fn dar(probe: &Probe<'_>) -> bool {
    let flags: Option<[u8; 2]> = probe.bytes(14);
    probe.be32(0) == Some(123)
        && flags.is_some_and(|[last, more]| {
            matches!(last, b'T' | b'N' | b'E') && matches!(more, b'N' | b'S' | b'T')
        })
}
