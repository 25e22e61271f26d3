//! Arguments that say what is to be read: a set among files, or raw members.

use std::path::PathBuf;

use clap::Args;
use host::ByteSize;
use repository::catalog::{Generation, Instant};
use repository::stack::LvName;
use restore::snapfmt::VolumeId;

/// Where to look and which set is meant.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Snapshot files, directories to search for *.snap or other systems' backups, or raw copies
    #[arg(required_unless_present = "members", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Raw members instead of a set.
    #[command(flatten)]
    pub raw: RawArgs,
    /// Which volume on the members.
    #[command(flatten)]
    pub stack: StackArgs,
    /// Which set.
    #[command(flatten)]
    pub selection: SelectionArgs,
}

/// Which volume is meant of those on the members.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Volumes on the members")]
pub(crate) struct StackArgs {
    /// The logical volume of this name; VG may also be the group's id
    #[arg(long, value_name = "VG/LV",
          conflicts_with_all = ["md", "layout", "stripe", "linear"])]
    pub lv: Option<LvName>,
    /// The software RAID with this id or name
    #[arg(long, value_name = "UUID", conflicts_with_all = ["layout", "stripe", "linear"])]
    pub md: Option<String>,
    /// The partition with this number; attach --mount takes several
    #[arg(long = "partition", value_name = "N", value_delimiter = ',')]
    pub partitions: Vec<u32>,
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
    /// The set of this generation: its number, or its id
    #[arg(long, value_name = "N")]
    pub generation: Option<Generation>,
    /// The newest set not after this time (RFC 3339, or a date)
    #[arg(long, value_name = "TIME")]
    pub at: Option<Instant>,
    /// Refuse any set whose content id does not begin like this
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub expect_content_id: Option<String>,
    /// Take an older set when the newest is incomplete or damaged
    #[arg(long)]
    pub latest_complete: bool,
    /// Take the newest set that verifies: of each newer one all bytes are read, and what is wrong is said
    #[arg(long, conflicts_with = "latest_complete")]
    pub latest_sound: bool,
}

fn hex(text: &str) -> Result<String, String> {
    let good = (16..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
    if good {
        Ok(text.to_lowercase())
    } else {
        Err("16 to 64 hexadecimal digits are expected".into())
    }
}

/// Raw members in the place of a set.
#[derive(Debug, Args)]
#[command(next_help_heading = "Raw members instead of snapshots")]
pub(crate) struct RawArgs {
    /// A member: its volume id and the device or raw image that holds it
    #[arg(long = "member", value_name = "ID=PATH", value_parser = member, id = "members",
          conflicts_with_all = ["paths", "set_id", "source_volume", "generation", "at",
                                "expect_content_id", "latest_complete", "latest_sound"])]
    pub members: Vec<(VolumeId, PathBuf)>,
    /// How several members make the logical volume.
    #[command(flatten)]
    pub layout: LayoutArgs,
    /// What they are read as.
    #[command(flatten)]
    pub bytes: BytesArgs,
}

/// What members are read as.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct BytesArgs {
    /// The paths are raw members as they are, whatever format their bytes seem to have
    #[arg(long)]
    pub raw: bool,
}

/// How several members make the logical volume.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct LayoutArgs {
    /// The members make the volume as this file says
    #[arg(long, value_name = "FILE.toml")]
    pub layout: Option<PathBuf>,
    /// The members are striped, this many bytes each in turn
    #[arg(long, value_name = "SIZE")]
    pub stripe: Option<ByteSize>,
    /// The members follow one after the other
    #[arg(long)]
    pub linear: bool,
}

impl LayoutArgs {
    /// Whether nothing was said.
    pub(crate) const fn is_empty(&self) -> bool {
        let Self { layout, stripe, linear } = self;
        layout.is_none() && stripe.is_none() && !*linear
    }
}

/// `ID=PATH`.
pub(super) fn member(text: &str) -> Result<(VolumeId, PathBuf), String> {
    let (id, path) = text.split_once('=').ok_or("ID=PATH is expected")?;
    if path.is_empty() {
        return Err("ID=PATH is expected".into());
    }
    let id = id.parse().map_err(|e: restore::snapfmt::BadId| e.to_string())?;
    Ok((id, PathBuf::from(path)))
}
