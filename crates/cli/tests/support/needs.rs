//! What a test needs of the machine, checked when it runs. An unmet need is shown as
//! `[ignored: needs …] name`, never as a silent pass; `SNAPRESTORE_TEST_REQUIRE_ALL=1` makes it a
//! failure, for machines that are meant to have everything.

use std::path::PathBuf;
use std::sync::OnceLock;

use libtest_mimic::Trial;

use super::Outcome;
use super::loopmount::Tmpfs;
use super::scratch::Scratch;
use super::tool;

/// One thing a test cannot do without.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// The effective user is root.
    Root,
    /// Mounting is allowed (root in a container often may not), and loop devices can be had.
    Mount,
    /// Loop devices can be had.
    LoopDevice,
    /// File systems in user space.
    Fuse,
    /// A program, looked for in `PATH` and the system directories.
    Tool(&'static str),
    /// A program that even a machine meant to have everything may lack: no distribution is sure to
    /// have it.
    Extra(&'static str),
    /// A filesystem the kernel has, or can load.
    Filesystem(&'static str),
    /// Anything else: says what cannot be had, if so.
    Tried(fn() -> Option<String>),
    /// The same of what even a machine meant to have everything may lack, and nothing installs: a part
    /// of the kernel.
    Rare(fn() -> Option<String>),
}

/// Everything `loopmount` runs, for a test that mounts images.
pub(crate) const LOOP_MOUNT: [Need; 5] =
    [Need::Root, Need::Tool("mount"), Need::Tool("umount"), Need::Tool("losetup"), Need::Mount];

/// For a test that writes to a loop device.
pub(crate) const LOOP_DEVICE: [Need; 3] = [Need::Root, Need::Tool("losetup"), Need::LoopDevice];

impl Need {
    fn unmet(self) -> Option<String> {
        match self {
            Self::Root => (!is_root()).then(|| "root".to_owned()),
            Self::Mount => mount_refusal().map(|why| format!("mount ({why})")),
            Self::LoopDevice => tool::run("losetup", ["--find"]).err().map(|e| {
                format!("a loop device ({})", e.message().map(first_line).unwrap_or_default())
            }),
            Self::Fuse => {
                let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
                device.err().map(|e| format!("/dev/fuse ({e})"))
            }
            Self::Tool(name) | Self::Extra(name) => {
                tool::find(name).is_none().then(|| name.to_owned())
            }
            Self::Filesystem(name) => (!kernel_has(name)).then(|| format!("{name} in the kernel")),
            Self::Tried(refusal) | Self::Rare(refusal) => refusal(),
        }
    }
}

/// A test that runs if its needs are met.
pub(crate) fn trial<R>(name: &str, needs: &[Need], run: R) -> Trial
where
    R: FnOnce() -> Outcome + Send + 'static,
{
    // The first unmet need is enough: the later ones may only make sense with it (mount as non-root).
    let unmet = needs.iter().find_map(|need| Some((need, need.unmet()?)));
    let Some((need, unmet)) = unmet else { return Trial::test(name, run) };
    let message = format!("needs {unmet}");
    let failing = {
        let message = message.clone();
        Trial::test(name, move || Err(message.into()))
    };
    if asked_for("SNAPRESTORE_TEST_REQUIRE_ALL") && !matches!(need, Need::Extra(_) | Need::Rare(_))
    {
        failing
    } else {
        failing.with_kind(format!("ignored: {message}")).with_ignored_flag(true)
    }
}

/// Whether the full counts are asked for.
pub(crate) fn long() -> bool {
    asked_for("SNAPRESTORE_TEST_LONG")
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether an environment variable is 1.
pub(crate) fn asked_for(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
}

fn kernel_has(filesystem: &str) -> bool {
    let listed = || {
        std::fs::read_to_string("/proc/filesystems").is_ok_and(|text| {
            text.lines().any(|line| line.split_whitespace().next_back() == Some(filesystem))
        })
    };
    listed() || (tool::run("modprobe", ["-q", filesystem]).is_ok() && listed())
}

/// Why mounting does not work here, found out once by mounting a tmpfs and looking for a loop device.
fn mount_refusal() -> Option<String> {
    static REFUSAL: OnceLock<Option<String>> = OnceLock::new();
    REFUSAL.get_or_init(|| try_mount().err().and_then(|e| e.message().map(first_line))).clone()
}

fn try_mount() -> Outcome {
    let scratch = Scratch::new()?;
    Tmpfs::mount(&scratch.dir("tmpfs")?, 64 << 10)?.unmount()?;
    let device = tool::run("losetup", ["--find"])?;
    let device = PathBuf::from(device.trim());
    if device.as_os_str().is_empty() {
        return Err("losetup finds no free loop device".into());
    }
    Ok(())
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
