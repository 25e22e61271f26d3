//! Arguments of `attach`, `attached` and `detach`.

use std::path::PathBuf;

use attach::Name;
use clap::Args;
use host::ByteSize;

use super::SetArgs;

/// `attach`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct AttachArgs {
    /// What to call it [default: the set's id]
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
    /// Most memory for decoded chunks [default: a sixteenth of it all, 64M to 1G]
    #[arg(long, value_name = "SIZE")]
    pub cache: Option<ByteSize>,
    /// Restore it to this raw image meanwhile, and read from there what is there
    #[arg(long, value_name = "IMAGE")]
    pub hydrate: Option<PathBuf>,
    /// Mount what is found there, too, at this directory, in a way that does no harm
    #[arg(long, value_name = "DIR")]
    pub mount: Option<PathBuf>,
    /// Let programs that are on it be run from there
    #[arg(long, requires = "mount")]
    pub mount_exec: bool,
    /// Take what is written, in this file; tmp for one that goes with the server
    #[arg(long, value_name = "FILE|tmp")]
    pub overlay: Option<PathBuf>,
    /// Throw away what the overlay has
    #[arg(long, requires = "overlay")]
    pub reset_overlay: bool,
    /// Let the kernel make devices of the partitions it finds
    #[arg(long)]
    pub partscan: bool,
    /// Stay, and detach on SIGINT or SIGTERM
    #[arg(long)]
    pub foreground: bool,
    /// Be the server that `attach` starts.
    #[arg(long, hide = true)]
    pub serve: bool,
    /// Which set. Last, for its help heading counts for all that follows.
    #[command(flatten)]
    pub set: SetArgs,
}

/// `detach`
#[derive(Debug, Args)]
pub(crate) struct DetachArgs {
    /// Names, or loop devices
    #[arg(value_name = "NAME|DEVICE", required_unless_present = "all", conflicts_with = "all")]
    pub what: Vec<String>,
    /// Everything that this user has attached
    #[arg(long)]
    pub all: bool,
}
