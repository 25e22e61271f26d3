//! Of the legs of a mirror the one is read that is there and has seen most. The texts are as lvm2 writes
//! them; `vgcfgrestore(8)` takes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use foreign::lvm2::{FoundPv, Mapper, Section, Unreadable, VolumeGroup, groups};
use foreign::pieces::Place;
use restore::snapfmt::ReadAt;
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
    let raid0 = "type = \"raid0\" stripe_count = 2 stripe_size = 128 \
                 raid0_lvs = [\"r0_rimage_0\", \"r0_rimage_1\"]";
    let raid5 =
        "type = \"raid5\" device_count = 2 stripe_size = 128 raids = [\"-\", \"r0_rimage_0\"]";
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
        top("half", half) + &top("gone", "type = \"error\""),
        both("r1_rmeta", 0, 1) + &both("r1_rimage", 1, 4) + &both("m_mimage", 5, 4),
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
    let mut found = Vec::new();
    let mut bytes: Vec<Bytes> = Vec::new();
    for ((_, disk), meta) in disks("lvm2/linear-3pv", "gen1").into_iter().zip(metas) {
        let mut disk = (*disk).clone();
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
    match &pieces.list()[0].place {
        Place::Linear(spot) => Ok((spot.device, spot.offset)),
        Place::Striped { columns, .. } => Ok((columns.len(), columns[0].offset)),
        Place::Zero => panic!("nowhere"),
    }
}

const AT: u64 = 2 << 20;
const ALL: u64 = u64::MAX;

#[test]
fn the_leg_that_has_seen_most() {
    let sound = |place, events| Some(superblock(place, events, 0, ALL));
    let of = |metas| start("r1", metas);
    assert_eq!(of([sound(0, 7), sound(1, 7)]).unwrap(), (0, AT));
    assert_eq!(of([sound(0, 6), sound(1, 7)]).unwrap(), (1, AT));
    // One that failed, one that is half recovered, one whose superblock is none, one that is missing.
    let failed = Some(superblock(0, 9, 1, ALL));
    let half = Some(superblock(0, 9, 0, 4096));
    for other in [failed, half, Some(vec![7; 512]), None] {
        assert_eq!(of([other.clone(), sound(1, 7)]).unwrap(), (1, AT), "{other:?}");
        let refused = of([other, Some(superblock(1, 9, 2, ALL))]).unwrap_err();
        assert!(matches!(refused, Unreadable::NoLeg { .. }), "{refused}");
    }
    // Half of it is copied from the first: only that one is whole.
    let copied = |place| {
        let mut bytes = superblock(place, 7, 0, ALL);
        bytes[40..48].copy_from_slice(&4096_u64.to_le_bytes());
        Some(bytes)
    };
    assert_eq!(of([copied(0), copied(1)]).unwrap(), (0, AT));
    assert!(matches!(of([None, copied(1)]), Err(Unreadable::NoLeg { .. })));
    // It was never activated.
    assert_eq!(of([Some(vec![0; 512]), Some(vec![0; 512])]).unwrap(), (0, AT));
}

#[test]
fn a_leg_that_was_given_up_is_no_fault_of_the_other() {
    let sound = |place| Some(superblock(place, 7, 0, ALL));
    assert_eq!(start("half", [sound(0), sound(1)]).unwrap(), (1, AT));
    let refused = start("half", [sound(0), None]).unwrap_err();
    assert!(matches!(refused, Unreadable::Kind { ref lv, .. } if lv == "gone"), "{refused}");
}

#[test]
fn the_first_leg_of_a_mirror_that_is_there() {
    let there = || Some(vec![0; 512]);
    assert_eq!(start("m", [there(), there()]).unwrap(), (0, 6 << 20));
    assert_eq!(start("m", [None, there()]).unwrap(), (1, 6 << 20));
}

#[test]
fn stripes_without_parity_and_not_those_with_it() {
    let there = || Some(vec![0; 512]);
    assert_eq!(start("r0", [there(), there()]).unwrap(), (2, 10 << 20));
    let refused = start("r5", [there(), there()]).unwrap_err();
    assert!(refused.to_string().contains("raid5"), "{refused}");
}
