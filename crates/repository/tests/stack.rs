//! What lies on disks is found, put together as it was, and refused where it cannot be proved.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use disk::lvm2::PvState;
use restore::VolumeMember;
use snaprestore::stack::{Choice, Chosen, NotChosen, Of, Problem, Stack, Unassembled, Warning};
use support::{Bytes, disks, expected, member, sha256_of};

fn stack(disks: &[(String, Bytes)]) -> Stack {
    let members: Vec<VolumeMember> =
        disks.iter().map(|(name, bytes)| member(name, bytes)).collect();
    Stack::of_members(members).unwrap()
}

fn lv(path: &str) -> Choice {
    let (group, name) = path.split_once('/').unwrap();
    let of = Of::LogicalVolume { group: group.into(), name: name.into() };
    Choice { of, partition: None }
}

#[test]
fn logical_volumes_and_arrays_are_restored_to_their_hashes() {
    for sample in ["lvm2/linear-3pv", "lvm2/mda-wrapped", "lvm2/striped-2x2", "lvm2/snapshot-thin"]
    {
        for (state, path, hash, size) in expected(sample) {
            let mut disks = disks(sample, &state);
            disks.reverse();
            match stack(&disks).volume(&lv(&path), false) {
                Ok(volume) => {
                    assert_eq!(volume.size(), size);
                    assert_eq!(sha256_of(volume), hash, "{sample} {state} {path}");
                }
                Err(refused) => assert!(path.ends_with("_snap"), "{path}: {refused}"),
            }
        }
    }
    for sample in ["linear-2x", "raid0-2x-64k", "raid0-3x-uneven", "raid1-2x"] {
        let sample = format!("mdraid/{sample}");
        for (state, _, hash, size) in expected(&sample) {
            let mut disks = disks(&sample, &state);
            disks.reverse();
            let volume = stack(&disks).volume(&Choice::default(), false).unwrap();
            assert_eq!(volume.size(), size);
            assert_eq!(sha256_of(volume), hash, "{sample} {state}");
        }
    }
}

#[test]
fn the_only_volume_needs_no_name_and_of_several_none_is_taken() {
    let (_, _, hash, _) = expected("lvm2/mda-wrapped").remove(0);
    let volume = stack(&disks("lvm2/mda-wrapped", "gen0")).volume(&Choice::default(), false);
    assert_eq!(sha256_of(volume.unwrap()), hash);

    let refused = stack(&disks("lvm2/linear-3pv", "gen0")).choose(&Choice::default());
    let name = |name: &str| Chosen::LogicalVolume { group: "vg_lin".into(), name: name.into() };
    let candidates = vec![name("data"), name("other")];
    assert_eq!(refused, Err(NotChosen::Several { candidates: candidates.clone() }));
    let refused = stack(&disks("lvm2/linear-3pv", "gen0")).choose(&lv("vg_lin/nothing"));
    assert_eq!(refused, Err(NotChosen::None { candidates, lone: Vec::new() }));
}

fn pv_problem(refused: &Unassembled, stack: &Stack, choice: &Choice) -> (String, PvState) {
    let Unassembled::Problems { can_be_salvaged: true, .. } = refused else { panic!("{refused}") };
    let no = stack.choose(choice).unwrap();
    let problems = stack.problems(no);
    let [(_, problem)] = problems.as_slice() else { panic!("{problems:?}") };
    let Problem::PhysicalVolume { name, state, .. } = &***problem else { panic!("{problem:?}") };
    (name.clone(), state.clone())
}

#[test]
fn a_member_that_is_missing_doubled_or_older_is_refused_by_name() {
    let new = disks("lvm2/linear-3pv", "gen1");
    let old = disks("lvm2/linear-3pv", "gen0");
    let data = lv("vg_lin/data");
    let cases = [
        (vec![new[0].clone(), new[2].clone()], PvState::Missing),
        (
            vec![
                new[0].clone(),
                new[1].clone(),
                new[2].clone(),
                ("again".into(), new[1].1.clone()),
            ],
            PvState::Doubled { devices: vec![1, 3] },
        ),
        (vec![new[2].clone(), old[1].clone(), new[0].clone()], PvState::Older { seqno: 6 }),
    ];
    for (disks, expected) in cases {
        let stack = stack(&disks);
        let refused = stack.volume(&data, false).unwrap_err();
        assert_eq!(pv_problem(&refused, &stack, &data), ("pv1".to_owned(), expected));
        // What is not on it is not concerned.
        let other = stack.volume(&lv("vg_lin/other"), false).unwrap();
        let hash = support::expected("lvm2/linear-3pv").remove(3);
        assert_eq!((hash.0.as_str(), hash.1.as_str()), ("gen1", "vg_lin/other"));
        assert_eq!(sha256_of(other), hash.2);
    }
}

#[test]
fn what_is_there_can_be_salvaged() {
    use restore::image::Image;
    use restore::reader::{Options, Reader};
    let all = disks("lvm2/linear-3pv", "gen1");
    let whole = stack(&all).volume(&lv("vg_lin/data"), false).unwrap();
    let whole = Reader::new(Arc::new(whole), &Options::default()).unwrap();
    let some = [all[0].clone(), all[2].clone()];
    let part = stack(&some).volume(&lv("vg_lin/data"), true).unwrap();
    let part = Reader::new(Arc::new(part), &Options::default()).unwrap();
    assert_eq!(part.size(), whole.size());
    // The second and the last segment are on the physical volume that is not there.
    let lost = [6 << 20..11 << 20, 24 << 20..27 << 20];
    let mut at = 0;
    while at < whole.size() {
        let (mut a, mut b) = (vec![0; 65536], vec![0; 65536]);
        whole.read_at(at, &mut a).unwrap();
        match part.read_at(at, &mut b) {
            Ok(()) => assert_eq!(a, b, "{at}"),
            Err(_) => assert!(lost.iter().any(|range| range.contains(&at)), "{at}"),
        }
        at += 65536;
    }
    let damage: u64 =
        part.damage().iter().flat_map(|d| d.logical.clone()).map(|r| r.end - r.start).sum();
    assert_eq!(damage, lost.iter().map(|range| range.end - range.start).sum::<u64>());
}

#[test]
fn a_damaged_copy_of_metadata_is_noted() {
    let mut disks = disks("lvm2/linear-3pv", "gen2");
    let two = disks.iter().position(|(name, _)| name == "pv3").unwrap();
    let whole = stack(&disks).volume(&Choice::default(), false).unwrap();
    let (mut bytes, area) = ((*disks[two].1).clone(), 4096);
    bytes[area + 100] ^= 1;
    disks[two].1 = Arc::new(bytes);
    let stack = stack(&disks);
    let warnings = &stack.devices()[two].warnings;
    assert!(matches!(warnings.as_slice(), [Warning::Metadata(_)]), "{warnings:?}");
    let volume = stack.volume(&Choice::default(), false).unwrap();
    assert_eq!(sha256_of(volume), sha256_of(whole));
}

/// The metadata of a disk as lvm2 writes it for a group that did without the physical volume `name`.
fn without(disk: &Bytes, name: &str) -> Bytes {
    const HEADER: usize = 4096;
    let mut disk = (**disk).clone();
    let word = |at: usize| u64::from_le_bytes(disk[HEADER + at..][..8].try_into().unwrap());
    let (start, len) =
        (HEADER + usize::try_from(word(40)).unwrap(), usize::try_from(word(48)).unwrap());
    let text = String::from_utf8(disk[start..start + len].to_vec()).unwrap();
    let at = text.find(&format!("{name} {{")).unwrap();
    let flags = "status = [\"ALLOCATABLE\"]\nflags = []";
    let missing = "status = []\nflags = [\"MISSING\"]    ";
    let changed = text[..at].to_owned() + &text[at..].replacen(flags, missing, 1);
    assert!(changed != text && changed.len() == len);
    disk[start..start + len].copy_from_slice(changed.as_bytes());
    let sum = crc(changed.as_bytes()).to_le_bytes();
    disk[HEADER + 56..HEADER + 60].copy_from_slice(&sum);
    let sum = crc(&disk[HEADER + 4..HEADER + 512]).to_le_bytes();
    disk[HEADER..HEADER + 4].copy_from_slice(&sum);
    Arc::new(disk)
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0xedb8_8320 }
        })
    })
}

/// It is there again, and up to date as far as metadata goes; what was written meanwhile it does not have.
#[test]
fn a_physical_volume_that_its_group_did_without() {
    let disks = disks("lvm2/linear-3pv", "gen1");
    let said = |disks: &[(String, Bytes)]| {
        let stack = stack(disks);
        let no = stack.choose(&lv("vg_lin/data")).unwrap();
        let hash = sha256_of(stack.volume(&lv("vg_lin/data"), false).unwrap());
        let remarks = stack.remarks(no).iter().map(ToString::to_string).collect::<Vec<_>>();
        (hash, remarks)
    };
    let (hash, remarks) = said(&disks);
    assert!(remarks.is_empty(), "{remarks:?}");
    let flagged: Vec<_> =
        disks.iter().map(|(name, disk)| (name.clone(), without(disk, "pv1"))).collect();
    let (again, remarks) = said(&flagged);
    assert_eq!(again, hash);
    let [remark] = remarks.as_slice() else { panic!("{remarks:?}") };
    assert!(remark.contains("physical volume pv1 was missing when"), "{remark}");
}
