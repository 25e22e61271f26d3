//! Restores that do not reach their end, and restores that are one of several: they are stopped in every way
//! there is, and what comes of it in the end is the volume.

#[path = "resume/alike.rs"]
mod alike;
#[path = "resume/full.rs"]
mod full;
#[path = "resume/jobs.rs"]
mod jobs;
#[path = "resume/kills.rs"]
mod kills;
#[path = "resume/manifests.rs"]
mod manifests;
#[path = "resume/rate.rs"]
mod rate;
#[path = "resume/scene.rs"]
mod scene;
#[path = "resume/shards.rs"]
mod shards;
#[path = "resume/signals.rs"]
mod signals;
#[path = "resume/strangers.rs"]
mod strangers;
mod support;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use support::loopmount::keep_mounts_private;

fn main() -> ExitCode {
    keep_mounts_private();
    let trials = [
        kills::trials(),
        signals::trials(),
        full::trials(),
        strangers::trials(),
        alike::trials(),
        rate::trials(),
        shards::trials(),
        manifests::trials(),
        jobs::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
