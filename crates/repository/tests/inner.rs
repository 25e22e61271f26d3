//! A volume that stays one below another reads as if both were one, and costs no more damage.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use foreign::Limits;
use proptest::prelude::{Strategy, prop, proptest};
use restore::image::Image;
use restore::reader::{Options, Reader};
use restore::snapfmt::{Column, ExtentMap, Mapping, MemberNo, Segment};
use restore::source::{
    ChunkRef, Extent, ExtentKind, Proof, RawSource, ReadCause, ReadError, Scratch, Source, StoredAt,
};
use restore::survey::survey;
use restore::{Layout, Progress, Volume, VolumeMember};
use snaprestore::stack::{Choice, InnerVolume, Of, Stack};
use support::forge::{DATA, Forged, striped};
use support::{Bytes, disks, expected, member, sha256_of};

/// What a chunk of a made-up member is: data, zeros, a hole, or lost.
const KINDS: usize = 4;
const UNIT: u64 = 24;

/// A member whose chunks are of these kinds.
struct Made {
    seed: u64,
    chunks: Vec<usize>,
}

impl Made {
    fn byte(&self, at: u64) -> u8 {
        let is_data = self.chunks[usize::try_from(at / UNIT).unwrap()] == 0;
        if is_data { u8::try_from((at * 7 + self.seed) % 250).unwrap() + 1 } else { 0 }
    }
}

impl Source for Made {
    fn size(&self) -> u64 {
        self.chunks.len() as u64 * UNIT
    }

    fn largest_chunk(&self) -> u32 {
        u32::try_from(UNIT).unwrap()
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        for n in range.start / UNIT..range.end.div_ceil(UNIT) {
            let chunk = n * UNIT..(n + 1) * UNIT;
            let at = StoredAt { offset: chunk.start, len: 12, crc: 0 };
            let kind = match self.chunks[usize::try_from(n).unwrap()] {
                1 => ExtentKind::Zero,
                2 => ExtentKind::Hole,
                _ => ExtentKind::Data(ChunkRef::new(chunk.clone(), None, at)),
            };
            out.push(Extent { range: chunk, kind });
        }
        Ok(())
    }

    fn read(&self, chunk: &ChunkRef, out: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        if self.chunks[usize::try_from(chunk.range.start / UNIT).unwrap()] == 3 {
            return Err(ReadError::new(
                Path::new("made"),
                ReadCause::NotThere { why: "it is made up" },
            ));
        }
        for (at, byte) in (chunk.range.start..).zip(out) {
            *byte = self.byte(at);
        }
        Ok(Proof::None)
    }
}

const CHUNKS: usize = 16;

fn options() -> Options {
    Options { cache: 1 << 20, threads: NonZeroUsize::MIN }
}

/// A volume of segments, each of so many columns, rows and bytes of a stripe; none is unmapped.
fn volume(made: &[Arc<Made>], shape: &[(usize, u64, u32)]) -> Option<Volume> {
    let mut free = vec![5_u64; made.len()];
    let (mut start, mut owned) = (0, Vec::new());
    for (width, rows, stripe) in shape {
        let each = rows * u64::from(*stripe);
        let columns: Vec<Column> = (0..*width)
            .map(|m| {
                let offset = free[m];
                free[m] += each;
                Column { member: MemberNo(u32::try_from(m).unwrap()), offset }
            })
            .collect();
        owned.push((start, each * (*width).max(1) as u64, *stripe, columns));
        start += each * (*width).max(1) as u64;
    }
    let segments = owned.iter().map(|(start, length, stripe, columns)| Segment {
        start: *start,
        length: *length,
        mapping: match columns.as_slice() {
            [] => Mapping::Unmapped,
            [one] => Mapping::Linear(*one),
            columns => Mapping::Striped { stripe: *stripe, columns },
        },
    });
    let sizes: Vec<u64> = made.iter().map(|m| m.size()).collect();
    let limits = restore::snapfmt::Limits::DEFAULT;
    let map = ExtentMap::new(start, &sizes, segments, &limits).ok()?;
    let member = |m: &Arc<Made>| {
        let source = Arc::clone(m) as Arc<dyn Source>;
        VolumeMember { volume_id: format!("m{}", m.seed).parse().unwrap(), source }
    };
    Volume::new(Layout::new(map), made.iter().map(member).collect()).ok()
}

/// What each byte of a volume is, found out byte by byte.
fn bytes(volume: &Volume, made: &[Arc<Made>]) -> Vec<(usize, u8)> {
    let at = |logical| match volume.layout().to_member(logical) {
        None => (2, 0),
        Some(place) => {
            let member = &made[place.member.index()];
            let kind = member.chunks[usize::try_from(place.range.start / UNIT).unwrap()];
            (kind, member.byte(place.range.start))
        }
    };
    (0..volume.size()).map(at).collect()
}

fn shapes() -> impl Strategy<Value = Vec<(usize, u64, u32)>> {
    prop::collection::vec((0_usize..4, 1_u64..5, 1_u32..40), 1..5)
}

proptest! {
    #[test]
    fn every_byte_is_what_it_is_in_its_own_member(
        kinds in prop::collection::vec(prop::collection::vec(0..KINDS, CHUNKS), 3),
        shape in shapes(),
        pick in (0_u64..2000, 0_u64..2000),
    ) {
        let made: Vec<Arc<Made>> =
            (0..).zip(kinds).map(|(seed, chunks)| Arc::new(Made { seed, chunks })).collect();
        let Some(volume) = volume(&made, &shape) else { return Ok(()) };
        let (size, expected) = (volume.size(), bytes(&volume, &made));
        let inner = InnerVolume::new(volume, &"inner".parse().unwrap(), &options()).unwrap();
        let (a, b) = (pick.0 % size, pick.1 % size);
        let range = a.min(b)..a.max(b) + 1;
        let (mut found, mut scratch) = (Vec::new(), Scratch::new().unwrap());
        inner.extents(range.clone(), &mut found).unwrap();
        assert!(found[0].range.start <= range.start);
        assert!(found.last().unwrap().range.end >= range.end);
        assert!(found.windows(2).all(|pair| pair[0].range.end == pair[1].range.start), "{found:?}");
        for extent in found {
            let place = |r: &Range<u64>| {
                usize::try_from(r.start).unwrap()..usize::try_from(r.end).unwrap()
            };
            let own = &expected[place(&extent.range)];
            match extent.kind {
                ExtentKind::Zero => assert!(own.iter().all(|(kind, _)| *kind == 1)),
                ExtentKind::Hole => assert!(own.iter().all(|(kind, _)| *kind == 2)),
                ExtentKind::Inherit => panic!("nobody's"),
                ExtentKind::Data(chunk) => {
                    // The same whatever was asked for.
                    assert_eq!(chunk.range, extent.range);
                    assert!(chunk.len() <= inner.largest_chunk() as usize);
                    let mut again = Vec::new();
                    inner.extents(chunk.range.end - 1..chunk.range.end, &mut again).unwrap();
                    assert_eq!(again[0].range, chunk.range);
                    let mut out = vec![0; chunk.len()];
                    match inner.read(&chunk, &mut out, &mut scratch) {
                        Ok(_) => assert!(own.iter().map(|(_, byte)| *byte).eq(out)),
                        Err(_) => assert!(own.iter().all(|(kind, _)| *kind == 3)),
                    }
                }
            }
        }
    }
}

fn stack(disks: &[Bytes], flattened: usize) -> Stack {
    let named = disks.iter().enumerate().map(|(n, bytes)| member(&format!("disk{n}"), bytes));
    let limits = Limits { flattened, ..Limits::DEFAULT };
    Stack::within(named.collect(), &limits).unwrap()
}

/// A striped group, each physical volume of which lies on stripes over two disks.
fn stripes_over_stripes() -> Vec<Bytes> {
    let mut all = Vec::new();
    for (n, (_, pv)) in (1..).zip(disks("lvm2/striped-2x2", "gen2")) {
        let forged = Forged { uuid: [n; 16], ..Forged::RAID0 };
        for (place, half) in (0..).zip(striped(&pv, forged.chunk, 2)) {
            all.push(forged.member(place, 3, &half));
        }
    }
    all
}

#[test]
fn stripes_over_stripes_that_are_kept_apart() {
    let disks = stripes_over_stripes();
    let (_, name, hash, _) = expected("lvm2/striped-2x2").pop().unwrap();
    let (group, name) = name.split_once('/').unwrap();
    let of = Of::LogicalVolume { group: group.into(), name: name.into() };
    let choice = Choice { of, partition: None };
    let flat = stack(&disks, Limits::DEFAULT.flattened).volume(&choice, false).unwrap();
    let apart = stack(&disks, 8).volume(&choice, false).unwrap();
    assert_eq!((flat.members().len(), apart.members().len()), (disks.len(), disks.len() / 2));
    assert!(apart.layout().map().len() < 8 && flat.layout().map().len() > 100);
    let id = &apart.members()[0].volume_id;
    assert_eq!(id.as_str(), "array-01010101-01010101-01010101-01010101");
    assert_eq!(sha256_of(flat), hash);
    assert_eq!(sha256_of(apart), hash);

    // What is lost with a disk is the same bytes.
    let lost = &disks[1..];
    let read = |flattened| {
        let volume = stack(lost, flattened).volume(&choice, true).unwrap();
        Reader::new(Arc::new(volume), &Options::default()).unwrap()
    };
    let (flat, apart) = (read(Limits::DEFAULT.flattened), read(8));
    let (mut good, mut bad) = (0, 0);
    let step = 16 << 10;
    for at in (0..flat.size()).step_by(step) {
        let (mut a, mut b) = (vec![0; step], vec![0; step]);
        let (of_flat, of_apart) = (flat.read_at(at, &mut a), apart.read_at(at, &mut b));
        assert_eq!(of_flat.is_ok(), of_apart.is_ok(), "{at}");
        assert!(of_flat.is_err() || a == b, "{at}");
        *(if of_flat.is_ok() { &mut good } else { &mut bad }) += 1;
    }
    assert!(good > 0 && bad > 0, "{good} {bad}");
}

/// Stripes over stripes of 4 TiB that hold next to nothing.
#[test]
fn holes_stay_holes() {
    const SIZE: u64 = 1 << 40;
    let dir = tempfile::tempdir().unwrap();
    let chunk = Forged::RAID0.chunk as u64;
    let data = DATA as u64;
    let each = |len: u64| (len - data) / chunk * chunk;
    let lower = each(SIZE);
    let mut members = Vec::new();
    let mut files = Vec::new();
    for n in 0..4_u8 {
        let path = dir.path().join(format!("disk{n}"));
        let file = File::create_new(&path).unwrap();
        file.set_len(SIZE).unwrap();
        let forged = Forged { uuid: [1 + n / 2; 16], ..Forged::RAID0 };
        file.write_all_at(&forged.superblock((n % 2).into(), 1, lower), 4096).unwrap();
        files.push((path, file));
    }
    // The first disk of each pair has the superblock of the array over both pairs.
    let upper = Forged { uuid: [9; 16], ..Forged::RAID0 };
    for (place, first) in [(0, 0), (1, 2)] {
        let superblock = upper.superblock(place, 1, each(2 * lower));
        files[first].1.write_all_at(&superblock, data + 4096).unwrap();
    }
    // Where a byte of the upper array is: on which disk, and where.
    let place = |at: u64| {
        let (pair, within) = (at / chunk % 2, data + at / (2 * chunk) * chunk + at % chunk);
        let (disk, offset) = (within / chunk % 2, within / (2 * chunk) * chunk + within % chunk);
        (usize::try_from(2 * pair + disk).unwrap(), data + offset)
    };
    let written: Vec<u64> = [0, 77, 31 << 20, (1 << 40) + 5, (4 << 40) - (4 << 30)]
        .into_iter()
        .map(|n| n * chunk)
        .filter(|at| *at < 4 * lower - data)
        .collect();
    for at in &written {
        let (disk, offset) = place(*at);
        files[disk].1.write_all_at(&at.to_le_bytes(), offset + 100).unwrap();
    }
    for (path, _) in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let source = RawSource::open(path, 64 << 10).unwrap();
        members.push(VolumeMember { volume_id: name.parse().unwrap(), source: Arc::new(source) });
    }
    let stack = Stack::of_members(members).unwrap();
    let volume = stack.volume(&Choice::default(), false).unwrap();
    assert_eq!(volume.members().len(), 2);
    let counts = survey(&volume, 0..volume.size(), &Progress::default()).unwrap();
    assert_eq!(counts.zero + counts.data, volume.size());
    assert!(counts.data <= written.len() as u64 * 2 * chunk, "{counts:?}");
    let reader = Reader::new(Arc::new(volume), &Options::default()).unwrap();
    for at in written {
        let mut found = [0; 8];
        reader.read_at(at + 100, &mut found).unwrap();
        assert_eq!(u64::from_le_bytes(found), at);
    }
}
