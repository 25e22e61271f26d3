//! Targets as their users meet them: files and devices that are overwritten, ranges, members, pipes, how it is
//! written and proved, and what a plan says of all that before.

#[path = "targets/at_once.rs"]
mod at_once;
#[path = "targets/delta.rs"]
mod delta;
#[path = "targets/evidence.rs"]
mod evidence;
#[path = "targets/images.rs"]
mod images;
#[path = "targets/in_place.rs"]
mod in_place;
#[path = "targets/interlock.rs"]
mod interlock;
#[path = "targets/killed.rs"]
mod killed;
#[path = "targets/members.rs"]
mod members;
#[path = "targets/overlaid.rs"]
mod overlaid;
#[path = "targets/pipes.rs"]
mod pipes;
#[path = "targets/plan.rs"]
mod plan;
#[path = "targets/planted.rs"]
mod planted;
#[path = "targets/proof.rs"]
mod proof;
#[path = "targets/ranges.rs"]
mod ranges;
#[path = "targets/read.rs"]
mod read;
mod support;
#[path = "targets/writing.rs"]
mod writing;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use support::loopmount::keep_mounts_private;

fn main() -> ExitCode {
    keep_mounts_private();
    let trials = [
        images::trials(),
        in_place::trials(),
        interlock::trials(),
        delta::trials(),
        ranges::trials(),
        read::trials(),
        overlaid::trials(),
        members::trials(),
        killed::trials(),
        pipes::trials(),
        writing::trials(),
        proof::trials(),
        plan::trials(),
        planted::trials(),
        evidence::trials(),
        at_once::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
