//! Mirrors whose metadata lvm2 itself has written: read from each leg, as it lists them.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::loopmount::LoopDevice;
use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, new_sparse, read, write};
use crate::support::stacks::{LVM2, lvm2};
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("mirrors_as_lvm2_writes_them", &LVM2, mirrors)]
}

const EXTENT: usize = 1 << 20;
const PVS: [&str; 2] =
    ["FeJZrH-RlCw-KvgE-B3Jn-TMif-qciJ-QPS7CU", "OH8Fy7-s1U6-toVb-GTZT-Iat7-HAP7-fnuHT5"];

/// A volume of the group: its name, flags, extents and the rest of its segment.
fn volume(number: usize, name: &str, flags: &str, extents: usize, segment: &str) -> String {
    format!(
        "{name} {{ id = \"LVLVLV-0000-0000-0000-0000-0000-0000{number:02}\" status = [{flags}] \
         flags = [] segment_count = 1 segment1 {{ start_extent = 0 extent_count = {extents} \
         {segment} }} }}\n"
    )
}

/// The text of a group with a mirror, a RAID 1 and stripes without parity, in the extents from 0, 4 and
/// 9 on.
fn text() -> String {
    let tops = [
        (
            "m",
            "type = \"mirror\" mirror_count = 2 region_size = 1024 \
               mirrors = [\"m_mimage_0\", 0, \"m_mimage_1\", 0]",
        ),
        (
            "r1",
            "type = \"raid1\" device_count = 2 region_size = 4096 \
                raids = [\"r1_rmeta_0\", \"r1_rimage_0\", \"r1_rmeta_1\", \"r1_rimage_1\"]",
        ),
        (
            "r0",
            "type = \"raid0\" stripe_count = 2 stripe_size = 128 \
                raid0_lvs = [\"r0_rimage_0\", \"r0_rimage_1\"]",
        ),
    ];
    let mut text = String::new();
    for (n, (name, segment)) in tops.iter().enumerate() {
        text += &volume(n, name, "\"READ\", \"WRITE\", \"VISIBLE\"", 4, segment);
    }
    let parts = [("m_mimage", 0, 4), ("r1_rmeta", 4, 1), ("r1_rimage", 5, 4), ("r0_rimage", 9, 2)];
    for (n, (name, first, extents)) in parts.into_iter().enumerate() {
        for leg in 0..2 {
            let segment =
                format!("type = \"striped\" stripe_count = 1 stripes = [\"pv{leg}\", {first}]");
            let name = format!("{name}_{leg}");
            text += &volume(10 + 2 * n + leg, &name, "\"READ\", \"WRITE\"", extents, &segment);
        }
    }
    let pv = |n: usize| {
        format!(
            "pv{n} {{ id = \"{}\" device = \"nowhere\" status = [\"ALLOCATABLE\"] flags = [] \
             dev_size = 65536 pe_start = 2048 pe_count = 31 }}\n",
            PVS[n]
        )
    };
    format!(
        "contents = \"Text Format Volume Group\"\nversion = 1\nvg_m {{ \
         id = \"VGVGVG-0000-0000-0000-0000-0000-000001\" seqno = 7 format = \"lvm2\" \
         status = [\"RESIZEABLE\", \"READ\", \"WRITE\"] flags = [] extent_size = 2048 max_lv = 0 \
         max_pv = 0 metadata_copies = 0 physical_volumes {{ {} {} }} logical_volumes {{ {text} }} }}\n",
        pv(0),
        pv(1)
    )
}

fn content(seed: u8, len: usize) -> Vec<u8> {
    (0..len / 8).flat_map(|n| (n as u64 * 256 + u64::from(seed)).to_be_bytes()).collect()
}

/// What the kernel keeps for a leg that is in sync.
fn superblock(leg: u8) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..4].copy_from_slice(b"DmRd");
    bytes[8] = 2;
    bytes[12] = leg;
    bytes[16] = 7;
    bytes[32..48].fill(0xff);
    bytes
}

fn mirrors() -> Outcome {
    let scratch = Scratch::new()?;
    let (group, backup) = (scratch.path("group"), scratch.path("backup"));
    write(&group, text().as_bytes())?;
    let disks = ["a", "b"].map(|name| scratch.path(name));
    let files = [new_sparse(&disks[0], 32 << 20)?, new_sparse(&disks[1], 32 << 20)?];
    let (mirror, raid1, raid0) =
        (content(1, 4 * EXTENT), content(2, 4 * EXTENT), content(3, 4 * EXTENT));
    {
        let attach = |disk: &PathBuf| LoopDevice::attach(disk, false);
        let devices: Vec<LoopDevice> = disks.iter().map(attach).collect::<Outcome<_>>()?;
        for (device, id) in devices.iter().zip(PVS) {
            let args = [Path::new("--uuid"), Path::new(id), Path::new("--restorefile"), &group];
            lvm2("pvcreate", &devices, args.into_iter().chain([device.path()]))?;
        }
        let args = [Path::new("-f"), &group, Path::new("--force"), Path::new("vg_m")];
        lvm2("vgcfgrestore", &devices, args)?;
        let args = [Path::new("-f"), &backup, Path::new("vg_m")];
        lvm2("vgcfgbackup", &devices, args)?;
        legs_as_lvm2(&devices)?;
        let args = [Path::new("--dump"), Path::new("metadata"), devices[0].path()];
        let dumped = lvm2("pvck", &devices, args)?;
        let shown = Call::new("inspect").args(devices.iter().map(LoopDevice::path)).json()?;
        let seqno = &shown["groups"][0]["seqno"];
        for text in [dumped, String::from_utf8_lossy(&read(&backup)?).into_owned()] {
            ensure!(text.contains(&format!("seqno = {seqno}\n")), "{seqno}: {text}");
        }
    }
    for (n, file) in files.iter().enumerate() {
        let stripes = raid0.chunks(64 << 10).skip(n).step_by(2);
        let stripes: Vec<u8> = stripes.flatten().copied().collect();
        let record = superblock(u8::from(n == 1));
        for (extent, bytes) in [(1, &mirror), (5, &record), (6, &raid1), (10, &stripes)] {
            file.write_all_at(bytes, extent * EXTENT as u64)?;
        }
    }
    let target = scratch.path("target");
    let both = [&disks[0], &disks[1]];
    for (name, content) in [("m", &mirror), ("r1", &raid1), ("r0", &raid0)] {
        for given in [&both[..], &both[..1], &both[1..]] {
            let call = Call::new("restore").args(given).option("--lv", format!("vg_m/{name}"));
            let call = call.option("-o", &target);
            // Nothing says whether the second leg of a mirror without a log on disk is in sync.
            if given.len() == 1 && (name == "r0" || (name == "m" && given == &both[1..])) {
                call.exits(6)?;
                continue;
            }
            call.succeeds()?;
            ensure!(read(&target)? == *content, "{name} of {given:?}");
            std::fs::remove_file(&target)?;
        }
    }
    Ok(())
}

/// Where the legs of volumes are, as lvm2 lists it.
fn legs_as_lvm2(devices: &[LoopDevice]) -> Outcome {
    let fields = ["-a", "--noheadings", "--separator", " ", "-o", "lv_name,segtype,seg_pe_ranges"];
    let listed = lvm2("lvs", devices, fields)?;
    let [a, b] = [&devices[0], &devices[1]].map(|device| device.path().display().to_string());
    for line in [
        "m mirror m_mimage_0:0-3 m_mimage_1:0-3".to_owned(),
        "r1 raid1 r1_rimage_0:0-3 r1_rimage_1:0-3".to_owned(),
        "r0 raid0 r0_rimage_0:0-1 r0_rimage_1:0-1".to_owned(),
        format!("[m_mimage_0] linear {a}:0-3"),
        format!("[r1_rimage_1] linear {b}:5-8"),
        format!("[r0_rimage_1] linear {b}:9-10"),
    ] {
        ensure!(listed.lines().any(|own| own.trim() == line), "{line}: {listed}");
    }
    Ok(())
}
