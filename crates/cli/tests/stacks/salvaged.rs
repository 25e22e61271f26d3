//! What speaks against a volume and does not make it unreadable: it is read where nothing of it is needed, or
//! where it is meant.

use libtest_mimic::Trial;

use crate::support::needs::trial;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, read, write};
use crate::support::stacks::{Samples, UNPACK};
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_physical_volume_cut_off_behind_the_volume", &UNPACK, cut_behind),
        trial("a_thin_pool_that_was_not_left_in_order", &UNPACK, pool),
    ]
}

/// lvm2 activates a volume whose physical volume is cut off behind it.
fn cut_behind() -> Outcome {
    let scratch = Scratch::new()?;
    let disks = Samples::new(&scratch, "lvm2/linear-3pv")?.disks("gen1")?;
    let call = |lv: &str, out: &str| {
        let call = Call::new("restore").args(&disks).option("--lv", lv);
        call.option("-o", scratch.path(out))
    };
    call("vg_lin/other", "other").succeeds()?;
    call("vg_lin/data", "data").succeeds()?;
    // The last extent of the first disk is in use by one of the two volumes.
    let whole = read(&disks[0])?;
    write(&disks[0], &whole[..whole.len() - 4096])?;
    let ran = call("vg_lin/other", "other2").succeeds()?;
    ensure!(ran.stderr.contains("physical volume pv0 is cut off"), "{}", ran.describe());
    ensure!(read(&scratch.path("other"))? == read(&scratch.path("other2"))?, "another volume");
    let ran = call("vg_lin/data", "data2").exits(4)?;
    ensure!(ran.stderr.contains("is cut off: its extents end"), "{}", ran.describe());
    call("vg_lin/data", "data2").arg("--salvage").exits(3)?;
    let (was, is) = (read(&scratch.path("data"))?, read(&scratch.path("data2"))?);
    let end = 15_728_640;
    ensure!(is.len() == was.len(), "{} bytes", is.len());
    ensure!(is[..end - 4096] == was[..end - 4096] && is[end..] == was[end..], "more is lost");
    Ok(())
}

/// The checksum of the kernel's metadata blocks.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    })
}

fn pool() -> Outcome {
    let scratch = Scratch::new()?;
    let disks = Samples::new(&scratch, "lvm2/snapshot-thin")?.disks("gen1")?;
    let call = |out: &str| {
        let call = Call::new("restore").args(&disks).option("--lv", "vg_x/t0");
        call.option("-o", scratch.path(out))
    };
    call("whole").succeeds()?;
    let whole = read(&scratch.path("whole"))?;
    let mut found = None;
    for disk in &disks {
        let bytes = read(disk)?;
        let is_it = |block: &[u8]| block[32..40] == 27_022_010_u64.to_le_bytes();
        found =
            bytes.chunks(4096).position(is_it).map(|n| (disk, n * 4096, bytes.clone())).or(found);
    }
    let (disk, at, bytes) = found.ok_or("no pool")?;
    let transaction = bytes[at + 48];
    let cases = [
        (at + 4, 1, "wanted its metadata to be checked", true),
        (at + 48, transaction + 1, "is at transaction", true),
        (at + 48, transaction + 2, "as its transaction", false),
    ];
    for (n, (place, value, words, can_be_salvaged)) in cases.into_iter().enumerate() {
        let mut changed = bytes.clone();
        changed[place] = value;
        let sum = crc32c(&changed[at + 4..at + 4096]) ^ 0x0002_7406;
        changed[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        write(disk, &changed)?;
        let out = format!("case{n}");
        let ran = call(&out).exits(4)?;
        ensure!(ran.stderr.contains(words), "{}", ran.describe());
        ensure!(ran.stderr.contains("--salvage") == can_be_salvaged, "{}", ran.describe());
        if can_be_salvaged {
            let ran = call(&out).arg("--salvage").exits(3)?;
            ensure!(ran.stderr.contains(words), "{}", ran.describe());
            ensure!(read(&scratch.path(&out))? == whole, "another volume");
        } else {
            call(&out).arg("--salvage").exits(4)?;
        }
    }
    Ok(())
}
