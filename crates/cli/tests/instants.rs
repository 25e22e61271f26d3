//! Volumes as they were at one instant while programs wrote to them: what a crash would have left. The
//! instant is a reflink of the image under a mounted filesystem, which no writer notices; it is spread
//! over two members and captured. Attached, it is looked at as it is; under an overlay its journal is
//! replayed, and what was committed before the instant is there.

#[path = "instants/attached.rs"]
mod attached;
#[path = "instants/database.rs"]
mod database;
#[path = "instants/files.rs"]
mod files;
#[path = "instants/live.rs"]
mod live;
mod support;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use support::loopmount::keep_mounts_private;
use support::needs::{LOOP_MOUNT, Need, trial};

fn main() -> ExitCode {
    keep_mounts_private();
    let live = [
        LOOP_MOUNT.as_slice(),
        &[
            Need::Tool("mkfs.xfs"),
            Need::Tool("mke2fs"),
            Need::Tool("e2fsck"),
            Need::Filesystem("xfs"),
            Need::Fuse,
        ],
    ]
    .concat();
    let fio = [live.as_slice(), &[Need::Tool("fio")]].concat();
    let database = [
        live.as_slice(),
        &[Need::Tool("mariadbd"), Need::Tool("mariadb"), Need::Tool("mariadb-install-db")],
    ]
    .concat();
    let trials = vec![
        trial("files_written_at_the_instant", &fio, files::written_at_the_instant),
        trial("a_database_that_commits_at_the_instant", &database, database::commits),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
