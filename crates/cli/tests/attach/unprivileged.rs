//! Users without root get the file, if they have a helper to mount with.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::needs::{Need, trial};
use crate::support::run::BINARY;
use crate::support::stage::Stage;
use crate::support::{Outcome, scratch, tool};

/// `nobody`, on most systems.
const USER: u32 = 65534;

pub(crate) fn trials() -> Vec<Trial> {
    let needs = [Need::Root, Need::Fuse, Need::Tool("setpriv"), Need::Tool("fusermount3")];
    vec![trial("users_without_root_get_the_file", &needs, file_only)]
}

fn file_only() -> Outcome {
    let stage = Stage::new()?;
    let own = stage.scratch.dir("own")?;
    chown(&own, Some(USER), Some(USER))?;
    let binary = stage.scratch.path("snaprestore");
    std::fs::copy(BINARY, &binary)?;
    open_up(stage.scratch.root())?;
    let script = r#"
        set -e
        export XDG_RUNTIME_DIR="$2"
        line=$("$0" attach "$1" --name one)
        test "$line" = "-	$2/snaprestore/one/disk/one.raw"
        cmp "$2/snaprestore/one/disk/one.raw" "$3"
        test "$("$0" detach one)" = "detached one"
        # Killed, and cleared away.
        "$0" attach "$1" --name one > /dev/null
        kill -9 $("$0" attached --json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
        "$0" detach one > /dev/null
        test -z "$(ls -A "$2")"
        # No loop device, so nothing to mount.
        code=0; "$0" attach "$1" --mount "$2" || code=$?
        test $code = 2
        # Nowhere to put it.
        unset XDG_RUNTIME_DIR
        code=0; "$0" attach "$1" || code=$?
        test $code = 1
    "#;
    let user = USER.to_string();
    let user = ["--reuid", &user, "--regid", &user, "--clear-groups", "sh", "-c", script];
    let paths = [&binary, &stage.sets, &own, &stage.sample.logical];
    tool::run("setpriv", user.iter().map(Path::new).chain(paths.map(PathBuf::as_path)))?;
    Ok(())
}

/// Lets everybody read what is in a directory.
fn open_up(directory: &Path) -> Outcome {
    tool::run("chmod", [Path::new("-R"), Path::new("a+rX"), directory])?;
    scratch::set_mode(directory, 0o755)
}
