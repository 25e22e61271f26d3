//! 7: the target has no room, or fails.

use std::path::Path;

use libtest_mimic::Trial;

use crate::support::failure::Refusal;
use crate::support::layout::Layout;
use crate::support::loopmount::Tmpfs;
use crate::support::needs::{LOOP_MOUNT, trial};
use crate::support::run::Call;
use crate::support::sample::restore;
use crate::support::stage::Stage;
use crate::support::{Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("code_7_restore_fills_a_tmpfs", &LOOP_MOUNT, restore_fills_a_tmpfs),
        trial("code_7_capture_fills_a_tmpfs", &LOOP_MOUNT, capture_fills_a_tmpfs),
        trial("code_7_file_size_limit", &[], file_size_limit),
        trial("code_7_too_few_open_files", &[], too_few_open_files),
        trial("hints_say_what_is_wrong_with_a_path", &[], hints_of_paths),
    ]
}

/// A volume of more noise than fits.
fn stage() -> Outcome<Stage> {
    Stage::with_layout(Layout::new().striped(12 << 20, 64 << 10, &[("vol-a", 0), ("vol-b", 0)]))
}

fn restore_fills_a_tmpfs() -> Outcome {
    let stage = stage()?;
    let small = stage.scratch.dir("small")?;
    let tmpfs = Tmpfs::mount(&small, 4 << 20)?;
    let call = restore(&[&stage.sets], &small.join("volume.img"));
    let untouched: [&Path; 2] = [&stage.sets, &small];
    Refusal { call, code: 7, mentions: &["volume.img"], untouched: &untouched }.check()?;
    let left = std::fs::read_dir(&small)?.count();
    ensure!(left == 0, "{left} entries left on the full tmpfs");
    tmpfs.unmount()
}

fn capture_fills_a_tmpfs() -> Outcome {
    let stage = stage()?;
    let small = stage.scratch.dir("small")?;
    let tmpfs = Tmpfs::mount(&small, 4 << 20)?;
    let call = stage.sample.capture(&small, "dsnap-0b");
    let untouched: [&Path; 2] = [&stage.sets, &small];
    Refusal { call, code: 7, mentions: &["dsnap-0b"], untouched: &untouched }.check()?;
    ensure!(!small.join("dsnap-0b").exists(), "a half set under the final name");
    let left = std::fs::read_dir(&small)?.count();
    ensure!(left == 0, "{left} entries left on the full tmpfs");
    tmpfs.unmount()
}

/// The same without root: no file may grow beyond 4 MiB, and the signal that says so is ignored.
fn file_size_limit() -> Outcome {
    let stage = stage()?;
    let call = stage.restore().within("trap '' XFSZ; ulimit -f 8192; exec");
    stage.refuses(call, 7, &["volume.img"])
}

/// To make space helps nobody whose path leads through a file.
/// Wherever it runs out of them.
fn too_few_open_files() -> Outcome {
    let stage = Stage::new()?;
    for most in 6..9 {
        let call = stage.restore().within(&format!("ulimit -n {most}; exec"));
        stage.refuses(call, 7, &["Too many open files", "ulimit -n"])?;
    }
    Ok(())
}

fn hints_of_paths() -> Outcome {
    let stage = Stage::new()?;
    let file = stage.out.join("bystander");
    let call = stage.sample.capture(&file.join("sets"), "dsnap-1");
    stage.refuses(call, 7, &["bystander", "something that is no directory"])?;
    let call = Call::new("rebuild").arg(stage.out.join("nowhere")).option("-o", stage.target());
    stage.refuses(call, 4, &["nowhere", "a snapshot file that can be read"])
}
