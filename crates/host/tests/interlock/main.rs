//! What may not be overwritten, on real devices: loop devices, their partitions, swap, filesystems,
//! and other processes. Every refusal must say who the target is and what is wrong with it.

mod fits;
mod room;
mod sharing;
mod signatures;
mod sources;
mod support;
mod uses;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    support::loopmount::keep_mounts_private();
    let groups = [
        uses::trials(),
        sources::trials(),
        fits::trials(),
        sharing::trials(),
        room::trials(),
        signatures::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), groups.into_iter().flatten().collect()).exit_code()
}
