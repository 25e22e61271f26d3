//! Sets attached as a file and a loop device: what is read through them, what damage does, who keeps them
//! from being detached, and what is left when their server is killed: nothing.

#[path = "attach/busy.rs"]
mod busy;
#[path = "attach/content.rs"]
mod content;
#[path = "attach/damage.rs"]
mod damage;
#[path = "attach/foreground.rs"]
mod foreground;
#[path = "attach/harmless.rs"]
mod harmless;
#[path = "attach/hydrated.rs"]
mod hydrated;
#[path = "attach/killed.rs"]
mod killed;
#[path = "attach/limits.rs"]
mod limits;
#[path = "attach/listing.rs"]
mod listing;
#[path = "attach/mounted.rs"]
mod mounted;
#[path = "attach/namespaces.rs"]
mod namespaces;
#[path = "attach/partitions.rs"]
mod partitions;
#[path = "attach/planted.rs"]
mod planted;
#[path = "attach/scene.rs"]
mod scene;
#[path = "attach/stopped.rs"]
mod stopped;
mod support;
#[path = "attach/unprivileged.rs"]
mod unprivileged;
#[path = "attach/written.rs"]
mod written;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use support::loopmount::keep_mounts_private;

fn main() -> ExitCode {
    keep_mounts_private();
    let trials = [
        content::trials(),
        listing::trials(),
        damage::trials(),
        busy::trials(),
        killed::trials(),
        limits::trials(),
        planted::trials(),
        stopped::trials(),
        foreground::trials(),
        hydrated::trials(),
        mounted::trials(),
        harmless::trials(),
        namespaces::trials(),
        partitions::trials(),
        written::trials(),
        unprivileged::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
