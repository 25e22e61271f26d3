//! Volume groups of the real lvm2 are read as it and the kernel read them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use disk::lvm2::{FoundPv, Group, Mapper, PvState, Unreadable, groups};
use disk::pieces::PieceBytes;
use restore::snapfmt::ReadAt;
use support::{Bytes, disks, expected, sha256};

const SAMPLES: [&str; 4] =
    ["lvm2/linear-3pv", "lvm2/mda-wrapped", "lvm2/striped-2x2", "lvm2/snapshot-thin"];

/// The only group on these disks.
fn group(disks: &[(String, Bytes)]) -> Group {
    let read = |(n, (_, bytes)): (usize, &(String, Bytes))| FoundPv::read(n, &**bytes).unwrap();
    let found: Vec<FoundPv> = disks.iter().enumerate().filter_map(read).collect();
    assert_eq!(found.len(), disks.len());
    let mut groups = groups(&found);
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

fn mapper<'g>(group: &'g Group, disks: &[(String, Bytes)]) -> Mapper<'g> {
    Mapper::new(group, |device| Arc::clone(&disks[device].1) as Arc<dyn ReadAt>)
}

fn volume(group: &Group, disks: &[(String, Bytes)], lv: &str) -> Result<PieceBytes, Unreadable> {
    let pieces = mapper(group, disks).map(lv)?;
    let on = |m: &disk::lvm2::Member| m.device.map(|d| Arc::clone(&disks[d].1) as Arc<dyn ReadAt>);
    Ok(PieceBytes::new((*pieces).clone(), group.members.iter().map(on).collect()))
}

#[test]
fn every_volume_reads_as_it_did_when_it_was_made() {
    for sample in SAMPLES {
        for (state, name, hash, size) in expected(sample) {
            let (vg, lv) = name.split_once('/').unwrap();
            let mut disks = disks(sample, &state);
            for _ in 0..disks.len() {
                disks.rotate_left(1);
                let group = group(&disks);
                assert_eq!(group.vg.name, vg);
                if lv == "lin_snap" {
                    let refused = volume(&group, &disks, lv).err().unwrap();
                    assert!(matches!(refused, Unreadable::Snapshot { .. }), "{refused}");
                    continue;
                }
                let volume = volume(&group, &disks, lv).unwrap();
                assert_eq!((volume.len(), sha256(&volume)), (size, hash.clone()), "{state}/{name}");
            }
        }
    }
}

#[test]
fn a_volume_that_is_missing_doubled_or_older_is_known_as_such() {
    let new = disks("lvm2/linear-3pv", "gen1");
    let old = disks("lvm2/linear-3pv", "gen0");
    let by_name = |group: &Group| -> BTreeMap<String, PvState> {
        let names = group.vg.physical_volumes.iter().map(|pv| pv.name.clone());
        names.zip(group.members.iter().map(|m| m.state.clone())).collect()
    };
    let usable = |n: &str| (n.to_owned(), PvState::Usable);
    let with = |state| BTreeMap::from([usable("pv0"), ("pv1".to_owned(), state), usable("pv2")]);

    let missing = [new[0].clone(), new[2].clone()];
    assert_eq!(by_name(&group(&missing)), with(PvState::Missing));

    let doubled = [new[0].clone(), new[1].clone(), new[2].clone(), new[1].clone()];
    assert_eq!(by_name(&group(&doubled)), with(PvState::Doubled { devices: vec![1, 3] }));

    let older = [new[0].clone(), old[1].clone(), new[2].clone()];
    let seqno = group(&old).vg.seqno;
    assert_eq!(by_name(&group(&older)), with(PvState::Older { seqno }));
    assert!(group(&new).vg.seqno > seqno);
    assert_eq!(group(&older).older.len(), 1);

    let cut = Arc::new(new[1].1[..8 << 20].to_vec());
    let short = [new[0].clone(), ("cut".to_owned(), cut), new[2].clone()];
    let state = PvState::Short { size: 8 << 20, needed: 14 << 20 };
    assert_eq!(by_name(&group(&short)), with(state));
}

#[test]
fn either_of_two_metadata_areas_will_do() {
    let mut disks = disks("lvm2/linear-3pv", "gen2");
    let two = disks.iter().position(|(name, _)| name == "pv3").unwrap();
    let found = FoundPv::read(0, &*disks[two].1).unwrap().unwrap();
    assert_eq!(found.copies.len(), 2);
    let whole = group(&disks[two..=two]).vg;
    for area in &found.label.metadata {
        let mut broken = (*disks[two].1).clone();
        broken[usize::try_from(area.offset).unwrap() + 100] ^= 1;
        disks[two].1 = Arc::new(broken);
        assert_eq!(group(&disks[two..=two]).vg, whole);
        disks[two].1 = support::disks("lvm2/linear-3pv", "gen2")[two].1.clone();
    }
}
