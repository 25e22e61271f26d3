//! What can go wrong, the exit code it gives and the hint that goes with it.

mod attach;
mod backup;
mod catalog;
mod copies;
mod job;
mod overlay;
mod place;
mod stack;

use std::borrow::Cow;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use ::attach::overlay::OverlayError;
pub(crate) use attach::AttachFailure;
pub(crate) use copies::hint as copy_hint;
use disk::guess::NoGuess;
use foreign::backup::BackupError;
use host::interlock::{Refused, Why};
use host::room::NoRoom;
use repository::RepositoryError;
use repository::capture::CaptureError;
use repository::catalog::CatalogError;
use repository::rebuild::RebuildError;
use repository::stack::Unassembled;
use repository::stream::StreamError;
use restore::engine::RunError;
use restore::extract::ExtractError;
use restore::job::Unfinished;
use restore::layout_file::LayoutFileError;
use restore::snapfmt::{Fault, WriteError};
use restore::source::NotRaw;
use restore::survey::SurveyError;

/// The documented exit codes (`docs/CLI.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done and verified.
    Done = 0,
    /// Failed for a reason that has no code of its own.
    Failed = 1,
    /// The command line cannot be meant like that.
    Usage = 2,
    /// Done, but with damage: a map says where.
    DoneWithDamage = 3,
    /// The source is damaged, unreadable or not what was expected.
    SourceDamaged = 4,
    /// A safety check refused the target.
    TargetRefused = 5,
    /// The set or a chain is incomplete; nothing was written.
    Incomplete = 6,
    /// The target is out of space or failed.
    TargetFailed = 7,
    /// SIGINT.
    Interrupted = 130,
    /// The reader of standard output has gone: as SIGPIPE ends other programs.
    ReaderGone = 141,
    /// SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// Of another run of this program.
    pub(crate) fn of(status: ExitStatus) -> Self {
        let all = [
            Self::Done,
            Self::Usage,
            Self::DoneWithDamage,
            Self::SourceDamaged,
            Self::TargetRefused,
            Self::Incomplete,
            Self::TargetFailed,
            Self::Interrupted,
            Self::ReaderGone,
            Self::Terminated,
        ];
        let code = status.code().or_else(|| Some(128 + status.signal()?));
        all.into_iter().find(|exit| code == Some(i32::from(*exit as u8))).unwrap_or(Self::Failed)
    }
}

impl Exit {
    /// Its place among several that apply: the first one is given.
    pub(crate) const fn rank(self) -> u8 {
        match self {
            Self::Interrupted | Self::ReaderGone | Self::Terminated => 0,
            Self::Usage => 1,
            Self::Incomplete => 2,
            Self::TargetRefused => 3,
            Self::TargetFailed => 4,
            Self::SourceDamaged => 5,
            Self::Failed => 6,
            Self::DoneWithDamage => 7,
            Self::Done => 8,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a target was refused.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// It exists.
    Exists,
    /// It exists, and only a new file will do.
    Taken,
    /// It exists, and only a new directory will do.
    DirectoryExists,
    /// It is neither a regular file nor free, but this.
    NotAFile(&'static str),
    /// It is a link, to this.
    Link(PathBuf),
    /// It is the journal of another restore, unfinished, to the same target.
    Unfinished,
    /// It is one of the files the volume is read from.
    IsSource,
    /// This attached volume is mounted there.
    Mounted(String),
}

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line contradicts itself or the files.
    Usage { message: String, hint: &'static str },
    /// No set could be opened.
    Catalog(CatalogError),
    /// No set that fits can be used; `newest` is why not the newest.
    NoneUsable { message: String, newest: Box<Failure> },
    /// There is no set, but an image of another format.
    OnlyContainer { path: PathBuf, why: NotRaw },
    /// No set of another system's backups could be opened.
    Backup(BackupError),
    /// A set that was to be proved sound could not be read.
    Unread(RepositoryError),
    /// What is written on members gives no volume.
    Stack(Unassembled),
    /// Nothing can be guessed of members.
    Guess(NoGuess),
    /// A job stopped.
    Run { error: RunError, terminated: bool },
    /// A restore stopped.
    Unfinished { unfinished: Unfinished, in_place: bool, terminated: bool },
    /// A restore from pipes stopped.
    Stream { error: StreamError, terminated: bool },
    /// Bytes of a volume were not all written.
    Extract { error: ExtractError, target: PathBuf, terminated: bool },
    /// What is to be compared with the volume cannot be.
    Compare { path: PathBuf, error: io::Error },
    /// A target must not be overwritten.
    Interlock(Refused),
    /// A target does not fit where it is to be.
    Room(NoRoom),
    /// The indexes of a set do not say what it holds.
    Survey(SurveyError),
    /// A capture stopped.
    Capture { error: CaptureError, terminated: bool },
    /// A rebuild stopped.
    Rebuild(RebuildError),
    /// A layout cannot be used.
    Layout(LayoutFileError),
    /// A file or device is no raw member.
    NotRaw { path: PathBuf, why: NotRaw },
    /// A member cannot be opened.
    Member { path: PathBuf, error: io::Error },
    /// The target was refused.
    Refused { path: PathBuf, why: Refusal },
    /// The target cannot be made or finished.
    Target { path: PathBuf, error: io::Error },
    /// The report cannot be written, after the work was done.
    Report { path: PathBuf, error: io::Error },
    /// What was written over a volume cannot be used.
    Overlay(OverlayError),
    /// A volume cannot be attached, mounted or detached.
    Attach(AttachFailure),
    /// Standard output failed, after the work was done.
    Stdout(io::Error),
    /// The system failed.
    System(io::Error),
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<NoGuess> for Failure {
    fn from(error: NoGuess) -> Self {
        Self::Guess(error)
    }
}

impl From<OverlayError> for Failure {
    fn from(error: OverlayError) -> Self {
        Self::Overlay(error)
    }
}

impl Failure {
    /// What stopped a job that has not overwritten anything in place.
    pub(crate) fn unfinished(error: impl Into<Unfinished>, terminated: bool) -> Self {
        Self::Unfinished { unfinished: error.into(), in_place: false, terminated }
    }

    /// Whether standard output had the volume, and has lost its reader: who has read enough is not told so.
    pub(crate) fn has_lost_its_reader(&self) -> bool {
        match self {
            Self::Unfinished { unfinished, .. } => job::has_lost_its_reader(&unfinished.error),
            _ => false,
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        let interrupted =
            |terminated: bool| if terminated { Exit::Terminated } else { Exit::Interrupted };
        if place::is_refused(self) {
            return Exit::TargetRefused;
        }
        match self {
            Self::Usage { .. }
            | Self::Layout(_)
            | Self::Guess(NoGuess::TooMany { .. })
            | Self::NotRaw { why: NotRaw::Container(_), .. } => Exit::Usage,
            Self::Catalog(error) => catalog::exit(error),
            Self::NoneUsable { newest, .. } => newest.exit(),
            Self::OnlyContainer { .. } => Exit::Incomplete,
            Self::Backup(error) => backup::exit(error),
            Self::Stack(error) => stack::exit(error),
            Self::Run { error, terminated } => job::run_exit(error, *terminated),
            Self::Unfinished { unfinished, terminated, .. } => {
                job::job_exit(&unfinished.error, *terminated)
            }
            Self::Stream { error, terminated } => job::stream_exit(error, *terminated),
            Self::Extract { error, terminated, .. } => match error {
                ExtractError::Image { .. } => Exit::SourceDamaged,
                ExtractError::Output(_) => Exit::TargetFailed,
                ExtractError::Interrupted => interrupted(*terminated),
            },
            Self::Survey(SurveyError::Interrupted) => Exit::Interrupted,
            Self::Capture { error, terminated } => match error {
                CaptureError::Source(_) | CaptureError::Parent(_) => Exit::SourceDamaged,
                CaptureError::Manifest(_)
                | CaptureError::NoMembers { .. }
                | CaptureError::ChunkSize { .. }
                | CaptureError::Write { source: WriteError::Limit { .. }, .. } => Exit::Usage,
                CaptureError::Write { .. } | CaptureError::Target { .. } => Exit::TargetFailed,
                CaptureError::Exists { .. } => Exit::TargetRefused,
                CaptureError::Interrupted => interrupted(*terminated),
                CaptureError::Start(_) => Exit::Failed,
            },
            Self::Rebuild(error) => match error {
                RebuildError::Source { .. }
                | RebuildError::Parent(_)
                | RebuildError::Lost { .. }
                | RebuildError::Unproved { .. }
                | RebuildError::Mismatch { .. } => Exit::SourceDamaged,
                RebuildError::Write { .. } | RebuildError::Target { .. } => Exit::TargetFailed,
                RebuildError::Exists { .. } => Exit::TargetRefused,
                RebuildError::NoParent { .. } => Exit::Incomplete,
            },
            Self::Unread(_)
            | Self::Member { .. }
            | Self::NotRaw { .. }
            | Self::Guess(_)
            | Self::Survey(SurveyError::Read(_)) => Exit::SourceDamaged,
            Self::Interlock(Refused::System { .. })
            | Self::Room(_)
            | Self::Compare { .. }
            | Self::Target { .. } => Exit::TargetFailed,
            Self::Interlock(_) | Self::Refused { .. } => Exit::TargetRefused,
            Self::Overlay(error) => overlay::exit(error),
            Self::Attach(failure) => failure.exit(),
            Self::Report { .. } | Self::Stdout(_) | Self::System(_) => Exit::Failed,
        }
    }

    /// What happened, in one line.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Usage { message, .. } | Self::NoneUsable { message, .. } => message.clone(),
            Self::Catalog(error) => error.to_string(),
            Self::OnlyContainer { path, why } => {
                format!("no snapshot set was found; {} {why}", path.display())
            }
            Self::Backup(error) => error.to_string(),
            Self::Unread(error) => error.to_string(),
            Self::Stack(error) => error.to_string(),
            Self::Guess(error) => error.to_string(),
            Self::Run { error, .. } => error.to_string(),
            Self::Unfinished { unfinished, .. } => unfinished.to_string(),
            Self::Stream { error, .. } => error.to_string(),
            Self::Interlock(refused) => refused.to_string(),
            Self::Room(error) => error.to_string(),
            Self::Survey(error) => error.to_string(),
            Self::Capture { error, .. } => error.to_string(),
            Self::Rebuild(error) => error.to_string(),
            Self::Layout(error) => error.to_string(),
            Self::Overlay(error) => error.to_string(),
            Self::Attach(failure) => failure.to_string(),
            Self::NotRaw { path, why } => format!("{}: {why}", path.display()),
            Self::Member { path, error }
            | Self::Compare { path, error }
            | Self::Target { path, error }
            | Self::Report { path, error } => format!("{}: {error}", path.display()),
            Self::Refused { path, why } => {
                let path = path.display();
                match why {
                    Refusal::Exists | Refusal::Taken | Refusal::DirectoryExists => {
                        format!("{path}: exists already")
                    }
                    Refusal::NotAFile(kind) => format!("{path}: is {kind}, not a regular file"),
                    Refusal::Link(to) => format!("{path}: is a link, to {}", to.display()),
                    Refusal::Unfinished => {
                        format!("{path}: says that the target holds another restore, unfinished")
                    }
                    Refusal::IsSource => format!("{path}: is one of the sources given"),
                    Refusal::Mounted(name) => format!("{path}: {name} is mounted there"),
                }
            }
            Self::Extract { error: ExtractError::Output(error), target, .. } => {
                format!("{}: {error}", target.display())
            }
            Self::Extract { error, .. } => error.to_string(),
            Self::Stdout(error) => format!("standard output: {error}"),
            Self::System(error) => error.to_string(),
        }
    }

    /// What to try next.
    pub(crate) fn hint(&self) -> Cow<'static, str> {
        if let Some(copy) = copies::of(self) {
            return copies::hint(copy).into();
        }
        if let Some(hint) = place::hint(self) {
            return hint.into();
        }
        match self {
            Self::Catalog(error) => catalog::hint(error),
            other => other.standing_hint().into(),
        }
    }

    /// A hint that needs nothing of the files at hand.
    fn standing_hint(&self) -> &'static str {
        match self {
            Self::Usage { hint, .. } => hint,
            Self::Catalog(_) => "snaprestore list shows the sets there are",
            Self::OnlyContainer { .. } => "give the path of the raw copy then",
            Self::NoneUsable { .. } => {
                "no set that fits can be used: add the paths of what is missing, or of whole copies"
            }
            Self::Backup(error) => backup::hint(error),
            Self::Unread(_) => catalog::MACHINE,
            Self::Stack(error) => stack::hint(error),
            Self::Guess(_) => "inspect shows what is on each member",
            Self::Run { error, .. } => job::run_hint(error),
            Self::Unfinished { unfinished, in_place, .. } => job::job_hint(unfinished, *in_place),
            Self::Stream { error, .. } => job::stream_hint(error),
            Self::Extract { error, .. } => job::extract_hint(error),
            Self::Compare { .. } => "--target is an image or device that is there and can be read",
            Self::Interlock(refused) => interlock_hint(refused),
            Self::Room(NoRoom::System { .. }) => {
                "check the path and its permissions; nothing was written"
            }
            Self::Room(_) => "make room or choose another place; nothing was written",
            Self::Survey(_) => {
                "restore --salvage leaves damaged ranges out and lists them; another copy of the file may be whole"
            }
            Self::Capture { error, .. } => capture_hint(error),
            Self::Rebuild(error) => rebuild_hint(error),
            Self::Layout(_) => "docs/FORMAT.md describes layout.toml",
            Self::NotRaw { why, .. } => match why {
                NotRaw::Container(_) => "--raw takes the bytes of the file as they are",
                NotRaw::Empty => "the copy of this member failed: copy it again",
                NotRaw::Io(_) => "a member is a readable raw image or block device",
            },
            Self::Member { .. } => "a member is a readable raw image or block device",
            Self::Refused { why, .. } => refusal_hint(why),
            Self::Target { error, .. } => job::target_hint(error),
            Self::Overlay(error) => overlay::hint(error),
            Self::Attach(failure) => failure.hint(),
            Self::Report { .. } | Self::Stdout(_) => "the work was done, only its report is lost",
            Self::System(_) => "nothing more is known",
        }
    }
}

fn rebuild_hint(error: &RebuildError) -> &'static str {
    match error {
        RebuildError::Source { source, .. } if matches!(source.fault, Fault::Io(_)) => {
            "name a snapshot file that can be read"
        }
        RebuildError::Source { .. } => "what is left of the file does not say what it is",
        RebuildError::Parent(_) => "verify the parent set first",
        RebuildError::Lost { .. } => {
            "records or chunks themselves are lost, not only the index; look for another copy"
        }
        RebuildError::Unproved { .. } => {
            "give --sibling PATH: another member's file of the same set proves what is whole"
        }
        RebuildError::Mismatch { .. } => "records are missing at the end; look for another copy",
        RebuildError::Target { source, .. } => place_hint(source),
        RebuildError::Write { .. } => "make space or choose another place",
        RebuildError::Exists { .. } => "choose another name for the output",
        RebuildError::NoParent { .. } => "give --sibling PATH with the set it builds on",
    }
}

/// What to do where a new file or directory cannot be made.
fn place_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "nothing was left; the path leads through something that is no directory"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "nothing was left; choose a place that can be written to"
        }
        _ => "nothing was left under the set's name; make space or choose another place",
    }
}

const EXISTS_HINT: &str =
    "--force replaces an existing file, --in-place overwrites the target itself";

fn refusal_hint(why: &Refusal) -> &'static str {
    match why {
        Refusal::Exists => EXISTS_HINT,
        Refusal::Taken => "choose another name",
        Refusal::DirectoryExists => "--members makes a new directory",
        Refusal::NotAFile(_) => {
            "name a file that does not exist yet; --in-place overwrites a block device"
        }
        Refusal::Link(_) => "name the file itself, or one that does not exist yet",
        Refusal::Unfinished => {
            "the command that began it goes on with it; with --restart this one throws away what it has done"
        }
        Refusal::Mounted(_) => "detach that one first, or name another directory",
        Refusal::IsSource => "name another target",
    }
}

fn interlock_hint(refused: &Refused) -> &'static str {
    match refused {
        Refused::System { .. } => {
            "check the path and its permissions; --in-place needs a target that exists"
        }
        Refused::Kind { .. } => "name a regular file or block device",
        Refused::Link { .. } => {
            "name the file itself; links are followed to devices only, and only those of root or your own"
        }
        Refused::Names { .. } => "name a file that is in a directory of your own, or a copy of it",
        Refused::Unsafe { why, .. } => match why {
            Why::InUse(_) => "unmount or release it first, if it is really to be overwritten",
            Why::Locked(_) => "wait for the other process to end",
            Why::Source { .. } => "name another target: what is restored would be destroyed",
            Why::ReadOnly => "name another target, or make it writable",
            Why::Serial { .. } | Why::Size { .. } => "this is not the device that was meant",
            Why::TooSmall { .. } => "take a larger target; shrink a filesystem after restoring it",
            Why::Misaligned { .. } => "restore a range of whole sectors, or to a file",
        },
    }
}

/// What to try next where a capture stopped.
fn capture_hint(error: &CaptureError) -> &'static str {
    match error {
        CaptureError::Source(_) => "the member must be readable to its end; nothing was written",
        CaptureError::Parent(_) => "verify the parent set, or capture without --parent",
        CaptureError::NoMembers { .. } => {
            "all of it reads as zeros: truncate -s SIZE FILE makes such an image"
        }
        CaptureError::Manifest(_)
        | CaptureError::Write { source: WriteError::Limit { .. }, .. } => {
            "see docs/FORMAT.md for the bounds"
        }
        CaptureError::Target { source, .. } => place_hint(source),
        CaptureError::Write { .. } => {
            "nothing was left under the set's name; make space or choose another place"
        }
        CaptureError::Exists { .. } => "choose another --set-id or directory",
        CaptureError::ChunkSize { .. } => "leave --chunk-size out to take the parent's",
        CaptureError::Interrupted => "nothing was left under the set's name; run the command again",
        CaptureError::Start(_) => "fewer --jobs need less",
    }
}
