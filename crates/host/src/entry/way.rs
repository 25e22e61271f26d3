//! The way to a directory that is written into.
//!
//! A link in a directory that another user may write to leads wherever that user wants, at any moment. So the
//! way is walked step by step, each from the directory before it, and a link is followed only where root or the
//! caller made it. What was walked is open from then on: its names may change, it does not.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat, readlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Neither open for reading nor for writing: a place to go on from.
const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
/// As many as the kernel follows (`MAXSYMLINKS` in `include/linux/namei.h`).
const MOST_LINKS: usize = 40;
/// Filesystem type of `statfs(2)`.
const PROC: u64 = 0x9fa0;

/// A link that another user made, and that is not followed. It is the source of an [`io::Error`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} is a link of user {owner}, to {}", path.display(), to.display())]
pub struct LinkOfAnother {
    /// The link.
    pub path: PathBuf,
    /// Where it leads.
    pub to: PathBuf,
    /// Who made it.
    pub owner: u32,
}

impl LinkOfAnother {
    /// Whether this is why the system could not do something.
    pub fn is_why(error: &io::Error) -> bool {
        matches!(error.get_ref(), Some(source) if source.is::<Self>())
    }
}

/// Whether what a link of this user says may be followed.
pub(crate) fn is_trusted(owner: u32) -> bool {
    [0, geteuid().as_raw()].contains(&owner)
}

/// What `path` leads to.
pub(crate) fn walk(path: &Path) -> io::Result<OwnedFd> {
    walk_from(CWD, Path::new(""), path)
}

/// The same, where `path` begins in a directory that is open and is called `name`.
pub(crate) fn walk_from(start: impl AsFd, name: &Path, path: &Path) -> io::Result<OwnedFd> {
    let mut at = openat(start, ".", PLACE | OFlags::DIRECTORY, Mode::empty())?;
    let mut walked = name.to_owned();
    let mut links = 0;
    let mut left = steps(path);
    while let Some(step) = left.pop() {
        match openat(&at, &step, PLACE | OFlags::NOFOLLOW | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOTDIR) => {}
            next => {
                at = next?;
                walked.push(&step);
                continue;
            }
        }
        let other: File = openat(&at, &step, PLACE | OFlags::NOFOLLOW, Mode::empty())?.into();
        let meta = other.metadata()?;
        if !meta.is_symlink() {
            if left.is_empty() {
                return Ok(other.into());
            }
            return Err(Errno::NOTDIR.into());
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        if is_on_proc(&at) {
            // The kernel's own, which lead to what is open, whatever they say.
            at = openat(&at, &step, PLACE, Mode::empty())?;
            walked.push(&step);
            continue;
        }
        let to =
            PathBuf::from(OsString::from_vec(readlinkat(&other, "", Vec::new())?.into_bytes()));
        if !is_trusted(meta.uid()) {
            let link = LinkOfAnother { path: walked.join(&step), to, owner: meta.uid() };
            return Err(io::Error::other(link));
        }
        left.extend(steps(&to));
    }
    Ok(at)
}

/// The names of a path, the first one last. A path from the root begins with that.
fn steps(path: &Path) -> Vec<OsString> {
    let is_step = |step: &Component<'_>| !matches!(step, Component::CurDir);
    let steps = path.components().filter(is_step).map(Component::as_os_str).map(OsStr::to_owned);
    let mut steps: Vec<_> = steps.collect();
    steps.reverse();
    steps
}

fn is_on_proc(directory: impl AsFd) -> bool {
    fstatfs(directory).is_ok_and(|found| u64::try_from(found.f_type) == Ok(PROC))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, lchown, symlink};
    use std::path::Path;

    use super::{LinkOfAnother, walk};

    fn same(a: &Path, b: &Path) -> bool {
        let place: fs::File = walk(a).unwrap().into();
        let (a, b) = (place.metadata().unwrap(), fs::metadata(b).unwrap());
        (a.dev(), a.ino()) == (b.dev(), b.ino())
    }

    #[test]
    fn the_way_is_the_one_that_the_kernel_walks() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/file"), "").unwrap();
        symlink("a/b", at("relative")).unwrap();
        symlink(at("relative"), at("absolute")).unwrap();
        symlink("absolute/..", at("up")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for name in ["a/b", "relative", "absolute", "up", "up/b/./..", "absolute/../file", "."] {
            assert!(same(&at(name), &at(name)), "{name}");
        }
        assert!(same(Path::new("/proc/self/cwd/"), Path::new(".")));
        assert!(same(Path::new("/"), Path::new("/")));
        for name in ["nothing", "a/file/x", "loop", "loop/x"] {
            let (own, kernels) =
                (walk(&at(name)).unwrap_err(), fs::metadata(at(name)).unwrap_err());
            assert_eq!(own.raw_os_error(), kernels.raw_os_error(), "{name}");
        }
    }

    #[test]
    fn a_link_of_another_user_is_named() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("real")).unwrap();
        let link = tree.path().join("link");
        symlink("real", &link).unwrap();
        if lchown(&link, Some(65534), None).is_err() {
            // Only root gives away what it has.
            return;
        }
        let error = walk(&link.join("..")).unwrap_err();
        assert!(LinkOfAnother::is_why(&error));
        assert!(error.to_string().ends_with("link is a link of user 65534, to real"), "{error}");
    }
}
