//! Layers on each other: partitions, arrays and volume groups in any order, and every kind of array.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use disk::md::MemberState;
use restore::image::{Image, ImageBytes};
use restore::reader::{Options, Reader};
use restore::snapfmt::ReadAt;
use restore::{Volume, VolumeMember};
use snaprestore::stack::{Choice, Chosen, NotChosen, Of, Problem, Stack};
use support::forge::{Forged, disk, striped};
use support::{Bytes, disks, expected, member, sha256_of};

fn stack(disks: &[Bytes]) -> Stack {
    let named = disks.iter().enumerate().map(|(n, bytes)| member(&format!("disk{n}"), bytes));
    Stack::of_members(named.collect::<Vec<VolumeMember>>()).unwrap()
}

fn bytes(volume: Volume) -> Vec<u8> {
    let reader = Reader::new(Arc::new(volume), &Options::default()).unwrap();
    let mut out = vec![0; usize::try_from(reader.size()).unwrap()];
    ImageBytes(&reader).read_exact_at(&mut out, 0).unwrap();
    out
}

fn only(disks: &[Bytes]) -> Vec<u8> {
    bytes(stack(disks).volume(&Choice::default(), false).unwrap())
}

/// Bytes that tell where they are.
fn content(len: usize) -> Vec<u8> {
    (0..len / 8).flat_map(|n| (n as u64 ^ 0x5a5a_0000).to_be_bytes()).collect()
}

#[test]
fn a_group_on_an_array_on_partitions() {
    let pvs = disks("lvm2/linear-3pv", "gen0");
    // The second physical volume lies on stripes over partitions of two disks.
    let halves = striped(&pvs[1].1, 64 << 10, 2);
    let first = Forged::RAID0.member(0, 3, &halves[0]);
    let second = Forged::RAID0.member(1, 3, &halves[1]);
    let own = |n: usize| -> &[u8] { &pvs[n].1 };
    let disks = [disk(&[(0xfd, &second), (0x8e, own(0))]), disk(&[(0x8e, own(2)), (0xfd, &first)])];
    let stack = stack(&disks);
    for (state, path, hash, _) in expected("lvm2/linear-3pv") {
        let (group, name) = path.split_once('/').unwrap();
        let of = Of::LogicalVolume { group: group.into(), name: name.into() };
        if state == "gen0" {
            let volume = stack.volume(&Choice { of, partition: None }, false).unwrap();
            assert_eq!(sha256_of(volume), hash, "{path}");
        }
    }
    // Disks that hold nothing but members of the group are no volumes beside those on it.
    let NotChosen::Several { candidates } = stack.choose(&Choice::default()).unwrap_err() else {
        panic!("one was chosen")
    };
    let on_the_group = |chosen: &Chosen| matches!(chosen, Chosen::LogicalVolume { .. });
    assert!(candidates.len() == 2 && candidates.iter().all(on_the_group), "{candidates:?}");

    // Without one of the disks nothing of it can be proved.
    let half = self::stack(&disks[1..]);
    let (group, name) = ("vg_lin".into(), "data".into());
    let choice = Choice { of: Of::LogicalVolume { group, name }, partition: None };
    half.volume(&choice, false).unwrap_err();
}

#[test]
fn partitions_in_a_logical_volume_and_on_a_disk() {
    let (a, b) = (content(3 << 20), content(2 << 20));
    let whole = disk(&[(0x83, &a), (0x83, &b)]);
    let choice = |number| Choice { of: Of::Only, partition: Some(number) };
    let plain = stack(std::slice::from_ref(&whole));
    assert!(bytes(plain.volume(&choice(1), false).unwrap()) == a);
    assert!(bytes(plain.volume(&choice(2), false).unwrap()) == b);
    assert!(matches!(plain.choose(&choice(3)), Err(NotChosen::None { .. })));
    assert!(bytes(plain.volume(&Choice::default(), false).unwrap()) == **whole);

    // The same on stripes.
    let halves = striped(&whole, 64 << 10, 2);
    let members = [Forged::RAID0.member(1, 1, &halves[1]), Forged::RAID0.member(0, 1, &halves[0])];
    let array = stack(&members);
    assert!(bytes(array.volume(&choice(2), false).unwrap()) == b);
    let of = Of::Array("a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5".into());
    let named = Choice { of, partition: Some(1) };
    assert!(bytes(array.volume(&named, false).unwrap()) == a);
    let named = Choice { of: Of::Array("forged:array".into()), partition: None };
    assert!(bytes(array.volume(&named, false).unwrap()) == **whole);
}

#[test]
fn every_version_and_level() {
    let chunk = 64 << 10;
    let volume = content(4 << 20);
    let halves = striped(&volume, chunk, 2);
    for version in [0, 10, 11, 12] {
        for (level, parts, expected) in [
            (0, [&halves[0], &halves[1]], &volume),
            (-1, [&halves[0], &halves[1]], &[halves[0].clone(), halves[1].clone()].concat()),
            (1, [&volume, &volume], &volume),
        ] {
            if version == 0 && level == -1 {
                continue; // The end of each member counts too; see below.
            }
            let forged = Forged { version, level, ..Forged::RAID0 };
            let disks = [forged.member(1, 7, parts[1]), forged.member(0, 7, parts[0])];
            assert!(only(&disks) == *expected, "version {version} level {level}");
        }
    }
    // In version 0.90 all up to the superblock is data.
    let forged = Forged { version: 0, level: -1, ..Forged::RAID0 };
    let parts: Vec<Vec<u8>> = volume.chunks(2 << 20).map(<[u8]>::to_vec).collect();
    assert!(only(&[forged.member(0, 7, &parts[0]), forged.member(1, 7, &parts[1])]) == volume);
}

#[test]
fn stripes_of_copies() {
    let chunk = 64 << 10;
    for (disks, near) in [(4, 2), (2, 2), (3, 2), (6, 3), (5, 2), (3, 1)] {
        let rows = 12;
        let chunks = rows * disks / near;
        let volume = content(chunks * chunk);
        let mut parts = vec![Vec::new(); disks];
        for (n, bytes) in volume.chunks(chunk).enumerate() {
            for copy in 0..near {
                parts[(n * near + copy) % disks].extend_from_slice(bytes);
            }
        }
        let layout = 0x100 | u32::try_from(near).unwrap();
        let disks = u32::try_from(disks).unwrap();
        let forged = Forged { level: 10, layout, disks, ..Forged::RAID0 };
        let members: Vec<Bytes> =
            (0..).zip(&parts).map(|(place, part)| forged.member(place, 1, part)).collect();
        assert!(only(&members) == volume, "{near} copies on {disks}");
        if near > 1 {
            for lost in 0..members.len() {
                let mut rest = members.clone();
                rest.remove(lost);
                let stack = stack(&rest);
                let volume = stack.volume(&Choice::default(), false).unwrap();
                assert!(
                    bytes(volume) == self::content(chunks * chunk),
                    "without {lost} of {disks}"
                );
            }
        }
    }
}

#[test]
fn a_member_left_behind_or_of_another_array_is_named() {
    let volume = content(4 << 20);
    let halves = striped(&volume, 64 << 10, 2);
    let new = |place: u32, part: &[u8]| Forged::RAID0.member(place, 9, part);
    let old = |place: u32, part: &[u8]| Forged::RAID0.member(place, 4, part);
    let state = |disks: &[Bytes]| {
        let stack = stack(disks);
        stack.volume(&Choice::default(), false).unwrap_err();
        let no = stack.choose(&Choice::default()).unwrap();
        let problems = stack.problems(no);
        let [(_, problem)] = problems.as_slice() else { panic!("{problems:?}") };
        let Problem::Member { place, state, .. } = &***problem else { panic!("{problem:?}") };
        (*place, state.clone())
    };
    let (a, b) = (&halves[0], &halves[1]);
    assert_eq!(state(&[new(0, a), old(1, b)]), (1, MemberState::Older { events: 4 }));
    assert_eq!(state(&[new(0, a)]), (1, MemberState::Missing));
    let doubled = MemberState::Doubled { devices: vec![1, 2] };
    assert_eq!(state(&[new(0, a), new(1, b), new(1, b)]), (1, doubled));
    let other = Forged { chunk: 32 << 10, ..Forged::RAID0 }.member(0, 9, a);
    let differs = MemberState::Differs { field: "its chunk size" };
    assert_eq!(state(&[other, new(1, b)]).1, differs);

    // Of two copies the newer one is read.
    let mirror = Forged { level: 1, ..Forged::RAID0 };
    let behind = content(2 << 20).iter().map(|b| !b).collect::<Vec<u8>>();
    let copies = [mirror.member(0, 3, &behind), mirror.member(1, 9, &volume[..2 << 20])];
    assert!(only(&copies) == volume[..2 << 20]);
}

/// A table in the first sector with one partition, as `fdisk(8)` writes it over what was there.
fn partitioned(disk: &Bytes, first: usize, data: &[u8]) -> Bytes {
    let mut disk = (**disk).clone();
    disk[446 + 4] = 0x83;
    disk[446 + 8..446 + 12].copy_from_slice(&u32::try_from(first / 512).unwrap().to_le_bytes());
    let sectors = u32::try_from(data.len() / 512).unwrap();
    disk[446 + 12..446 + 16].copy_from_slice(&sectors.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[first..first + data.len()].copy_from_slice(data);
    Arc::new(disk)
}

/// lvm2 takes no disk with partitions for a physical volume.
#[test]
fn a_disk_with_partitions_that_was_a_physical_volume() {
    let data = content(1 << 20);
    let disks: Vec<Bytes> =
        disks("lvm2/mda-wrapped", "gen0").into_iter().map(|(_, disk)| disk).collect();
    let disk = partitioned(&disks[0], 2 << 20, &data);
    let found = stack(std::slice::from_ref(&disk));
    assert_eq!(found.groups().len(), 0);
    let partition = Choice { of: Of::Only, partition: Some(1) };
    assert!(bytes(found.volume(&partition, false).unwrap()) == data);
    assert!(bytes(found.volume(&Choice::default(), false).unwrap()) == **disk);
    let said = found.remarks(found.choose(&partition).unwrap());
    let [remark] = said.as_slice() else { panic!("{said:?}") };
    assert!(remark.text.contains("left over from before"), "{}", remark.text);
    // What protects a GPT is no partition.
    let mut protected = (*disk).clone();
    protected[446 + 4] = 0xee;
    assert_eq!(stack(&[Arc::new(protected)]).groups().len(), 1);
}

/// A table before the data of an array may be older or newer than the array.
#[test]
fn a_disk_with_partitions_and_the_superblock_of_an_array() {
    let (data, own) = (content(4 << 20), content(1 << 20));
    for version in [0, 10, 12] {
        let forged = Forged { version, level: 1, chunk: 0, ..Forged::RAID0 };
        let pair: Vec<Bytes> =
            [0, 1].map(|place| partitioned(&forged.member(place, 7, &data), 2 << 20, &own)).into();
        let array = Choice { of: Of::Array("array".into()), partition: None };
        let partition = Choice { of: Of::Only, partition: Some(1) };
        let found = stack(&pair[..1]);
        if version < 12 {
            // The table is the array's own.
            let whole = bytes(found.volume(&Choice::default(), false).unwrap());
            assert!(whole == pair[0][..4 << 20]);
            assert!(bytes(found.volume(&partition, false).unwrap()) == own);
            continue;
        }
        for found in [&found, &stack(&pair)] {
            let several = found.choose(&Choice::default()).unwrap_err();
            let NotChosen::Several { candidates } = &several else { panic!("{several}") };
            let is_array = |chosen: &&Chosen| matches!(chosen, Chosen::Array(_));
            assert_eq!(candidates.iter().filter(is_array).count(), 1, "{several}");
            let said = found.remarks(found.choose(&array).unwrap());
            assert!(said.iter().any(|r| r.text.contains("it has a partition table")), "{said:?}");
        }
        let whole = bytes(found.volume(&array, false).unwrap());
        assert!(whole == pair[0][1 << 20..]);
        assert!(bytes(found.volume(&partition, false).unwrap()) == own);
    }
}
