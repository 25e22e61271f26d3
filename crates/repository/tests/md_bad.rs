//! Blocks that members of an array list as bad, and superblocks that say what cannot be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
#![allow(clippy::single_range_in_vec_init, reason = "ranges are listed")]

mod support;

use std::ops::Range;
use std::sync::Arc;

use disk::md::{MdError, Superblock};
use restore::image::Image as _;
use restore::reader::{Options, Reader};
use snaprestore::stack::{Choice, Of, Problem, Stack, Unassembled};
use support::forge::{DATA, Forged, seal, striped};
use support::{Bytes, member, sha256, sha256_of};

const MIB: usize = 1 << 20;
/// Where the superblock is, and where its list of bad blocks.
const AT: usize = 4096;
const LIST: usize = AT + 16 * 512;
const MIRROR: Forged = Forged { level: 1, chunk: 0, ..Forged::RAID0 };

/// What a superblock is changed by.
type Change = fn(&mut [u8]);

fn stack(disks: &[Bytes]) -> Stack {
    let named = disks.iter().enumerate().map(|(n, disk)| member(&format!("disk{n}"), disk));
    Stack::of_members(named.collect()).unwrap()
}

fn array() -> Choice {
    Choice { of: Of::Array("a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5".into()), partition: None }
}

/// The superblock of a member as `change` leaves it.
fn changed(disk: &Bytes, change: impl FnOnce(&mut [u8])) -> Bytes {
    let mut disk = (**disk).clone();
    let roles = u32::from_le_bytes(disk[AT + 220..][..4].try_into().unwrap()) as usize;
    let superblock = &mut disk[AT..][..256 + 2 * roles];
    change(superblock);
    seal(superblock);
    Arc::new(disk)
}

/// A member that lists these bytes of its data as bad. What is there is overwritten: it is what a write
/// left that failed.
fn with_bad(disk: &Bytes, ranges: &[Range<usize>]) -> Bytes {
    let mut disk = (*changed(disk, |superblock| {
        superblock[8] |= 8;
        superblock[186] = 1;
        superblock[188] = 16;
    }))
    .clone();
    disk[LIST..LIST + 512].fill(0xff);
    for (n, range) in ranges.iter().enumerate() {
        let (start, sectors) = ((DATA + range.start) / 512, range.len() / 512);
        let entry = (start as u64) << 10 | sectors as u64;
        disk[LIST + 8 * n..][..8].copy_from_slice(&entry.to_le_bytes());
        disk[DATA + range.start..DATA + range.end].fill(0xbd);
    }
    Arc::new(disk)
}

fn content(len: usize) -> Vec<u8> {
    (0..len / 8).flat_map(|n| (n as u64 * 257).to_be_bytes()).collect()
}

/// All that is read of each byte that is there; 0xee for what is lost.
fn salvaged(disks: &[Bytes]) -> Vec<u8> {
    let volume = stack(disks).volume(&array(), true).unwrap();
    let reader = Reader::new(Arc::new(volume), &Options::default()).unwrap();
    let mut all = vec![0xee; usize::try_from(reader.size()).unwrap()];
    for (n, sector) in all.chunks_mut(512).enumerate() {
        let mut bytes = vec![0; sector.len()];
        if reader.read_at(n as u64 * 512, &mut bytes).is_ok() {
            sector.copy_from_slice(&bytes);
        }
    }
    all
}

#[test]
fn bad_blocks_are_read_from_the_other_copy() {
    let data = content(MIB);
    let disks = [0, 1].map(|place| MIRROR.member(place, 7, &data));
    let bad = [0..4096, 65536..66048, MIB - 1024..MIB];
    for (one, other) in [(&bad[..], &[][..]), (&bad[..2], &bad[2..]), (&[], &bad)] {
        let listed = [with_bad(&disks[0], one), with_bad(&disks[1], other)];
        let found = stack(&listed);
        assert_eq!(sha256_of(found.volume(&array(), false).unwrap()), sha256(&data));
        let said: Vec<String> = found
            .remarks(found.choose(&array()).unwrap())
            .iter()
            .map(ToString::to_string)
            .collect();
        let lists = [one, other].iter().filter(|list| !list.is_empty()).count();
        assert_eq!(said.len(), lists, "{said:?}");
        assert!(said.iter().all(|said| said.contains("bytes as bad: copies of them are read")));
    }
}

#[test]
fn bad_blocks_of_which_no_copy_is_there() {
    let data = content(MIB);
    let disks = [0, 1].map(|place| MIRROR.member(place, 7, &data));
    let both = [with_bad(&disks[0], &[0..4096, 9216..9728]), with_bad(&disks[1], &[2048..8192])];
    let alone = [with_bad(&disks[1], &[2048..4096])];
    for listed in [&both[..], &alone[..]] {
        let refused = stack(listed).volume(&array(), false).unwrap_err();
        let Unassembled::Problems { doubts, can_be_salvaged: true, .. } = refused else {
            panic!("{refused}")
        };
        assert!(matches!(*doubts[0].problem, Problem::BadBlocks { bytes: 2048, .. }), "{doubts:?}");
        assert!(doubts.iter().all(|doubt| !doubt.problem.is_absence() && !doubt.about.is_empty()));
        let mut expected = data.clone();
        expected[2048..4096].fill(0xee);
        assert_eq!(sha256(&salvaged(listed)), sha256(&expected));
    }
}

/// Of stripes there is one copy only; of pairs the other of each.
#[test]
fn bad_blocks_of_striped_members() {
    let data = content(2 * MIB);
    let parts = striped(&data, Forged::RAID0.chunk, 2);
    let lone = Forged::RAID0.member(0, 7, &parts[0]);
    let disks = [with_bad(&lone, &[512..1024]), Forged::RAID0.member(1, 7, &parts[1])];
    let mut expected = data.clone();
    expected[512..1024].fill(0xee);
    stack(&disks).volume(&array(), false).unwrap_err();
    assert_eq!(sha256(&salvaged(&disks)), sha256(&expected));

    let pairs = Forged { level: 10, layout: 0x102, disks: 4, ..Forged::RAID0 };
    let disks: Vec<Bytes> = (0..4).map(|n| pairs.member(n, 7, &parts[n as usize / 2])).collect();
    let listed = [
        with_bad(&disks[0], &[512..1024]),
        with_bad(&disks[1], &[2048..4096]),
        with_bad(&disks[2], &[512..1024]),
        disks[3].clone(),
    ];
    assert_eq!(sha256_of(stack(&listed).volume(&array(), false).unwrap()), sha256(&data));
}

#[test]
fn what_is_lost_says_why() {
    let parts = striped(&content(MIB), Forged::RAID0.chunk, 2);
    let disks = [0, 1].map(|n| Forged::RAID0.member(n, 7, &parts[n as usize]));
    let cut = Arc::new(disks[1][..disks[1].len() - 4096].to_vec());
    let bad = with_bad(&disks[1], &[MIB / 2 - 512..MIB / 2]);
    let cases: [(&[Bytes], &str); 3] = [
        (&[disks[0].clone(), cut], "is cut off before these bytes"),
        (&[disks[0].clone(), bad], "lists these bytes as bad blocks"),
        (&disks[..1], "is not there"),
    ];
    for (disks, words) in cases {
        let volume = stack(disks).volume(&array(), true).unwrap();
        let reader = Reader::new(Arc::new(volume), &Options::default()).unwrap();
        let error = reader.read_at(reader.size() - 512, &mut [0; 512]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// The kernel takes no such member, nor writes one.
#[test]
fn what_cannot_be_in_a_superblock() {
    let disk = MIRROR.member(0, 7, &content(MIB));
    let cases: [(&str, u64, Change); 5] = [
        ("where its data start", 8, |sb| sb[128..136].copy_from_slice(&8_u64.to_le_bytes())),
        ("where its data start", 0, |sb| sb[128..136].copy_from_slice(&0_u64.to_le_bytes())),
        ("where its bitmap is", 2050, |sb| {
            sb[8] |= 1;
            sb[96..100].copy_from_slice(&2050_u32.to_le_bytes());
        }),
        ("where its list of bad blocks is", 2060, |sb| {
            sb[8] |= 8;
            sb[186] = 1;
            sb[188..192].copy_from_slice(&2060_u32.to_le_bytes());
        }),
        ("the size of its list of bad blocks", 9, |sb| {
            sb[8] |= 8;
            sb[186] = 9;
        }),
    ];
    for (words, value, change) in cases {
        let error = Superblock::read(&*changed(&disk, change)).unwrap_err();
        let MdError::Field { offset: 4096, field, found } = &error else { panic!("{error}") };
        assert!(field.starts_with(words) && *found == value, "{error}");
    }
    let beside = changed(&disk, |sb| {
        sb[8] |= 1;
        sb[96] = 8;
    });
    Superblock::read(&*beside).unwrap().unwrap();
}
