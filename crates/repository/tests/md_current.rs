//! Of the members of an array those are read that are there and current, as far as superblocks prove it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use disk::md::MemberState;
use restore::image::Image as _;
use restore::reader::{Options, Reader};
use snaprestore::stack::{Choice, Of, Problem, Stack, Unassembled, Warning};
use support::forge::{DATA, Forged, seal, striped};
use support::{Bytes, fault, member, sha256_of};

const MIB: usize = 1 << 20;

fn stack(disks: &[(&str, Bytes)]) -> Stack {
    Stack::of_members(disks.iter().map(|(name, bytes)| member(name, bytes)).collect()).unwrap()
}

fn named(disks: &[(String, Bytes)]) -> Vec<(&str, Bytes)> {
    disks.iter().map(|(name, bytes)| (name.as_str(), Arc::clone(bytes))).collect()
}

/// The only array there is.
fn array() -> Choice {
    Choice { of: Of::Array("a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5".into()), partition: None }
}

fn states(stack: &Stack) -> Vec<MemberState> {
    stack.arrays()[0].array.members.iter().map(|member| member.state.clone()).collect()
}

/// What is read of the array with `salvage`, and `None` for each 4 KiB that are lost.
fn salvaged(stack: &Stack) -> Vec<Option<Vec<u8>>> {
    let reader = Reader::new(Arc::new(stack.volume(&array(), true).unwrap()), &Options::default());
    let reader = reader.unwrap();
    let block = |at: u64| {
        let len = usize::try_from((reader.size() - at).min(4096)).unwrap();
        let mut bytes = vec![0; len];
        reader.read_at(at, &mut bytes).is_ok().then_some(bytes)
    };
    (0..reader.size()).step_by(4096).map(block).collect()
}

fn content(seed: u8, len: usize) -> Vec<u8> {
    (0..len / 8).flat_map(|n| (n as u64 * 256 + u64::from(seed)).to_be_bytes()).collect()
}

fn cut(disk: &Bytes, by: usize) -> Bytes {
    Arc::new(disk[..disk.len() - by].to_vec())
}

#[test]
fn halves_that_went_on_without_each_other() {
    let disks = fault("md-raid10-split-brain");
    let disks = named(&disks);
    let (one, other) = ([disks[0].clone(), disks[3].clone()], [disks[1].clone(), disks[2].clone()]);
    for (half, hash) in [(one, "63a70129b69a"), (other, "0851648f9811")] {
        let volume = stack(&half).volume(&Choice::default(), false).unwrap();
        assert_eq!(sha256_of(volume)[..12], *hash);
    }
    for mixed in [&disks[..], &disks[..2], &disks[1..4]] {
        for salvage in [false, true] {
            let refused = stack(mixed).volume(&Choice::default(), salvage).unwrap_err();
            let Unassembled::Problems { doubts, can_be_salvaged: false, .. } = refused else {
                panic!("{refused}")
            };
            let [doubt] = doubts.as_slice() else { panic!("{doubts:?}") };
            assert!(matches!(*doubt.problem, Problem::Split { .. }), "{doubt}");
            assert_eq!(doubt.about.len(), mixed.len(), "{doubt}");
        }
    }
}

/// Each has counted for itself since they parted.
#[test]
fn halves_that_have_seen_more_and_less() {
    let (one, other) = (content(1, MIB), content(2, MIB));
    for version in [0, 10, 11, 12] {
        let forged = Forged { version, level: 1, chunk: 0, ..Forged::RAID0 };
        let (first, second) = (Forged { failed: 2, ..forged }, Forged { failed: 1, ..forged });
        for (left, right) in [(9, 12), (12, 9), (40, 12)] {
            let disks =
                [("a", first.member(0, left, &one)), ("b", second.member(1, right, &other))];
            for salvage in [false, true] {
                let refused = stack(&disks).volume(&array(), salvage).unwrap_err();
                let Unassembled::Problems { doubts, can_be_salvaged: false, .. } = refused else {
                    panic!("{refused}")
                };
                assert!(matches!(*doubts[0].problem, Problem::Split { .. }), "{doubts:?}");
            }
            let alone = stack(&disks[..1]).volume(&array(), false).unwrap();
            assert_eq!(sha256_of(alone), support::sha256(&one), "{version}");
        }
    }
}

/// Each member says of itself that it is in use. The newest knows better, and one that is as new.
#[test]
fn a_member_that_another_has_given_up() {
    let (old, new) = (content(1, MIB), content(2, MIB));
    for version in [0, 10, 11, 12] {
        let forged = Forged { version, level: 1, chunk: 0, ..Forged::RAID0 };
        let alone = Forged { failed: 1, ..forged };
        for (events, state) in [
            (8, MemberState::LeftOut { by: 1 }),
            (7, MemberState::LeftOut { by: 1 }),
            (6, MemberState::Older { events: 6 }),
        ] {
            let disks = [("a", forged.member(0, events, &old)), ("b", alone.member(1, 8, &new))];
            let found = stack(&disks);
            assert_eq!(states(&found), [state, MemberState::Usable], "{version}");
            let volume = found.volume(&array(), false).unwrap();
            assert_eq!(sha256_of(volume), support::sha256(&new), "{version}");
        }
        // Alone it cannot be told; that the other is missing can.
        let found = stack(&[("a", forged.member(0, 7, &old))]);
        found.volume(&array(), false).unwrap();
        let no = found.choose(&array()).unwrap();
        let warnings = &found.device(no).unwrap().warnings;
        assert!(
            matches!(warnings.as_slice(), [Warning::Degraded { place: 1, listed: true, .. }]),
            "{warnings:?}"
        );
    }
}

/// A superblock is as new as it is, whatever it says of its own device.
#[test]
fn a_member_older_than_one_that_has_no_place() {
    let (old, new) = (content(1, MIB), content(2, MIB));
    for version in [0, 10, 11, 12] {
        let forged = Forged { version, level: 1, chunk: 0, ..Forged::RAID0 };
        let (faulty, recovering) = (Forged { failed: 2, ..forged }.member(1, 50, &new), 2);
        let mut newer = vec![faulty];
        if version == 12 {
            // A spare, and one that takes the place of another: of both nothing is in sync.
            newer.push(changed(&forged.member(1, 50, &new), &[(258, &[0xff, 0xff])]));
            newer.push(changed(&forged.member(1, 50, &new), &[(8, &[recovering]), (152, &[0; 8])]));
        }
        for other in newer {
            let found = stack(&[("a", forged.member(0, 10, &old)), ("b", other)]);
            assert_eq!(states(&found)[0], MemberState::Older { events: 10 }, "{version}");
            let refused = found.volume(&array(), false).unwrap_err();
            let Unassembled::Problems { doubts, can_be_salvaged: true, .. } = &refused else {
                panic!("{refused}")
            };
            assert!(doubts.iter().all(|doubt| doubt.problem.is_absence()), "{refused}");
            assert!(salvaged(&found).iter().all(Option::is_none));
        }
        // One without a place that is as new has a word on which members are in use.
        let other = Forged { failed: 3, ..forged }.member(1, 10, &new);
        let found = stack(&[("a", forged.member(0, 10, &old)), ("b", other)]);
        assert_eq!(states(&found)[0], MemberState::LeftOut { by: 1 }, "{version}");
    }
}

/// A superblock of version 1.2 with other bytes in these places.
fn changed(disk: &Bytes, bytes: &[(usize, &[u8])]) -> Bytes {
    let mut disk = (**disk).clone();
    for (at, bytes) in bytes {
        disk[4096 + at..][..bytes.len()].copy_from_slice(bytes);
    }
    seal(&mut disk[4096..4096 + 260]);
    Arc::new(disk)
}

/// The kernel writes one time to all members.
#[test]
fn members_that_were_written_at_different_times() {
    const T: u32 = 1_700_000_000;
    let (old, new) = (content(1, MIB), content(2, MIB));
    for version in [0, 10, 11, 12] {
        let forged = Forged { version, level: 1, chunk: 0, updated: T, ..Forged::RAID0 };
        for (one, other, later) in [(10, 10, 1), (10, 11, 86_400), (11, 10, 86_400)] {
            let newest = Forged { updated: T + later, ..forged };
            let disks = [("a", forged.member(0, one, &old)), ("b", newest.member(1, other, &new))];
            let found = stack(&disks);
            let (updated, newest) = (u64::from(T), u64::from(T + later));
            let earlier = MemberState::Earlier { updated, newest };
            assert_eq!(states(&found), [earlier.clone(), MemberState::Usable], "{version} {later}");
            assert_eq!(
                sha256_of(found.volume(&array(), false).unwrap()),
                support::sha256(&new),
                "{version}"
            );
            let warnings = &found.device(found.choose(&array()).unwrap()).unwrap().warnings;
            assert!(
                matches!(warnings.as_slice(), [Warning::Degraded { place: 0, state, .. }] if *state == earlier),
                "{warnings:?}"
            );
        }
        // Only some were written when the machine stopped.
        let disks = [
            ("a", forged.member(0, 10, &old)),
            ("b", Forged { updated: T + 5, ..forged }.member(1, 11, &old)),
        ];
        assert_eq!(states(&stack(&disks)), [MemberState::Usable, MemberState::Usable]);
        // Nothing is written to members of stripes.
        let forged = Forged { version, updated: T, ..Forged::RAID0 };
        let disks = [
            ("a", forged.member(0, 1, &old)),
            ("b", Forged { updated: T + 86_400, ..forged }.member(1, 1, &old)),
        ];
        stack(&disks).volume(&array(), false).unwrap();
    }
}

/// Each pair is whole, and they are of two moments.
#[test]
fn pairs_of_different_times() {
    let data = content(5, 2 * MIB);
    let forged = Forged { level: 10, layout: 0x102, disks: 4, ..Forged::RAID0 };
    let later = Forged { updated: forged.updated + 86_400, ..forged };
    let parts = striped(&data, 64 << 10, 2);
    let of = |forged: Forged, place: u32| forged.member(place, 7, &parts[place as usize / 2]);
    let found = stack(&[
        ("a", of(forged, 0)),
        ("b", of(forged, 1)),
        ("c", of(later, 2)),
        ("d", of(later, 3)),
    ]);
    let refused = found.volume(&array(), false).unwrap_err();
    let Unassembled::Problems { doubts, can_be_salvaged: true, .. } = &refused else {
        panic!("{refused}")
    };
    assert!(doubts.iter().any(|doubt| !doubt.problem.is_absence()), "{refused}");
    for words in ["member 0 of", "2026-11-21T05:00:00Z", "2026-11-22T05:00:00Z"] {
        assert!(refused.to_string().contains(words), "{words}: {refused}");
    }
    for (n, block) in salvaged(&found).into_iter().enumerate() {
        let at = n * 4096;
        let expected = (at / 65536 % 2 == 1).then(|| data[at..at + 4096].to_vec());
        assert_eq!(block, expected, "{at}");
    }
}

/// Until all is copied from the first, it alone is whole.
#[test]
fn a_mirror_that_was_being_resynced() {
    let data = content(1, MIB);
    for version in [10, 11, 12] {
        let forged = Forged { version, level: 1, chunk: 0, resynced: 1024, ..Forged::RAID0 };
        let disks = [("a", forged.member(0, 7, &data)), ("b", forged.member(1, 7, &data))];
        let volume = stack(&disks).volume(&array(), false).unwrap();
        assert_eq!(sha256_of(volume), support::sha256(&data));
        let second = stack(&disks[1..]);
        let up_to = 512 << 10;
        assert_eq!(states(&second), [MemberState::Missing, MemberState::Recovering { up_to }]);
        let refused = second.volume(&array(), false).unwrap_err();
        assert!(refused.to_string().contains("not yet in sync beyond byte 524288"), "{refused}");
        let found = salvaged(&second);
        let (good, lost) = found.split_at(128);
        assert!(good.iter().flatten().flatten().eq(&data[..512 << 10]));
        assert!(lost.iter().all(Option::is_none));
    }
}

#[test]
fn members_that_are_cut_off() {
    for version in [0, 10, 11, 12] {
        // Stripes over unequal members, the second twice as long.
        let forged = Forged { version, ..Forged::RAID0 };
        let data = content(3, 3 * MIB);
        let (both, rest) = data.split_at(2 * MIB);
        let parts = striped(both, 64 << 10, 2);
        let disks =
            [forged.member(0, 7, &parts[0]), forged.member(1, 7, &[&parts[1], rest].concat())];
        let whole = stack(&[("a", disks[0].clone()), ("b", disks[1].clone())]);
        assert_eq!(sha256_of(whole.volume(&array(), false).unwrap()), support::sha256(&data));
        for by in [1, 4096, 512 << 10, disks[1].len() - 8192] {
            let short = cut(&disks[1], by);
            let found = stack(&[("a", disks[0].clone()), ("b", short)]);
            let state = &states(&found)[1];
            if version < 11 {
                // The superblock is behind the data: as long as it is there, they are.
                let expected = if by <= 4096 { MemberState::Usable } else { MemberState::Missing };
                assert_eq!(*state, expected, "{version} {by}");
                if expected == MemberState::Missing {
                    cut_before_its_superblock(&found);
                }
                continue;
            }
            assert!(matches!(state, MemberState::Short { .. }), "{version} {by}: {state:?}");
            let refused = found.volume(&array(), false).unwrap_err().to_string();
            assert!(refused.contains("is cut off") && refused.contains("member b"), "{refused}");
            let there = (disks[1].len() - by).saturating_sub(DATA);
            let found = salvaged(&found);
            for (n, block) in found.iter().enumerate() {
                let at = n * 4096;
                let (stripe, within) = (at / 65536, at % 65536);
                let on_second = if at >= 2 * MIB {
                    Some(at - MIB)
                } else {
                    (stripe % 2 == 1).then_some(stripe / 2 * 65536 + within)
                };
                let is_there = on_second.is_none_or(|at| at + 4096 <= there);
                let expected = is_there.then(|| data[at..at + 4096].to_vec());
                assert_eq!(*block, expected, "{version} {by} {at}");
            }
        }
    }
}

/// Nothing tells that the second disk is the one, but that it may be.
fn cut_before_its_superblock(found: &Stack) {
    for choice in [array(), Choice::default()] {
        let refused = found.volume(&choice, false).unwrap_err();
        let Unassembled::Problems { doubts, .. } = &refused else { panic!("{refused}") };
        assert!(doubts.iter().any(|doubt| !doubt.problem.is_absence()), "{refused}");
        let words = ["cut off before its superblock", "(member b)"];
        assert!(words.iter().all(|words| refused.to_string().contains(words)), "{refused}");
    }
}

#[test]
fn a_mirror_of_which_both_members_are_cut_off() {
    let data = content(4, MIB);
    let forged = Forged { level: 1, chunk: 0, ..Forged::RAID0 };
    let disks = [forged.member(0, 7, &data), forged.member(1, 7, &data)];
    // One is enough if it is whole.
    let found = stack(&[("a", cut(&disks[0], 4096)), ("b", disks[1].clone())]);
    assert_eq!(sha256_of(found.volume(&array(), false).unwrap()), support::sha256(&data));
    let found = stack(&[("a", cut(&disks[0], 8192)), ("b", cut(&disks[1], 4096))]);
    let refused = found.volume(&array(), false).unwrap_err().to_string();
    assert!(refused.contains("is cut off") && refused.contains("member b"), "{refused}");
    let lost: Vec<usize> =
        salvaged(&found).iter().enumerate().filter(|(_, b)| b.is_none()).map(|(n, _)| n).collect();
    assert_eq!(lost, [MIB / 4096 - 1]);
}

/// Both members of a pair are missing: the stripes of the others are there.
#[test]
fn pairs_of_which_one_is_missing() {
    let data = content(5, 2 * MIB);
    let forged = Forged { level: 10, layout: 0x102, disks: 4, ..Forged::RAID0 };
    let parts = striped(&data, 64 << 10, 2);
    let second = [("c", forged.member(2, 7, &parts[1])), ("d", forged.member(3, 7, &parts[1]))];
    let found = stack(&second);
    let refused = found.volume(&array(), false).unwrap_err().to_string();
    assert!(
        refused.contains("member 0 of the array") && refused.contains("is missing"),
        "{refused}"
    );
    for (n, block) in salvaged(&found).into_iter().enumerate() {
        let at = n * 4096;
        let expected = (at / 65536 % 2 == 1).then(|| data[at..at + 4096].to_vec());
        assert_eq!(block, expected, "{at}");
    }
}

/// `raid0_size` of the kernel rounds as if a chunk were a power of two.
#[test]
fn chunks_that_are_no_power_of_two() {
    let forged = Forged { chunk: 96 << 10, ..Forged::RAID0 };
    let data = content(6, 2 * 5 * (96 << 10));
    let parts = striped(&data, 96 << 10, 2);
    let disks = [("a", forged.member(0, 7, &parts[0])), ("b", forged.member(1, 7, &parts[1]))];
    let volume = stack(&disks).volume(&array(), false).unwrap();
    // 960 sectors of each, without the bits of 191.
    assert_eq!(volume.size(), 2 * 832 * 512);
    let expected = data[..2 * 832 * 512].to_vec();
    assert_eq!(sha256_of(volume), support::sha256(&expected));
}

#[test]
fn layouts_that_are_not_read_are_named() {
    for (layout, name) in [(0x201, "far=2"), (0x1_0201, "offset=2"), (0x202, "near=2, far=2")] {
        let forged = Forged { level: 10, layout, disks: 3, ..Forged::RAID0 };
        let disk = forged.member(0, 7, &content(7, MIB));
        let refused = stack(&[("a", disk)]).volume(&array(), false).unwrap_err().to_string();
        assert!(refused.contains(&format!("raid10 with the layout {name}")), "{refused}");
    }
}

#[test]
fn arrays_by_their_name_with_the_hosts_or_without() {
    let disk = |uuid: u8| {
        let forged = Forged { level: 1, disks: 1, chunk: 0, uuid: [uuid; 16], ..Forged::RAID0 };
        forged.member(0, 7, &content(uuid, MIB))
    };
    let one = stack(&[("a", disk(1)), ("z", Arc::new(vec![1; MIB]))]);
    let by = |name: &str| Choice { of: Of::Array(name.into()), partition: None };
    for name in ["array", "forged:array", "01010101:01010101:01010101:01010101"] {
        one.choose(&by(name)).unwrap();
    }
    for name in ["", "forged", "forged:", "rray", ":array"] {
        one.choose(&by(name)).unwrap_err();
    }
    let two = stack(&[("a", disk(1)), ("b", disk(2))]);
    let several = two.choose(&by("array")).unwrap_err().to_string();
    for uuid in ["01010101:01010101", "02020202:02020202"] {
        assert!(several.contains(uuid), "{several}");
    }
}

/// `pvcreate(8)` on a disk that was a member before leaves the superblock where it was.
#[test]
fn a_physical_volume_with_a_superblock_left_behind_it() {
    for version in [0, 10] {
        let forged = Forged { version, level: 1, disks: 1, chunk: 0, ..Forged::RAID0 };
        let disks = support::disks("lvm2/mda-wrapped", "gen0");
        let expected = support::expected("lvm2/mda-wrapped").remove(0).2;
        let disks: Vec<(String, Bytes)> = disks
            .into_iter()
            .map(|(name, disk)| {
                // Its extents end before, or what is there would be overwritten.
                let mut bytes = (*disk).clone();
                let size = if version == 0 { bytes.len() - 65536 } else { bytes.len() - 16384 };
                let member = forged.member(0, 7, &vec![0; size]);
                let from = bytes.len() - if version == 0 { 65536 } else { 8192 };
                bytes[from..].copy_from_slice(&member[from..]);
                (name, Arc::new(bytes))
            })
            .collect();
        let found = stack(&named(&disks));
        assert_eq!(found.arrays().len(), 0);
        let warnings = &found.devices()[0].warnings;
        assert!(matches!(warnings.as_slice(), [Warning::OldSuperblock { .. }]), "{warnings:?}");
        assert_eq!(sha256_of(found.volume(&Choice::default(), false).unwrap()), expected);
    }
}

/// A mirror with its superblock at the end, on disks that have one at the start, too: that of the array that
/// was created last counts.
#[test]
fn two_superblocks_on_one_device() {
    let one = |version| Forged { version, level: 1, chunk: 0, ..Forged::RAID0 };
    let (start, end) = (one(12), Forged { uuid: [0x5a; 16], ..one(10) });
    let disks = |start: Forged, end: Forged| {
        ["a", "b"].map(|name| {
            let place = u32::from(name == "b");
            let mut bytes = (*end.member(place, 7, &content(1, 4 * MIB))).clone();
            let superblock = start.superblock(place, 9, 2 * MIB as u64);
            bytes[4096..4096 + superblock.len()].copy_from_slice(&superblock);
            (name, Arc::new(bytes) as Bytes)
        })
    };
    let later = |forged: Forged| Forged { created: forged.created + 1, ..forged };
    for (start, end, newer, older) in
        [(start, later(end), end, start), (later(start), end, start, end)]
    {
        let found = stack(&disks(start, end));
        let [node] = found.arrays() else { panic!("{:?}", found.arrays()) };
        assert_eq!(node.array.id.0, newer.uuid);
        for device in &found.devices()[..2] {
            let [Warning::OldSuperblock { array, .. }] = device.warnings.as_slice() else {
                panic!("{:?}", device.warnings)
            };
            assert_eq!(array.0, older.uuid);
        }
        found.volume(&Choice::default(), false).unwrap();
        assert_eq!(found.remarks(found.choose(&Choice::default()).unwrap()).len(), 2);
    }
    // Neither is the newer one.
    let found = stack(&disks(start, end));
    let several = found.choose(&Choice::default()).unwrap_err().to_string();
    assert!(several.contains("a5a5a5a5:") && several.contains("5a5a5a5a:"), "{several}");
    for salvage in [false, true] {
        let refused = found.volume(&array(), salvage).unwrap_err().to_string();
        assert!(refused.contains("neither was created after the other"), "{refused}");
    }
    // The newer one is damaged.
    let mut disks = disks(start, later(end));
    for (_, bytes) in &mut disks {
        let at = bytes.len() - 8192 + 32;
        Arc::make_mut(bytes)[at] ^= 1;
    }
    let found = stack(&disks);
    let said = found.remarks(found.choose(&Choice::default()).unwrap());
    assert!(said.len() == 2 && said[0].text.contains("checksum"), "{said:?}");
}

/// A physical volume on an array that lacks a member is missing, and that may be why.
#[test]
fn a_physical_volume_on_an_array_without_a_member() {
    let mut disks = support::disks("lvm2/linear-3pv", "gen1");
    let halves = striped(&disks[1].1, Forged::RAID0.chunk, 2);
    disks[1] = ("half".into(), Forged::RAID0.member(1, 7, &halves[1]));
    let found = stack(&named(&disks));
    let of = Of::LogicalVolume { group: "vg_lin".into(), name: "data".into() };
    let refused = found.volume(&Choice { of, partition: None }, false).unwrap_err().to_string();
    for words in ["physical volume pv1", "member 0 of the array a5a5a5a5", "is missing"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
}
