//! Arguments of `restore` and `plan`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use host::ByteSize;
use restore::sink::Io;
use restore::{Algorithm, Part};

use super::SetArgs;

/// `restore` and `plan`
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Raw image to write, device with --in-place, or - for standard output
    #[arg(short, long, value_name = "TARGET", required_unless_present = "members_dir")]
    pub output: Option<PathBuf>,
    /// Restore each member to a raw image in this new directory, with layout.toml
    #[arg(long = "members", value_name = "DIR", id = "members_dir",
          conflicts_with_all = ["output", "force", "in_place", "delta", "expect_serial",
                                "expect_size", "offset", "length", "size", "shard", "journal",
                                "hash"])]
    pub members: Option<PathBuf>,
    /// Restore what was written over the volume too, while it was attached with this overlay
    #[arg(long, value_name = "FILE", conflicts_with = "members_dir")]
    pub overlay: Option<PathBuf>,
    /// Write the report here too, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Only say whether it would go through, as plan does
    #[arg(long)]
    pub dry_run: bool,
    /// Which set. Behind what has no help heading, for its own counts for all that follows.
    #[command(flatten)]
    pub set: SetArgs,
    /// How the target is treated.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Which bytes.
    #[command(flatten)]
    pub extent: ExtentArgs,
    /// What an unfinished run leaves.
    #[command(flatten)]
    pub resume: ResumeArgs,
    /// What is proved.
    #[command(flatten)]
    pub proof: ProofArgs,
    /// What to do about damage.
    #[command(flatten)]
    pub salvage: SalvageArgs,
}

/// What conflicts with `--in-place`. To clap nothing is required that conflicts with what is given, so
/// that `--delta --members DIR` would pass.
const NOT_IN_PLACE: [&str; 1] = ["members_dir"];

/// How the target is treated.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct TargetArgs {
    /// Replace an existing file, once the new image is whole; with --in-place, an existing map or report
    #[arg(long)]
    pub force: bool,
    /// Overwrite an existing file or block device itself
    #[arg(long)]
    pub in_place: bool,
    /// Read what the target holds and write only what differs
    #[arg(long, requires = "in_place", conflicts_with_all = NOT_IN_PLACE)]
    pub delta: bool,
    /// Refuse a device that has another serial number
    #[arg(long, value_name = "SERIAL", requires = "in_place",
          conflicts_with_all = NOT_IN_PLACE)]
    pub expect_serial: Option<String>,
    /// Refuse a target that has another size
    #[arg(long, value_name = "SIZE", requires = "in_place", conflicts_with_all = NOT_IN_PLACE)]
    pub expect_size: Option<ByteSize>,
    /// Allocate the whole file, so that it has no holes
    #[arg(long)]
    pub preallocate: bool,
    /// How to write: auto, direct (past the page cache) or buffered
    #[arg(long, value_name = "HOW", default_value = "auto", hide_possible_values = true)]
    pub io: IoArg,
    /// Write at most so many bytes a second
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub limit_rate: Option<NonZeroU64>,
}

/// Which bytes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Range")]
pub(crate) struct ExtentArgs {
    /// First byte to restore; with --in-place also where it goes
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = ByteSize::of_place)]
    pub offset: ByteSize,
    /// Restore so many bytes [default: up to the end]
    #[arg(long, value_name = "BYTES", value_parser = ByteSize::of_place)]
    pub length: Option<ByteSize>,
    /// Make the target this large; zeros follow the volume
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["offset", "length"])]
    pub size: Option<ByteSize>,
    /// Restore the I-th of N parts; other processes restore the others
    #[arg(long, value_name = "I/N", requires = "in_place", conflicts_with_all = NOT_IN_PLACE)]
    pub shard: Option<Part>,
}

/// What an unfinished run leaves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Resuming")]
pub(crate) struct ResumeArgs {
    /// Where the journal is [default: beside the target; of devices, in the state directory]
    #[arg(long, value_name = "PATH")]
    pub journal: Option<PathBuf>,
    /// Keep no journal; an unfinished run cannot be continued
    #[arg(long, conflicts_with_all = ["journal", "sync_every", "restart"])]
    pub no_journal: bool,
    /// How often the target is made durable: 1G, 5s; may be given twice [default: 4G and 5s]
    #[arg(long, value_name = "WHEN")]
    pub sync_every: Vec<SyncEvery>,
    /// Start over: throw away what an unfinished run has left
    #[arg(long)]
    pub restart: bool,
}

impl ResumeArgs {
    /// Whether any of these asks for a journal.
    pub(crate) fn is_given(&self) -> bool {
        let Self { journal, no_journal: _, sync_every, restart } = self;
        journal.is_some() || !sync_every.is_empty() || *restart
    }
}

/// What is proved.
#[derive(Debug, Args)]
#[command(next_help_heading = "Proof")]
pub(crate) struct ProofArgs {
    /// Read the target back from its medium and compare it with the volume
    #[arg(long)]
    pub verify_target: bool,
    /// Hash the bytes restored: sha256, sha1, md5, blake3, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub hash: Vec<Algorithm>,
}

/// What to do about damage.
#[derive(Debug, Args)]
#[command(next_help_heading = "Damage")]
pub(crate) struct SalvageArgs {
    /// Go on where data is damaged: leave it out, list it and write a ddrescue map
    #[arg(long)]
    pub salvage: bool,
    /// Where --salvage writes the map [default: TARGET.map]
    #[arg(long, value_name = "FILE", requires = "salvage")]
    pub map: Option<PathBuf>,
    /// What --salvage fills damaged ranges with, from 0 to 255
    #[arg(long, value_name = "BYTE", requires = "salvage", default_value_t = 0)]
    pub fill: u8,
}

/// [`Io`] as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum IoArg {
    /// Past the page cache where that works
    Auto,
    /// Past the page cache, or not at all
    Direct,
    /// Through the page cache
    Buffered,
}

impl From<IoArg> for Io {
    fn from(arg: IoArg) -> Self {
        match arg {
            IoArg::Auto => Self::Auto,
            IoArg::Direct => Self::Direct,
            IoArg::Buffered => Self::Buffered,
        }
    }
}

/// When a sync point is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SyncEvery {
    /// After so many bytes.
    Bytes(u64),
    /// After so much time.
    Time(Duration),
}

impl FromStr for SyncEvery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "a size such as 1G, or seconds such as 5s, is expected".to_owned();
        let every = match text.strip_suffix('s') {
            Some(seconds) => {
                let seconds: f64 = seconds.parse().map_err(|_| expected())?;
                Self::Time(Duration::try_from_secs_f64(seconds).map_err(|_| expected())?)
            }
            None => Self::Bytes(text.parse::<ByteSize>().map_err(|_| expected())?.0),
        };
        if every == Self::Bytes(0) || every == Self::Time(Duration::ZERO) {
            return Err(expected());
        }
        Ok(every)
    }
}

fn rate(text: &str) -> Result<NonZeroU64, String> {
    let bytes = text.parse::<ByteSize>().map_err(|e| e.to_string())?;
    NonZeroU64::new(bytes.0).ok_or_else(|| "a rate is more than nothing".to_owned())
}
