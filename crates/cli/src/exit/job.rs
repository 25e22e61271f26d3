//! What can stop a job: a restore, a comparison, a restore from pipes, bytes that are read out.

use repository::stream::StreamError;
use restore::engine::RunError;
use restore::extract::ExtractError;
use restore::job::{JobError, Unfinished};
use restore::journal::{BindingMismatch, JournalError};

use super::Exit;
use crate::fingerprint::RAW;

pub(super) fn run_exit(error: &RunError, terminated: bool) -> Exit {
    match error {
        RunError::Damaged(_) => Exit::SourceDamaged,
        RunError::Target { .. } | RunError::ReadBack { .. } => Exit::TargetFailed,
        RunError::Interrupted if terminated => Exit::Terminated,
        RunError::Interrupted => Exit::Interrupted,
        RunError::Start(_) => Exit::Failed,
    }
}

pub(super) fn run_hint(error: &RunError) -> &'static str {
    match error {
        RunError::Damaged(_) => {
            "restore --salvage leaves damaged ranges out and lists them; another copy of the file may be whole"
        }
        RunError::Target { .. } => "make space or choose another place",
        RunError::ReadBack { .. } => "the medium of the target may be failing",
        RunError::Interrupted => "run the command again",
        RunError::Start(_) => "fewer --jobs need less",
    }
}

pub(super) fn extract_hint(error: &ExtractError) -> &'static str {
    match error {
        ExtractError::Image { .. } => {
            "the bytes before it are written; --offset reads on behind it, another copy of the file may be whole"
        }
        ExtractError::Output(_) => "make space or choose another place",
        ExtractError::Interrupted => "the bytes written so far stay",
    }
}

pub(super) fn job_exit(error: &JobError, terminated: bool) -> Exit {
    match error {
        JobError::Run(error) => run_exit(error, terminated),
        JobError::Journal(JournalError::Io { .. })
        | JobError::Target { .. }
        | JobError::Mismatch { .. } => Exit::TargetFailed,
        JobError::Journal(_)
        | JobError::Leftover { .. }
        | JobError::Foreign { .. }
        | JobError::Changed { .. }
        | JobError::Exists { .. }
        | JobError::Busy { .. } => Exit::TargetRefused,
    }
}

/// A file cannot be made where no directory is.
const NO_DIRECTORY: &str =
    "there is no such file or directory: make the directory first, or name another place";

/// A target could not be made or finished.
pub(super) fn target_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => NO_DIRECTORY,
        _ => "nothing was left under the target's name",
    }
}

/// Whether the bytes went to a pipe that has lost its reader.
pub(super) fn has_lost_its_reader(error: &JobError) -> bool {
    match error {
        JobError::Run(RunError::Target { source, .. }) | JobError::Target { source, .. } => {
            source.kind() == std::io::ErrorKind::BrokenPipe
        }
        _ => false,
    }
}

pub(super) fn job_hint(unfinished: &Unfinished, in_place: bool) -> &'static str {
    let resumable = unfinished.proven > 0;
    match &unfinished.error {
        JobError::Target { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            NO_DIRECTORY
        }
        JobError::Run(RunError::Interrupted) if resumable => {
            "run the command again to go on from here, or with --restart to start over"
        }
        JobError::Run(RunError::Interrupted) if in_place => {
            "the target may be partly overwritten; run the command again"
        }
        JobError::Run(RunError::Interrupted) => "nothing was left; run the command again",
        JobError::Run(RunError::Target { .. })
        | JobError::Target { .. }
        | JobError::Journal(JournalError::Io { .. })
            if resumable =>
        {
            "make space or mend the medium, then run the command again: it goes on from here"
        }
        JobError::Run(RunError::Target { .. }) | JobError::Target { .. } if in_place => {
            "the target may be partly overwritten; it may be full, or its medium failing"
        }
        JobError::Run(RunError::Target { .. }) | JobError::Target { .. } => {
            "nothing was left under the target's name; make space or choose another place"
        }
        JobError::Run(error) => run_hint(error),
        JobError::Journal(JournalError::Io { .. }) => {
            "--journal PATH keeps it elsewhere, --no-journal does without"
        }
        JobError::Journal(JournalError::BindingMismatch {
            why: BindingMismatch::Volume { expected, found },
            ..
        }) if [expected, found].iter().all(|word| word.starts_with(RAW)) => {
            "a member was written to or replaced since that restore began, or other members are given: --restart throws away what it has done"
        }
        JobError::Journal(JournalError::BindingMismatch { .. }) | JobError::Leftover { .. } => {
            "the command that began it goes on with it; with --restart this one throws away what it has done; -o may also name another target"
        }
        JobError::Journal(JournalError::Foreign { .. }) | JobError::Foreign { .. } => {
            "it was not touched, for others may have put it there: look at it, and remove it, throw away what is your own with --restart, or choose another target"
        }
        JobError::Changed { .. } => {
            "something else was written there: --restart brings all of it anew"
        }
        JobError::Journal(JournalError::NotAJournal { .. }) => {
            "--restart throws away what a crash has left of a journal; if it is another file, choose another --journal PATH"
        }
        JobError::Journal(JournalError::Busy { .. }) | JobError::Busy { .. } => {
            "wait for the other one to end"
        }
        JobError::Exists { .. } => super::EXISTS_HINT,
        JobError::Mismatch { .. } => "the target's medium is failing: choose another",
    }
}

pub(super) fn stream_exit(error: &StreamError, terminated: bool) -> Exit {
    match error {
        StreamError::Run(error) => run_exit(error, terminated),
        StreamError::Incomplete { .. } => Exit::Incomplete,
        StreamError::NoInput
        | StreamError::NotStream { .. }
        | StreamError::Twice { .. }
        | StreamError::OtherSet { .. }
        | StreamError::Ordered { .. } => Exit::Usage,
        StreamError::Open { .. }
        | StreamError::Read(_)
        | StreamError::Contradiction { .. }
        | StreamError::Mixed { .. } => Exit::SourceDamaged,
    }
}

pub(super) fn stream_hint(error: &StreamError) -> &'static str {
    match error {
        StreamError::Run(error) => run_hint(error),
        StreamError::Incomplete { .. } | StreamError::NoInput => {
            "give a pipe for every member of the set"
        }
        StreamError::NotStream { .. } => "keep the snapshots as files and restore those",
        StreamError::Twice { .. } | StreamError::OtherSet { .. } => {
            "give each member of one set once"
        }
        StreamError::Ordered { .. } => "restore to a file",
        StreamError::Open { .. }
        | StreamError::Read(_)
        | StreamError::Contradiction { .. }
        | StreamError::Mixed { .. } => "nothing was left under the target's name",
    }
}
