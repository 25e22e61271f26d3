//! Arrays written by hand, of versions and levels that no sample has: mdadm takes them for what
//! `inspect` does.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::forge::Forged;
use crate::support::needs::{Need, trial};
use crate::support::run::Call;
use crate::support::scratch::{Scratch, write};
use crate::support::{Outcome, ensure, tool};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("arrays_written_by_hand", &[Need::Tool("mdadm")], arrays)]
}

/// Bytes that tell the parts of an id apart, and their order.
const UUID: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10";

fn arrays() -> Outcome {
    let scratch = Scratch::new()?;
    for version in [0, 10, 11, 12] {
        // (level, layout, members)
        for (level, layout, disks) in
            [(-1, 0, 2), (0, 0, 3), (1, 0, 2), (10, 0x102, 4), (10, 0x102, 3), (10, 0x103, 5)]
        {
            let forged = Forged { version, level, layout, disks, uuid: UUID, ..Forged::RAID0 };
            let name = |place| format!("{version}-{level}-{disks}-{place}");
            let mut paths = Vec::new();
            for place in 0..disks {
                let path = scratch.path(&name(place));
                write(&path, &forged.member(place, 7 + u64::from(place == 0), &vec![0; 2 << 20]))?;
                paths.push(path);
            }
            let shown = Call::new("inspect").args(&paths).json()?;
            for (place, path) in paths.iter().enumerate() {
                as_mdadm(&shown["arrays"][0], place, path)?;
            }
        }
    }
    Ok(())
}

/// Compares what is shown of an array with what mdadm says of the member in some place.
fn as_mdadm(array: &Value, place: usize, path: &Path) -> Outcome {
    let text = tool::run("mdadm", [Path::new("--examine"), path])?;
    let fail = |what: &str| format!("{what}: {text}\n{array}");
    let said = |key: &str| {
        let values = text.lines().filter_map(|line| line.split_once(" : "));
        values.filter(|(own, _)| own.trim() == key).map(|(_, value)| value.trim()).next()
    };
    let text_of = |key: &str| array[key].as_str().unwrap_or("nothing").to_owned();
    ensure!(said("Checksum").is_some_and(|sum| sum.ends_with("correct")), "{}", fail("checksum"));
    let version = said("Version").unwrap_or_default();
    ensure!(version.starts_with(&text_of("version")), "{}", fail("version"));
    let uuid = said("Array UUID").or(said("UUID")).unwrap_or_default();
    ensure!(uuid == text_of("uuid"), "{}", fail("id"));
    ensure!(said("Raid Level") == Some(text_of("level").as_str()), "{}", fail("level"));
    let members = array["members"].as_array().ok_or("no members")?;
    ensure!(said("Raid Devices") == Some(&*members.len().to_string()), "{}", fail("members"));
    if let Some(chunk) = said("Chunk Size") {
        ensure!(chunk == "64K" && array["chunk"] == 64 << 10, "{}", fail("chunk"));
    }
    // What is striped over all that there is has no size in its superblocks.
    if let Some(size) = said("Array Size") {
        let kib: u64 = size.split(' ').next().unwrap_or_default().parse()?;
        // The kernel has whole chunks only (`raid10.c`, `raid10_size`).
        let rest = if text_of("level") == "raid10" { kib % 64 } else { 0 };
        ensure!(array["size"] == (kib - rest) * 1024, "{}", fail("size"));
    }
    let role = said("Device Role").and_then(|role| role.split(' ').next_back());
    let this = text.lines().find_map(|line| line.strip_prefix("this"));
    let role = role.or(this.and_then(|this| this.split_whitespace().nth(3)));
    ensure!(role == Some(&*place.to_string()), "{}", fail("role"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ensure!(members[place]["device"] == format!("member {name}"), "{}", fail("place"));
    ensure!(members[place]["state"] == "usable", "{}", fail("state"));
    Ok(())
}
