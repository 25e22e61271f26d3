//! The command line as clap sees it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use restore::ByteSize;
use restore::catalog::Instant;
use restore::snapfmt::{Consistency, SetId, VolumeId};

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
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Worker threads [default: one for each core]
    #[arg(short, long, global = true, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
}

impl Common {
    /// How many workers to take.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.jobs.unwrap_or_else(cores)
    }
}

/// The subcommands, one file each in `cmd/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take a snapshot set of devices or raw images
    Capture(Box<CaptureArgs>),
    /// List the snapshot sets found, complete or with what is missing
    List(SetArgs),
    /// Show all that a set's files say: members, layout, ids, tags
    Inspect(SetArgs),
    /// Check every byte of a set and of the ancestors it needs
    Verify(VerifyArgs),
    /// Restore a set to a raw image
    Restore(RestoreArgs),
    /// Rebuild the lost index of a snapshot file
    Rebuild(RebuildArgs),
}

/// Where to look and which set is meant.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Snapshot files, and directories to search for *.snap
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Which set.
    #[command(flatten)]
    pub selection: SelectionArgs,
}

/// Which set is meant; without any of these the newest.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionArgs {
    /// The set whose id begins like this
    #[arg(long, value_name = "ID")]
    pub set_id: Option<String>,
    /// Sets of this logical volume
    #[arg(long, value_name = "ID")]
    pub source_volume: Option<VolumeId>,
    /// The set of this generation
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
    /// The newest set not after this time (RFC 3339, or a date)
    #[arg(long, value_name = "TIME")]
    pub at: Option<Instant>,
    /// Refuse any set whose content id does not begin like this
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub expect_content_id: Option<String>,
    /// Take an older set when the newest is incomplete or damaged
    #[arg(long)]
    pub latest_complete: bool,
}

fn hex(text: &str) -> Result<String, String> {
    let good = (8..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
    if good {
        Ok(text.to_lowercase())
    } else {
        Err("8 to 64 hexadecimal digits are expected".into())
    }
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Structures and stored bytes (CRC-32) only; chunks are not decompressed
    #[arg(long)]
    pub quick: bool,
    /// Which set. Last, for its help heading counts for all that follows.
    #[command(flatten)]
    pub set: SetArgs,
}

/// `restore`
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The raw image to write, or - for standard output
    #[arg(short, long, value_name = "TARGET")]
    pub output: PathBuf,
    /// Write the report here too, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Replace an existing file, once the new image is whole
    #[arg(long)]
    pub force: bool,
    /// Go on where data is damaged: leave it out, list it and write a ddrescue map
    #[arg(long)]
    pub salvage: bool,
    /// Where --salvage writes the map [default: TARGET.map]
    #[arg(long, value_name = "FILE", requires = "salvage")]
    pub map: Option<PathBuf>,
    /// What --salvage fills damaged ranges with, from 0 to 255
    #[arg(long, value_name = "BYTE", requires = "salvage", default_value_t = 0)]
    pub fill: u8,
    /// Which set. Last, for its help heading counts for all that follows.
    #[command(flatten)]
    pub set: SetArgs,
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

/// `capture`
#[derive(Debug, Args)]
pub(crate) struct CaptureArgs {
    /// The directory that the set's own directory is made in
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// A member: its volume id and the device or raw image that holds it
    #[arg(long = "member", required = true, value_name = "ID=PATH", value_parser = member)]
    pub members: Vec<(VolumeId, PathBuf)>,
    /// How several members make the logical volume.
    #[command(flatten)]
    pub layout: LayoutArgs,
    /// The logical volume's id [default: the parent's, or made from the members']
    #[arg(long, value_name = "ID")]
    pub source_volume: Option<VolumeId>,
    /// The set's id [default: a random dsnap-…]
    #[arg(long, value_name = "ID", value_parser = set_id)]
    pub set_id: Option<SetId>,
    /// The set's generation [default: the parent's + 1, or 0]
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
    /// Take an incremental snapshot: where to find the set to build on, and its ancestors
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub parent: Vec<PathBuf>,
    /// When the members were at this state [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub time: Option<jiff::Timestamp>,
    /// How the members relate in time
    #[arg(long, value_name = "HOW", default_value = "unknown")]
    pub consistency: ConsistencyArg,
    /// The members do not change, whoever has them open
    #[arg(long)]
    pub source_is_snapshot: bool,
    /// A tag, kept verbatim
    #[arg(long = "tag", value_name = "K=V", value_parser = tag)]
    pub tags: Vec<(String, String)>,
    /// Chunk size, a power of two from 4K to 16M [default: the parent's, or 512K]
    #[arg(long, value_name = "SIZE")]
    pub chunk_size: Option<ByteSize>,
    /// zstd level
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-7..=19))]
    pub level: i32,
    /// Leave zeros out (stock zstd then no longer gives the raw image)
    #[arg(long)]
    pub compact_zeros: bool,
    /// Store equal chunks once (stock zstd then no longer gives the raw image)
    #[arg(long)]
    pub dedup: bool,
    /// Sector size of members that are files, in bytes [default: 512]
    #[arg(long, value_name = "N")]
    pub sector_size: Option<u32>,
}

/// How several members make the logical volume.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct LayoutArgs {
    /// As this file says
    #[arg(long, value_name = "FILE.toml")]
    pub layout: Option<PathBuf>,
    /// Striped over all of them, this many bytes each in turn
    #[arg(long, value_name = "SIZE")]
    pub stripe: Option<ByteSize>,
    /// One after the other
    #[arg(long)]
    pub linear: bool,
}

/// [`Consistency`] as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ConsistencyArg {
    /// The writers were stopped
    Quiesced,
    /// One instant, as a power cut would leave it
    Crash,
    /// Nothing is known
    Unknown,
}

impl From<ConsistencyArg> for Consistency {
    fn from(arg: ConsistencyArg) -> Self {
        match arg {
            ConsistencyArg::Quiesced => Self::Quiesced,
            ConsistencyArg::Crash => Self::Crash,
            ConsistencyArg::Unknown => Self::Unknown,
        }
    }
}

fn member(text: &str) -> Result<(VolumeId, PathBuf), String> {
    let (id, path) = text.split_once('=').ok_or("ID=PATH is expected")?;
    if path.is_empty() {
        return Err("ID=PATH is expected".into());
    }
    let id = id.parse().map_err(|e: restore::snapfmt::BadId| e.to_string())?;
    Ok((id, PathBuf::from(path)))
}

/// The set's id is also the name of its directory.
fn set_id(text: &str) -> Result<SetId, String> {
    if text.starts_with('.') || text.contains('/') {
        return Err("a set id does not begin with a dot and has no slash".into());
    }
    text.parse().map_err(|e: restore::snapfmt::BadId| e.to_string())
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("K=V is expected")?;
    if key.is_empty() {
        return Err("a tag has a key".into());
    }
    Ok((key.to_owned(), value.to_owned()))
}
