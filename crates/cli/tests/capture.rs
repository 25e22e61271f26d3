//! Every option of `capture`, its defaults, and volumes whose members come, go, grow and shrink from one
//! generation to the next.

#[path = "capture/flags.rs"]
mod flags;
#[path = "capture/generations.rs"]
mod generations;
#[path = "capture/ids.rs"]
mod ids;
#[path = "capture/layouts.rs"]
mod layouts;
#[path = "capture/parents.rs"]
mod parents;
mod support;
#[path = "capture/tags.rs"]
mod tags;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use support::loopmount::keep_mounts_private;

fn main() -> ExitCode {
    keep_mounts_private();
    let trials = [
        flags::trials(),
        ids::trials(),
        tags::trials(),
        layouts::trials(),
        parents::trials(),
        generations::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
