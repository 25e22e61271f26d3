//! Arrays of the real mdadm and kernel are read as the kernel read them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use disk::md::{Array, FoundMember, Level, MemberState, Refused, Superblock, Version, arrays};
use disk::pieces::{Budget, PieceBytes};
use restore::snapfmt::ReadAt;
use support::forge::Forged;
use support::{Bytes, disks, expected, sha256};

const SAMPLES: [(&str, Level); 4] = [
    ("mdraid/linear-2x", Level::Linear),
    ("mdraid/raid0-2x-64k", Level::Raid0),
    ("mdraid/raid0-3x-uneven", Level::Raid0),
    ("mdraid/raid1-2x", Level::Raid1),
];

/// The only array on these disks.
fn array(disks: &[(String, Bytes)]) -> Array {
    let read = |(device, (_, bytes)): (usize, &(String, Bytes))| {
        let superblock = Superblock::read(&**bytes).unwrap().unwrap();
        FoundMember { device, superblock }
    };
    let found: Vec<FoundMember> = disks.iter().enumerate().map(read).collect();
    let mut arrays = arrays(&found);
    assert_eq!(arrays.len(), 1);
    arrays.remove(0)
}

fn volume(array: &Array, disks: &[(String, Bytes)]) -> Result<PieceBytes, Refused> {
    let on = |m: &disk::md::Member| m.device.map(|d| Arc::clone(&disks[d].1) as Arc<dyn ReadAt>);
    Ok(PieceBytes::new(
        array.pieces(&mut Budget::default())?,
        array.members.iter().map(on).collect(),
    ))
}

#[test]
fn every_array_reads_as_it_did_when_it_was_made() {
    for (sample, level) in SAMPLES {
        for (state, _, hash, size) in expected(sample) {
            let mut disks = disks(sample, &state);
            for _ in 0..disks.len() {
                disks.rotate_left(1);
                let array = array(&disks);
                assert_eq!((array.level, array.version), (level, Version::V12));
                let volume = volume(&array, &disks).unwrap();
                assert_eq!(
                    (volume.len(), sha256(&volume)),
                    (size, hash.clone()),
                    "{sample} {state}"
                );
            }
        }
    }
}

#[test]
fn a_mirror_is_whole_without_one_of_its_legs() {
    let disks = disks("mdraid/raid1-2x", "gen0");
    for leg in &disks {
        let one = [leg.clone()];
        let array = array(&one);
        assert_eq!(array.members.iter().filter(|m| m.state == MemberState::Missing).count(), 1);
        assert_eq!(sha256(&volume(&array, &one).unwrap()), expected("mdraid/raid1-2x")[0].2);
    }
}

#[test]
fn stripes_of_unequal_members_are_refused_where_nothing_says_how_they_lie() {
    let mut disks = disks("mdraid/raid0-3x-uneven", "gen0");
    for (_, disk) in &mut disks {
        let mut bytes = (**disk).clone();
        // Without the feature bit, the layout says nothing.
        bytes[4096 + 9] = 0;
        let sum = u32::from_le_bytes(bytes[4096 + 216..][..4].try_into().unwrap()) - 0x1000;
        bytes[4096 + 216..][..4].copy_from_slice(&sum.to_le_bytes());
        *disk = Arc::new(bytes);
    }
    assert_eq!(array(&disks).pieces(&mut Budget::default()), Err(Refused::Ambiguous));
}

/// Version 0.90 has no place for it, and the kernel does not believe what stands there.
#[test]
fn stripes_of_unequal_members_of_version_0_90_are_refused_whatever_they_say() {
    let forged = Forged { version: 0, layout: 2, ..Forged::RAID0 };
    let found = [1, 2].map(|mib: usize| {
        let disk = forged.member(u32::try_from(mib).unwrap() - 1, 1, &vec![0; mib << 20]);
        let superblock = Superblock::read(&*disk).unwrap().unwrap();
        assert_eq!(superblock.version, Version::V090);
        FoundMember { device: mib, superblock }
    });
    // A rest that is on one member only is the same both ways.
    arrays(&found)[0].pieces(&mut Budget::default()).unwrap();
    let forged = Forged { disks: 3, ..forged };
    let found = [1, 2, 3].map(|mib: usize| {
        let disk = forged.member(u32::try_from(mib).unwrap() - 1, 1, &vec![0; (mib << 20) - 65536]);
        FoundMember { device: mib, superblock: Superblock::read(&*disk).unwrap().unwrap() }
    });
    assert_eq!(arrays(&found)[0].pieces(&mut Budget::default()), Err(Refused::Ambiguous));
}
