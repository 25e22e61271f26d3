//! Volumes whose layout is written on their members: LVM2, MD and partitions, of raw copies, of devices
//! and of snapshots.

#[path = "stacks/containers.rs"]
mod containers;
#[path = "stacks/current.rs"]
mod current;
#[path = "stacks/examined.rs"]
mod examined;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "these tests use a part of it; it may fail loudly"
)]
#[path = "../../repository/tests/support/forge.rs"]
mod forge;
#[path = "stacks/guessed.rs"]
mod guessed;
#[path = "stacks/inspected.rs"]
mod inspected;
#[path = "stacks/mirrored.rs"]
mod mirrored;
#[path = "stacks/nested.rs"]
mod nested;
#[path = "stacks/plain.rs"]
mod plain;
#[path = "stacks/refused.rs"]
mod refused;
#[path = "stacks/restored.rs"]
mod restored;
#[path = "stacks/salvaged.rs"]
mod salvaged;
mod support;
#[path = "stacks/told_apart.rs"]
mod told_apart;

use std::process::ExitCode;

use libtest_mimic::Arguments;

/// A disk in memory.
type Bytes = std::sync::Arc<Vec<u8>>;

fn main() -> ExitCode {
    let trials = [
        containers::trials(),
        restored::trials(),
        refused::trials(),
        inspected::trials(),
        current::trials(),
        examined::trials(),
        mirrored::trials(),
        nested::trials(),
        plain::trials(),
        salvaged::trials(),
        told_apart::trials(),
        guessed::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
