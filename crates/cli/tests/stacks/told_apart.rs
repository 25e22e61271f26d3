//! What has the same name is told apart by its id, and what has lost its metadata is said to be there.

use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, read, write};
use crate::support::stacks::{Samples, UNPACK};
use crate::support::{Outcome, ensure};

/// Where metadata starts on a physical volume of the sample.
const AREA: usize = 4096;
const LABEL: usize = 512;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("two_groups_of_one_name", &UNPACK, twins),
        trial("physical_volumes_without_metadata", &UNPACK, without_metadata),
    ]
}

/// The checksum of labels and metadata.
fn sum(bytes: &[u8]) -> [u8; 4] {
    let crc = bytes.iter().fold(0xf597_a6cf_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    });
    crc.to_le_bytes()
}

fn number(bytes: &[u8], at: usize) -> usize {
    let word = bytes[at..at + 8].iter().rev();
    word.fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The same physical volume as one of another group of the same name: its id and all ids in the metadata
/// begin with another letter.
fn twin(pv: &[u8]) -> Vec<u8> {
    let mut twin = pv.to_vec();
    let start = AREA + number(pv, AREA + 40);
    let text = start..start + number(pv, AREA + 48);
    let ids: Vec<usize> = text
        .clone()
        .filter(|at| twin[*at..].starts_with(b"id = \"") && twin[at - 1] != b'_')
        .map(|at| at + 6)
        .collect();
    for at in ids {
        twin[at] = if twin[at] == b'Z' { b'Y' } else { b'Z' };
    }
    let id = LABEL + 32;
    twin[id] = if twin[id] == b'Z' { b'Y' } else { b'Z' };
    let of_text = sum(&twin[text]);
    twin[AREA + 56..AREA + 60].copy_from_slice(&of_text);
    let of_area = sum(&twin[AREA + 4..AREA + 512]);
    twin[AREA..AREA + 4].copy_from_slice(&of_area);
    let of_label = sum(&twin[LABEL + 20..LABEL + 512]);
    twin[LABEL + 16..LABEL + 20].copy_from_slice(&of_label);
    twin
}

fn twins() -> Outcome {
    let scratch = Scratch::new()?;
    let samples = Samples::new(&scratch, "lvm2/linear-3pv")?;
    let mut disks = samples.disks("gen1")?;
    let mut twins: Vec<PathBuf> = Vec::new();
    for (n, disk) in disks.iter().enumerate() {
        let path = scratch.path(&format!("twin{n}.img"));
        write(&path, &twin(&read(disk)?))?;
        twins.push(path);
    }
    let (alone, target) = (scratch.path("alone"), scratch.path("target"));
    Call::new("restore")
        .args(&disks)
        .option("--lv", "vg_lin/data")
        .option("-o", &alone)
        .succeeds()?;
    disks.extend(twins);
    let call = |lv: &str| {
        let call = Call::new("restore").args(&disks).option("--lv", lv);
        call.option("-o", &target)
    };
    let ran = call("vg_lin/data").exits(2)?;
    let ids = ["5Sek6h", "ZSek6h"].map(|start| format!("{start}-2udZ-oKo4-5cWQ-y0gB-MlcV-9knpJm"));
    for id in &ids {
        ensure!(ran.stderr.contains(&format!("{id}/data")), "{id}: {}", ran.describe());
        call(&format!("{id}/data")).succeeds()?;
        ensure!(read(&target)? == read(&alone)?, "{id}: another volume");
        std::fs::remove_file(&target)?;
    }
    Ok(())
}

fn without_metadata() -> Outcome {
    let scratch = Scratch::new()?;
    let disks = Samples::new(&scratch, "lvm2/linear-3pv")?.disks("gen1")?;
    for disk in &disks {
        let mut bytes = read(disk)?;
        bytes[AREA + 512..1 << 20].fill(0);
        write(disk, &bytes)?;
    }
    for lv in [&[][..], &["--lv", "vg_lin/data"]] {
        let call = Call::new("restore").args(&disks).args(lv);
        let ran = call.option("-o", scratch.path("target")).exits(6)?;
        for words in ["no metadata is left", "pv0.img", "pv1.img", "pv2.img"] {
            ensure!(ran.stderr.contains(words), "{words}: {}", ran.describe());
        }
    }
    Ok(())
}
