//! Arguments of `capture`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use host::ByteSize;
use restore::snapfmt::{Consistency, SetId, VolumeId};

use super::set::member;
use super::{BytesArgs, LayoutArgs, StackArgs};

/// `capture`
#[derive(Debug, Args)]
pub(crate) struct CaptureArgs {
    /// The directory that the set's own directory is made in
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Devices and raw images, the name of each its volume id; or another system's backups, of which
    /// --set-id, --source-volume and --generation choose a set, which keeps its ids
    #[arg(value_name = "PATH", required_unless_present = "members")]
    pub paths: Vec<PathBuf>,
    /// A member: its volume id and the device or raw image that holds it
    #[arg(long = "member", id = "members", value_name = "ID=PATH", value_parser = member,
          conflicts_with = "paths")]
    pub members: Vec<(VolumeId, PathBuf)>,
    /// Which volume on the members.
    #[command(flatten)]
    pub stack: StackArgs,
    /// How several members make the logical volume.
    #[command(flatten)]
    pub layout: LayoutArgs,
    /// What they are read as.
    #[command(flatten)]
    pub bytes: BytesArgs,
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
    /// The members are of one instant (crash), with writers stopped (quiesced), or nothing is known
    #[arg(long, value_name = "HOW", default_value = "unknown", hide_possible_values = true)]
    pub consistency: ConsistencyArg,
    /// The members do not change, even if processes have them open
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
