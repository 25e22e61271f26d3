//! Of the legs of a mirror the one is read that is there and has seen most. The texts are as lvm2 writes
//! them; `vgcfgrestore(8)` takes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use disk::lvm2::{FoundPv, Mapper, Part, Section, Unreadable, VolumeGroup, groups};
use disk::pieces::{Pieces, Place};
use restore::snapfmt::ReadAt;
use snaprestore::stack::{Choice, Of, Stack};
use support::{Bytes, disks};

const EXTENT: usize = 1 << 20;
const IDS: [&str; 2] =
    ["FeJZrH-RlCw-KvgE-B3Jn-TMif-qciJ-QPS7CU", "OH8Fy7-s1U6-toVb-GTZT-Iat7-HAP7-fnuHT5"];

fn group() -> VolumeGroup {
    let linear = |name: &str, pv: &str, extent: u32, extents: u32| {
        format!(
            "{name} {{ id = \"{}\" status = [\"READ\", \"WRITE\"] segment_count = 1 segment1 {{ \
             start_extent = 0 extent_count = {extents} type = \"striped\" stripe_count = 1 \
             stripes = [\"{pv}\", {extent}] }} }}\n",
            IDS[0]
        )
    };
    let both = |name: &str, extent, extents| {
        let legs =
            ["0", "1"].map(|n| linear(&format!("{name}_{n}"), &format!("pv{n}"), extent, extents));
        legs.concat()
    };
    let top = |name: &str, segment: &str| {
        format!(
            "{name} {{ id = \"{}\" status = [\"VISIBLE\"] segment_count = 1 segment1 {{ \
             start_extent = 0 extent_count = 4 {segment} }} }}\n",
            IDS[0]
        )
    };
    let pv = |n: usize| format!("pv{n} {{ id = \"{}\" pe_start = 2048 pe_count = 13 }}\n", IDS[n]);
    let raid1 = "type = \"raid1\" device_count = 2 region_size = 4096 \
                 raids = [\"r1_rmeta_0\", \"r1_rimage_0\", \"r1_rmeta_1\", \"r1_rimage_1\"]";
    let mirror = "type = \"mirror\" mirror_count = 2 region_size = 1024 \
                  mirrors = [\"m_mimage_0\", 0, \"m_mimage_1\", 0]";
    // Half a MiB a region, and one bit for each in the first extent of the second physical volume.
    let logged = "type = \"mirror\" mirror_count = 3 mirror_log = \"r1_rmeta_1\" region_size = 1024 \
                  mirrors = [\"m_mimage_0\", 0, \"r0_rimage_0\", 0, \"m_mimage_1\", 0]";
    // pvmove is done with the first two extents, half done with the others.
    let moving = "segment_count = 2 segment1 { start_extent = 0 extent_count = 2 type = \"mirror\" \
                  mirror_count = 2 extents_moved = 2 mirrors = [\"pv0\", 9, \"pv1\", 11] } \
                  segment2 { start_extent = 2 extent_count = 2 type = \"mirror\" mirror_count = 2 \
                  extents_moved = 1 mirrors = [\"pv0\", 11, \"pv1\", 9] } }\n";
    let moving = format!("pvmove0 {{ id = \"{}\" status = [\"VISIBLE\"] {moving}", IDS[0]);
    let raid0 = "type = \"raid0\" stripe_count = 2 stripe_size = 128 \
                 raid0_lvs = [\"r0_rimage_0\", \"r0_rimage_1\"]";
    let raid5 =
        "type = \"raid5\" device_count = 2 stripe_size = 128 raids = [\"-\", \"r0_rimage_0\"]";
    // Both superblocks are on the second physical volume.
    let apart = "type = \"raid1\" device_count = 2 region_size = 4096 \
                 raids = [\"r2_rmeta_1\", \"r1_rimage_0\", \"r1_rmeta_1\", \"r1_rimage_1\"]";
    // As after `vgreduce --removemissing`.
    let half = "type = \"raid1\" device_count = 2 region_size = 4096 \
                raids = [\"r1_rmeta_0\", \"gone\", \"r1_rmeta_1\", \"r1_rimage_1\"]";
    let text = [
        format!(
            "contents = \"Text Format Volume Group\"\nversion = 1\nvg {{ id = \"{}\" seqno = 1 \
             extent_size = 2048 physical_volumes {{ {} {} }} logical_volumes {{\n",
            IDS[0],
            pv(0),
            pv(1)
        ),
        top("r1", raid1) + &top("m", mirror) + &top("r0", raid0) + &top("r5", raid5),
        top("half", half)
            + &top("apart", apart)
            + &top("gone", "type = \"error\"")
            + &top("logged", logged)
            + &moving,
        both("r1_rmeta", 0, 1) + &both("r1_rimage", 1, 4) + &both("m_mimage", 5, 4),
        both("r2_rmeta", 5, 1),
        both("r0_rimage", 9, 2) + "} }",
    ];
    Section::parse(text.concat().as_bytes()).and_then(|root| VolumeGroup::of(&root)).unwrap()
}

/// A superblock of dm-raid: events, failed members, how far it is recovered.
fn superblock(place: u32, events: u64, failed: u64, recovered: u64) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..4].copy_from_slice(b"DmRd");
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&place.to_le_bytes());
    bytes[16..24].copy_from_slice(&events.to_le_bytes());
    bytes[24..32].copy_from_slice(&failed.to_le_bytes());
    bytes[32..40].copy_from_slice(&recovered.to_le_bytes());
    bytes[40..48].copy_from_slice(&ALL.to_le_bytes());
    bytes
}

/// The physical volume and the byte on it where a volume of the group starts; `None` is a physical
/// volume that is missing, otherwise what is in its first extent.
fn start(name: &str, metas: [Option<Vec<u8>>; 2]) -> Result<(usize, u64), Unreadable> {
    let pieces = map(name, metas, [None; 2])?;
    match &pieces.list()[0].place {
        Place::Linear(spot) => Ok((spot.device, spot.offset)),
        Place::Striped { columns, .. } => Ok((columns.len(), columns[0].offset)),
        Place::Zero => panic!("nowhere"),
    }
}

/// Physical volume, byte on it and number of bytes of each piece; what is lost is on [`LOST`].
fn spots(name: &str, metas: [Option<Vec<u8>>; 2]) -> Vec<(usize, u64, u64)> {
    all_spots(&map(name, metas, [None; 2]).unwrap())
}

fn all_spots(pieces: &Pieces) -> Vec<(usize, u64, u64)> {
    let spot = |piece: &disk::pieces::Piece| match &piece.place {
        Place::Linear(spot) => (spot.device, spot.offset, piece.length),
        place => panic!("{place:?}"),
    };
    pieces.list().iter().map(spot).collect()
}

/// The same of devices that are cut off at these sizes.
fn map(
    name: &str,
    metas: [Option<Vec<u8>>; 2],
    cut: [Option<usize>; 2],
) -> Result<Arc<Pieces>, Unreadable> {
    let mut found = Vec::new();
    let mut bytes: Vec<Bytes> = Vec::new();
    let disks = disks("lvm2/linear-3pv", "gen1").into_iter();
    for (((_, disk), meta), cut) in disks.zip(metas).zip(cut) {
        let mut disk = (*disk).clone();
        disk.truncate(cut.unwrap_or(usize::MAX));
        if let Some(meta) = &meta {
            disk[EXTENT..EXTENT + meta.len()].copy_from_slice(meta);
            let mut pv = FoundPv::read(bytes.len(), &disk).unwrap().unwrap();
            pv.copies[0].group = group();
            found.push(pv);
        }
        bytes.push(Arc::new(disk));
    }
    let groups = groups(&found);
    let mut mapper = Mapper::new(&groups[0], |n| Arc::clone(&bytes[n]) as Arc<dyn ReadAt>);
    let pieces = mapper.map(name)?;
    assert_eq!(pieces.size(), 4 << 20);
    let lost = mapper.parts().iter().all(|part| matches!(part, Part::Lost(_)));
    assert!(lost, "nothing is kept");
    Ok(pieces)
}

/// What is lost is on the device after the physical volumes.
const LOST: usize = 2;
const ALL_LOST: [(usize, u64, u64); 1] = [(LOST, 0, 4 << 20)];
const AT: u64 = 2 << 20;
const ALL: u64 = u64::MAX;

#[test]
fn the_leg_that_has_seen_most() {
    let sound = |place, events| Some(superblock(place, events, 0, ALL));
    let of = |metas| start("r1", metas);
    assert_eq!(of([sound(0, 7), sound(1, 7)]).unwrap(), (0, AT));
    assert_eq!(of([sound(0, 6), sound(1, 7)]).unwrap(), (1, AT));
    // One that failed, one that is half recovered, one whose superblock is none, one that is missing.
    let failed = Some(superblock(0, 8, 1, ALL));
    let half = Some(superblock(0, 8, 0, 4096));
    for other in [failed, half, Some(vec![7; 512]), None] {
        assert_eq!(of([other.clone(), sound(1, 7)]).unwrap(), (1, AT), "{other:?}");
    }
    let failed = |place| Some(superblock(place, 9, 3, ALL));
    assert_eq!(spots("r1", [failed(0), failed(1)]), ALL_LOST);
    // It was never activated: what is there is on the first leg.
    let never = || Some(vec![0; 512]);
    assert_eq!(of([never(), never()]).unwrap(), (0, AT));
    assert_eq!(spots("r1", [None, never()]), ALL_LOST);
}

/// What has seen less than any superblock that is there is of an earlier moment, also where that of the newest leg is all
/// that there is of it.
#[test]
fn a_leg_that_was_copied_earlier() {
    let sound = |place, events| Some(superblock(place, events, 0, ALL));
    assert_eq!(start("r1", [sound(0, 10), sound(1, 50)]).unwrap(), (1, AT));
    assert_eq!(spots("r1", [sound(0, 10), Some(superblock(1, 50, 0, 0))]), ALL_LOST);
    let half = Some(superblock(1, 50, 0, 2048));
    assert_eq!(spots("r1", [sound(0, 10), half]), [(1, AT, 1 << 20), (LOST, 1 << 20, 3 << 20)]);
    let both = |first: u64, second: u64| {
        let mut bytes = superblock(1, second, 0, ALL);
        bytes.resize(5 * EXTENT, 0);
        bytes.extend(superblock(0, first, 0, ALL));
        Some(bytes)
    };
    assert_eq!(spots("apart", [None, both(50, 10)]), ALL_LOST);
    assert_eq!(spots("apart", [None, both(50, 49)]), [(1, AT, 4 << 20)]);
}

/// What is left of a leg is read up to where it is cut off.
#[test]
fn a_leg_that_is_cut_off() {
    let sound = |place| Some(superblock(place, 7, 0, ALL));
    let cut = Some(5 << 20);
    let rest = |leg| [(leg, AT, 3 << 20), (LOST, 3 << 20, 1 << 20)];
    for metas in [[sound(0), sound(1)], [sound(0), None]] {
        let pieces = map("r1", metas.clone(), [cut, Some(4 << 20)]).unwrap();
        assert_eq!(all_spots(&pieces), rest(0), "{metas:?}");
    }
    let pieces = map("r1", [None, sound(1)], [None, cut]).unwrap();
    assert_eq!(all_spots(&pieces), rest(1));
    // The other is whole.
    let pieces = map("r1", [sound(0), sound(1)], [cut, None]).unwrap();
    assert_eq!(all_spots(&pieces), [(1, AT, 4 << 20)]);
}

/// What is proved to be in sync counts, and no more.
#[test]
fn legs_that_are_in_sync_in_part() {
    let sound = |place, events| Some(superblock(place, events, 0, ALL));
    // Recovered up to 1 MiB.
    let half = |place| Some(superblock(place, 7, 0, 2048));
    let first_mib = |leg| [(leg, AT, 1 << 20), (LOST, 1 << 20, 3 << 20)];
    assert_eq!(spots("r1", [half(0), None]), first_mib(0));
    assert_eq!(spots("r1", [None, half(1)]), first_mib(1));
    assert_eq!(start("r1", [half(0), sound(1, 7)]).unwrap(), (1, AT));
    // It is copied from the first: only that one is whole.
    let copied = |place| {
        let mut bytes = superblock(place, 7, 0, ALL);
        bytes[40..48].copy_from_slice(&2048_u64.to_le_bytes());
        Some(bytes)
    };
    assert_eq!(start("r1", [copied(0), copied(1)]).unwrap(), (0, AT));
    assert_eq!(spots("r1", [None, copied(1)]), first_mib(1));
}

/// What one leg says of the other counts if it has seen as much. Two that each say it of the other are two
/// histories, however far apart they are by now.
#[test]
fn legs_that_have_given_up_each_other() {
    let sound = |place, events| Some(superblock(place, events, 0, ALL));
    let without = |place, events, other: u32| Some(superblock(place, events, 1 << other, ALL));
    for events in [8, 9] {
        assert_eq!(start("r1", [without(0, 9, 1), sound(1, events)]).unwrap(), (0, AT));
        assert_eq!(start("r1", [sound(0, events), without(1, 9, 0)]).unwrap(), (1, AT));
    }
    for (one, other) in [(9, 9), (9, 8), (9, 4), (4, 900)] {
        let refused = start("r1", [without(0, one, 1), without(1, other, 0)]).unwrap_err();
        assert!(matches!(refused, Unreadable::Contradiction { .. }), "{refused}");
    }
    // One that was left behind and gives up none is older, and no more.
    assert_eq!(start("r1", [without(0, 9, 1), sound(1, 4)]).unwrap(), (0, AT));
    assert_eq!(spots("r1", [None, sound(1, 4)]), [(1, AT, 4 << 20)]);
}

#[test]
fn a_leg_that_was_given_up_is_no_fault_of_the_other() {
    let sound = |place| Some(superblock(place, 7, 0, ALL));
    assert_eq!(start("half", [sound(0), sound(1)]).unwrap(), (1, AT));
    let refused = start("half", [sound(0), None]).unwrap_err();
    assert!(matches!(refused, Unreadable::Kind { ref lv, .. } if lv == "gone"), "{refused}");
}

/// Without a log on disk nothing proves that the other leg is in sync.
#[test]
fn the_first_leg_of_a_mirror_or_none() {
    let there = || Some(vec![0; 512]);
    assert_eq!(start("m", [there(), there()]).unwrap(), (0, 6 << 20));
    assert_eq!(start("m", [there(), None]).unwrap(), (0, 6 << 20));
    assert_eq!(spots("m", [None, there()]), ALL_LOST);
}

/// The log has a bit for each region, on the physical volume that is there. Of three legs the last is.
#[test]
fn regions_of_a_mirror_that_a_log_proves() {
    let log = |regions: u8, bits: u8| {
        let mut log = vec![0; 2048];
        log[..4].copy_from_slice(b"rRiM");
        log[4] = 2;
        log[8] = regions;
        log[1024] = bits;
        Some(log)
    };
    let (at, half) = (6 << 20, 1 << 19);
    let there = || Some(vec![0; 512]);
    assert_eq!(spots("logged", [there(), log(8, 0)]), [(0, at, 4 << 20)]);
    assert_eq!(spots("logged", [None, log(8, 0xff)]), [(1, at, 4 << 20)]);
    let expected = [
        (LOST, 0, half),
        (1, at + half, 2 * half),
        (LOST, 3 * half, 4 * half),
        (1, at + 7 * half, half),
    ];
    assert_eq!(spots("logged", [None, log(8, 0b1000_0110)]), expected);
    // A log of another mirror, or none.
    assert_eq!(spots("logged", [None, log(9, 0xff)]), ALL_LOST);
    assert_eq!(spots("logged", [None, there()]), ALL_LOST);
}

/// What pvmove is done with is on the second leg, and only there; of the rest the first one counts.
#[test]
fn segments_that_pvmove_is_done_with() {
    let there = || Some(vec![0; 512]);
    let (done, rest) = ((1, 12 << 20, 2 << 20), (0, 12 << 20, 2 << 20));
    let lost = |start: u64| (LOST, start, 2 << 20);
    assert_eq!(spots("pvmove0", [there(), there()]), [done, rest]);
    assert_eq!(spots("pvmove0", [there(), None]), [lost(0), rest]);
    assert_eq!(spots("pvmove0", [None, there()]), [done, lost(2 << 20)]);
}

/// As `lvconvert --splitmirrors 1 --trackchanges` leaves it: the leg is a volume of its own.
#[test]
fn a_leg_that_was_split_off() {
    let disks = support::fault("lvm-raid1-tracked-split-leg");
    let members = |disks: &[(String, Bytes)]| {
        disks.iter().map(|(name, bytes)| support::member(name, bytes)).collect()
    };
    let of = |name: &str| Choice {
        of: Of::LogicalVolume { group: "vg".into(), name: name.into() },
        partition: None,
    };
    let new = "e6c56f76dabc67bbd7944244de454d5d70174a782690fd82f0b920cdb2852f63";
    for given in [&disks[..], &disks[..1]] {
        let stack = Stack::of_members(members(given)).unwrap();
        assert_eq!(support::sha256_of(stack.volume(&of("r"), false).unwrap()), new);
        let said = stack.remarks(stack.choose(&of("r")).unwrap());
        assert_eq!(said.len(), 1, "{said:?}");
    }
    let stack = Stack::of_members(members(&disks[1..])).unwrap();
    let refused = stack.volume(&of("r"), false).unwrap_err().to_string();
    assert!(refused.contains("leg 1 was split off"), "{refused}");
    let own = stack.volume(&of("r_rimage_1"), false).unwrap();
    assert!(support::sha256_of(own).starts_with("a3a93352"));
}

#[test]
fn stripes_without_parity_and_not_those_with_it() {
    let there = || Some(vec![0; 512]);
    assert_eq!(start("r0", [there(), there()]).unwrap(), (2, 10 << 20));
    let refused = start("r5", [there(), there()]).unwrap_err();
    assert!(refused.to_string().contains("raid5"), "{refused}");
}
