//! The command line as clap sees it.

mod attach;
mod capture;
mod restore;
mod set;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use ::restore::threads;
use clap::{Args, Parser, Subcommand};
use host::ByteSize;

use crate::output::note;

pub(crate) use attach::{AttachArgs, DetachArgs};
pub(crate) use capture::CaptureArgs;
pub(crate) use restore::{ExtentArgs, RestoreArgs, SyncEvery};
pub(crate) use set::{BytesArgs, LayoutArgs, SelectionArgs, SetArgs, StackArgs};

/// Brings a block volume back from local copies of its snapshots: offline, verified, in parallel.
#[derive(Debug, Parser)]
#[command(name = "snaprestore", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// What all commands take.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What all commands take.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// One JSON document on standard output, everything else on standard error
    #[arg(long, global = true, display_order = 901)]
    pub json: bool,
    /// No progress
    #[arg(short, long, global = true, display_order = 902)]
    pub quiet: bool,
    /// Say more of how it is done
    #[arg(short, long, global = true, display_order = 903)]
    pub verbose: bool,
    /// Worker threads [default: 0, one for each core]
    #[arg(
        short,
        long,
        global = true,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        display_order = 904
    )]
    pub jobs: usize,
}

impl Common {
    /// How many workers to take.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.jobs).map_or_else(threads::cores, |jobs| jobs.min(threads::most()))
    }

    /// Says so where fewer workers are taken than were asked for.
    pub(crate) fn note_jobs(&self) {
        let most = threads::most();
        if self.jobs > most.get() {
            note(&format!("-j {}: {most} threads are the most that are of use here", self.jobs));
        }
    }
}

/// The subcommands, one file each in `cmd/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take a snapshot set of devices or raw images
    Capture(Box<CaptureArgs>),
    /// List the snapshot sets found, complete or with what is missing
    List(SetArgs),
    /// Show all that a set's files say, and what lies in its volume
    Inspect(SetArgs),
    /// Check every byte of a set and of the ancestors it needs
    Verify(VerifyArgs),
    /// Restore a set to a raw image, a device, a pipe or its members
    Restore(Box<RestoreArgs>),
    /// Say whether a restore would go through, and what it takes, writing nothing
    Plan(Box<RestoreArgs>),
    /// Write bytes of a volume to standard output or a new file
    Read(ReadArgs),
    /// Show a set as a raw file and a loop device at once, without restoring it
    Attach(Box<AttachArgs>),
    /// List what is attached
    Attached,
    /// Take down what attach made
    Detach(DetachArgs),
    /// Rank the ways in which members may lie together when nothing says it any more
    GuessLayout(GuessArgs),
    /// Rebuild the lost index of a snapshot file
    Rebuild(RebuildArgs),
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Structures and stored bytes (CRC-32) only; chunks are not decompressed
    #[arg(long, conflicts_with = "target")]
    pub quick: bool,
    /// Compare this image or device with the volume instead, byte by byte from its medium
    #[arg(long, value_name = "PATH")]
    pub target: Option<PathBuf>,
    /// Write all that is found to this new file, a JSON document in each line
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    pub report: Option<PathBuf>,
    /// Which set. Last, for its help heading counts for all that follows.
    #[command(flatten)]
    pub set: SetArgs,
}

/// `read`
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// First byte to read
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = ByteSize::of_place)]
    pub offset: ByteSize,
    /// Read so many bytes [default: up to the end]
    #[arg(long, value_name = "BYTES", value_parser = ByteSize::of_place)]
    pub length: Option<ByteSize>,
    /// A new file for the bytes [default: -, standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which set. Last, for its help heading counts for all that follows.
    #[command(flatten)]
    pub set: SetArgs,
}

/// `guess-layout`
#[derive(Debug, Args)]
pub(crate) struct GuessArgs {
    /// Raw copies of the members, in any order
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Show so many guesses
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub most: usize,
    /// What they are read as.
    #[command(flatten)]
    pub bytes: BytesArgs,
}

/// `rebuild`
#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// The damaged snapshot file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The whole file to write
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Files or directories with the other members of its set, and its parents
    #[arg(long, value_name = "PATH")]
    pub sibling: Vec<PathBuf>,
}
