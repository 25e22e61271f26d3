//! Volumes whose layout is written on their members: LVM2, MD and partitions, of raw copies, of devices
//! and of snapshots.

#[path = "stacks/guessed.rs"]
mod guessed;
#[path = "stacks/inspected.rs"]
mod inspected;
#[path = "stacks/refused.rs"]
mod refused;
#[path = "stacks/restored.rs"]
mod restored;
mod support;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [restored::trials(), refused::trials(), inspected::trials(), guessed::trials()];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
