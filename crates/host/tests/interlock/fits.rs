//! Targets of the wrong kind, size or identity.

use std::path::Path;

use disk::signature::Contents;
use host::interlock::{self, Needs};
use libtest_mimic::Trial;

use crate::support::loopmount::LoopDevice;
use crate::support::needs::{Need, trial};
use crate::support::scratch::{self, Scratch};
use crate::support::{LOOP, MIB, Outcome, accepted, device, ensure, needs_of, refused, tool};

pub(crate) fn trials() -> Vec<Trial> {
    let immutable = [Need::Root, Need::Tool("chattr"), Need::Tried(immutable_refusal)];
    vec![
        trial("what_a_claim_says_of_its_target", &LOOP, described),
        trial("nothing_that_can_be_overwritten", &[Need::Tool("mkfifo")], kinds),
        trial("too_small", &LOOP, too_small),
        trial("between_sectors", &LOOP, misaligned),
        trial("a_read_only_device", &LOOP, read_only_device),
        trial("an_immutable_file", &immutable, immutable_file),
        trial("another_device_than_was_meant", &LOOP, wrong_device),
    ]
}

fn described() -> Outcome {
    let scratch = Scratch::new()?;
    drop(scratch::new_sparse(&scratch.path("disk"), 4 * MIB)?);
    let device = LoopDevice::with_sectors(&scratch.path("disk"), false, 4096)?;
    let held = accepted(device.path(), &needs_of(MIB))?;
    ensure!(held.is_device() && held.size() == 4 * MIB, "{held:?}");
    ensure!(held.sector_size() == 4096 && *held.contents() == Contents::Blank, "{held:?}");
    let (path, backing) = (device.path().display(), scratch.path("disk"));
    let minor = device.path().to_string_lossy().replace("/dev/loop", "");
    let text = format!("{path} (7:{minor}), 4.0 MiB, backed by {}", backing.display());
    ensure!(held.identity().describe() == text, "{}", held.identity());

    let file = scratch.path("file");
    scratch::write(&file, b"LUKS\xba\xbe\0\x01")?;
    let held = accepted(&file, &needs_of(8))?;
    ensure!(!held.is_device() && held.size() == 8 && held.sector_size() == 512, "{held:?}");
    ensure!(held.contents().to_string() == "LUKS encrypted volume", "{}", held.contents());
    Ok(())
}

fn kinds() -> Outcome {
    let scratch = Scratch::new()?;
    tool::run("mkfifo", [scratch.path("pipe")])?;
    let pipe = scratch.path("pipe");
    let cases = [
        (scratch.root(), "is a directory, neither a regular file nor a block device"),
        (Path::new("/dev/null"), "is a character device"),
        (&pipe, "is a pipe"),
        (Path::new("/nowhere/at/all"), ": No such file or directory"),
    ];
    for (path, words) in cases {
        refused(path, &needs_of(1), &[words])?;
    }
    Ok(())
}

fn too_small() -> Outcome {
    let scratch = Scratch::new()?;
    let device = device(&scratch, "disk", MIB)?;
    let file = scratch.path("file");
    drop(scratch::new_sparse(&file, MIB)?);
    let needs = Needs { range: 512..MIB + 512, ..Needs::default() };
    let words = ["1048576 bytes (1.0 MiB)", "1049088", "at least the size of the original"];
    for target in [device.path(), &file] {
        drop(accepted(target, &needs_of(MIB))?);
        refused(target, &needs, &words)?;
    }
    let may_grow = Needs { may_grow: true, ..needs };
    refused(device.path(), &may_grow, &words)?;
    accepted(&file, &may_grow).map(drop)
}

fn misaligned() -> Outcome {
    let scratch = Scratch::new()?;
    drop(scratch::new_sparse(&scratch.path("disk"), MIB)?);
    let device = LoopDevice::with_sectors(&scratch.path("disk"), false, 4096)?;
    for (range, at) in [(512..8192, "byte 512 "), (4096..8192 + 512, "byte 8704 ")] {
        let needs = Needs { range: range.clone(), ..Needs::default() };
        refused(device.path(), &needs, &["sectors of 4096 bytes", at])?;
        drop(scratch::new_sparse(&scratch.path("file"), MIB)?);
        drop(accepted(&scratch.path("file"), &needs)?);
    }
    let needs = Needs { range: 4096..8192, ..Needs::default() };
    accepted(device.path(), &needs).map(drop)
}

fn read_only_device() -> Outcome {
    let scratch = Scratch::new()?;
    drop(scratch::new_sparse(&scratch.path("disk"), MIB)?);
    let device = LoopDevice::attach(&scratch.path("disk"), true)?;
    refused(device.path(), &needs_of(MIB), &["is read-only"]).map(drop)
}

fn immutable_file() -> Outcome {
    let scratch = Scratch::new()?;
    let file = scratch.path("file");
    drop(scratch::new_sparse(&file, 512)?);
    tool::run("chattr", [Path::new("+i"), &file])?;
    let outcome = refused(&file, &needs_of(512), &["file: Operation not permitted"]);
    tool::run("chattr", [Path::new("-i"), &file])?;
    outcome.map(drop)
}

/// Whether files can be made immutable here.
fn immutable_refusal() -> Option<String> {
    let attempt = || -> Outcome {
        let scratch = Scratch::new()?;
        let file = scratch.path("file");
        scratch::write(&file, b"")?;
        tool::run("chattr", [Path::new("+i"), &file])?;
        tool::run("chattr", [Path::new("-i"), &file]).map(drop)
    };
    attempt().err().map(|_| "immutable files".to_owned())
}

fn wrong_device() -> Outcome {
    let scratch = Scratch::new()?;
    let device = device(&scratch, "disk", MIB)?;
    let size = |size| Needs { expect_size: Some(size), ..needs_of(MIB) };
    drop(accepted(device.path(), &size(MIB))?);
    refused(device.path(), &size(MIB + 1), &["has 1048576 bytes, expected 1048577"])?;
    let serial = Needs { expect_serial: Some("WD-1".to_owned()), ..needs_of(2 * MIB) };
    // That it is the wrong one comes before that it is too small.
    refused(device.path(), &serial, &["has no serial number, expected \"WD-1\""])?;
    ensure!(interlock::check(device.path(), &needs_of(0)).is_ok(), "nothing was expected");
    Ok(())
}
