//! ext4, XFS and btrfs with real files on them, changed over three generations through a mount, spread
//! over members by an independent splitter, captured full and incremental. Every generation must come
//! back identical, clean and mountable, and stock zstd must be enough to get a full one back.

#[path = "real_filesystems/captures.rs"]
mod captures;
#[path = "real_filesystems/history.rs"]
mod history;
#[path = "real_filesystems/moments.rs"]
mod moments;
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use captures::Captures;
use history::History;
use support::image::Filesystem;
use support::layout::Layout;
use support::loopmount::keep_mounts_private;
use support::needs::{Need, trial};
use support::sample::Sample;
use support::scratch::Scratch;
use support::{Outcome, hash, split};

fn main() -> ExitCode {
    keep_mounts_private();
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = [Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs]
        .into_iter()
        .map(|filesystem| {
            let mut needs = filesystem.needs();
            needs.push(Need::Tool("zstd"));
            let name = format!("{}_comes_back_in_every_generation", filesystem.name());
            trial(&name, &needs, move || comes_back(filesystem))
        })
        .collect();
    for filesystem in [Filesystem::Ext4, Filesystem::Xfs] {
        let mut needs = filesystem.needs();
        needs.push(Need::Tool("xfs_io"));
        let name = format!("members_of_two_moments_are_told_by_{}", filesystem.name());
        trials.push(trial(&name, &needs, move || moments::are_told(filesystem)));
    }
    trials.push(trial("the_tests_splitter_and_joiner_agree", &[], splitter_and_joiner_agree));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn comes_back(filesystem: Filesystem) -> Outcome {
    let history = History::live_through(filesystem)?;
    let captures = Captures::take(&history)?;
    captures.every_generation_comes_back(&history)?;
    captures.stock_zstd_is_enough(&history)?;
    captures.list_and_verify_agree()
}

/// The tests' own ground: without it they would prove nothing.
fn splitter_and_joiner_agree() -> Outcome {
    let scratch = Scratch::new()?;
    let layout = Layout::new()
        .linear(4096 + 512, ("vol-b", 1 << 20))
        .striped(6 << 16, 1 << 16, &[("vol-a", 0), ("vol-b", 4096), ("vol-c", 512)])
        .unmapped(100_000)
        .linear(12_345, ("vol-c", 1 << 20));
    let sample = Sample::make(scratch.root(), layout.clone(), 7)?;
    let joined = scratch.path("joined.img");
    split::join(&sample.members, &layout, &joined)?;
    hash::same_sha256("split and joined again", &joined, &sample.logical)?;
    let reread = Layout::read(&sample.layout_file)?;
    let joined = scratch.path("joined-again.img");
    split::join(&sample.members, &reread, &joined)?;
    hash::same_sha256("joined by the written layout", &joined, &sample.logical)
}
