//! Restores that begin at the same moment: one of them has the target, and it is what it should be.

use std::path::Path;

use libtest_mimic::Trial;

use super::members::{are_true, to_members};
use crate::support::loopmount::LoopDevice;
use crate::support::needs::{LOOP_DEVICE, trial};
use crate::support::run::{Call, Ran, Running};
use crate::support::scratch::set_len;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure, hash};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("at_once_to_a_new_file", &[], new_file),
        trial("at_once_onto_a_file", &[], onto_a_file),
        trial("at_once_onto_a_device", &LOOP_DEVICE, onto_a_device),
        trial("at_once_to_members", &[], members),
    ]
}

const ROUNDS: usize = 4;
const RIVALS: usize = 4;

/// One of them succeeds, or more where one began only when another was done and `again` allows that;
/// the others are refused the target.
fn compete(call: &Call, again: bool) -> Outcome {
    let running: Vec<_> = (0..RIVALS).map(|_| call.start()).collect::<Outcome<_>>()?;
    let ran: Vec<_> = running.into_iter().map(Running::wait).collect::<Outcome<_>>()?;
    let succeeded = ran.iter().filter(|one| one.status.success()).count();
    let said: String = ran.iter().map(Ran::describe).collect();
    ensure!(succeeded == 1 || again && succeeded > 1, "{succeeded} succeeded\n{said}");
    let others = ran.iter().filter(|one| !one.status.success());
    for other in others {
        ensure!(other.status.code() == Some(5), "not refused the target\n{said}");
    }
    Ok(())
}

fn nothing_else_is_left(dir: &Path) -> Outcome {
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        ensure!(!name.to_string_lossy().starts_with('.'), "{} is left", name.display());
    }
    Ok(())
}

fn new_file() -> Outcome {
    let stage = Stage::new()?;
    for _ in 0..ROUNDS {
        compete(&stage.restore(), false)?;
        hash::same_sha256("the image", &stage.target(), &stage.sample.logical)?;
        nothing_else_is_left(&stage.out)?;
        std::fs::remove_file(stage.target())?;
    }
    Ok(())
}

fn onto_a_file() -> Outcome {
    let stage = Stage::new()?;
    for _ in 0..ROUNDS {
        set_len(&stage.target(), stage.sample.layout.logical_size())?;
        compete(&stage.restore().arg("--in-place"), true)?;
        hash::same_sha256("the file", &stage.target(), &stage.sample.logical)?;
        nothing_else_is_left(&stage.out)?;
        std::fs::remove_file(stage.target())?;
    }
    Ok(())
}

fn onto_a_device() -> Outcome {
    let stage = Stage::new()?;
    let file = stage.scratch.path("disk");
    let size = stage.sample.layout.logical_size();
    for _ in 0..ROUNDS {
        set_len(&file, 0)?;
        set_len(&file, size.next_multiple_of(4096))?;
        let device = LoopDevice::attach(&file, false)?;
        let call = Call::new("restore").arg(&stage.sets).option("-o", device.path());
        compete(&call.args(["--in-place", "--no-journal"]), true)?;
        drop(device);
        set_len(&file, size)?;
        hash::same_sha256("the device", &file, &stage.sample.logical)?;
    }
    Ok(())
}

fn members() -> Outcome {
    let stage = Stage::new()?;
    for _ in 0..ROUNDS {
        let dir = stage.out.join("members");
        compete(&to_members(&stage, &dir), false)?;
        are_true(&stage, &dir)?;
        nothing_else_is_left(&stage.out)?;
        std::fs::remove_dir_all(&dir)?;
        std::fs::remove_file(stage.scratch.path("joined.img"))?;
    }
    Ok(())
}
