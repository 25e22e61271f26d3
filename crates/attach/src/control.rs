//! What can be asked of a server: one line there, one line of JSON back, over a socket in its place.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::figures::{Behind, Figures};
use crate::place::Place;

/// A server answers at once, but may be short of memory or processor time.
const PATIENCE: Duration = Duration::from_secs(20);

/// No question or answer is longer.
const LONGEST: u64 = 64 << 10;

/// What a server is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// What have you done so far?
    Status,
    /// Take down what you made and end, unless a process uses it.
    End,
}

/// How a server does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// What it has done.
    pub figures: Figures,
    /// What is behind the image.
    #[serde(flatten)]
    pub behind: Behind,
}

/// What a server says when it was asked to end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Ending {
    /// It does.
    Ends,
    /// It does, but not all went well: why.
    EndsBadly(String),
    /// A process uses the volume.
    Busy,
}

/// How long it may take a process that was killed to notice.
const DEATH: Duration = Duration::from_secs(1);

/// A server whose socket is open: it lives, or is about to be dead.
pub(super) struct Peer {
    stream: UnixStream,
    pid: Pid,
    process: OwnedFd,
}

/// Why a server did not answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// It was killed. It may not be dead yet: the kernel writes what is left in the page cache of a device to
    /// that device when its last user ends, which here waits for the very server that ends.
    Dying,
    /// It is there, but says nothing, or nothing sensible.
    Silent(io::Error),
}

impl Peer {
    /// The server of a place; `None` if it is dead, or there never was one.
    pub(super) fn of(place: &Place) -> io::Result<Option<Self>> {
        let stream = match UnixStream::connect(place.socket()) {
            // The kernel refuses where no process listens any more.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            stream => stream?,
        };
        set_patience(&stream)?;
        let pid = socket_peercred(&stream)?.pid;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => Ok(None),
            process => Ok(Some(Self { stream, pid, process: process? })),
        }
    }

    /// Asks for its status.
    pub(super) fn status(&self) -> Result<Status, NoAnswer> {
        self.ask(Question::Status)
    }

    /// Asks it to end, and waits until its process is gone.
    pub(super) fn end(&self) -> Result<Ending, NoAnswer> {
        let answer = self.ask(Question::End)?;
        if answer != Ending::Busy && !self.ends_within(PATIENCE) {
            return Err(NoAnswer::Silent(io::ErrorKind::TimedOut.into()));
        }
        Ok(answer)
    }

    fn ask<T: DeserializeOwned>(&self, question: Question) -> Result<T, NoAnswer> {
        if self.is_dying() {
            return Err(NoAnswer::Dying);
        }
        let answer = say(&self.stream, &question).and_then(|()| hear(&self.stream));
        answer.map_err(|error| {
            let dying = self.ends_within(DEATH) || self.is_dying();
            if dying { NoAnswer::Dying } else { NoAnswer::Silent(error) }
        })
    }

    fn ends_within(&self, patience: Duration) -> bool {
        let patience = Timespec::try_from(patience).ok();
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        poll(&mut ended, patience.as_ref()).is_ok_and(|ended| ended > 0)
    }

    /// Whether the process has begun to end: `PF_EXITING` of `include/linux/sched.h` among its flags, the
    /// ninth field of its line of figures (`proc_pid_stat(5)`).
    fn is_dying(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The second field is a name with anything in it, in brackets.
        let flags = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(6));
        flags.and_then(|flags| flags.parse::<u64>().ok()).is_none_or(|flags| flags & 4 != 0)
    }
}

/// How long one side waits for the other.
pub(super) fn set_patience(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// Sends one line.
pub(super) fn say<T: Serialize>(mut stream: &UnixStream, what: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(what).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Receives one line.
pub(super) fn hear<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST)).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(io::Error::from)
}
