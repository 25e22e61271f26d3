//! What can be asked of a server: one line there, one line of JSON back, over a socket in its place.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{PidfdFlags, pidfd_open};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::figures::{Behind, Figures};
use super::place::Place;

/// A server answers at once, but may be short of memory or processor time.
const PATIENCE: Duration = Duration::from_secs(20);

/// No question or answer is longer.
const LONGEST: u64 = 64 << 10;

/// What a server is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// What have you done so far?
    Status,
    /// Take down what you made and end, unless somebody uses it.
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Ending {
    /// It does.
    Ends,
    /// Somebody uses the volume.
    Busy,
}

/// A server that lives: somebody listens.
pub(super) struct Peer {
    stream: UnixStream,
    process: OwnedFd,
}

impl Peer {
    /// The server of a place; `None` if it is dead, or there never was one.
    pub(super) fn of(place: &Place) -> io::Result<Option<Self>> {
        let stream = match UnixStream::connect(place.socket()) {
            // The kernel refuses where nobody listens any more.
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
        let process = pidfd_open(socket_peercred(&stream)?.pid, PidfdFlags::empty())?;
        Ok(Some(Self { stream, process }))
    }

    /// Asks for its status.
    pub(super) fn status(self) -> io::Result<Status> {
        ask(&self.stream, Question::Status)
    }

    /// Asks it to end, and waits until its process is gone.
    pub(super) fn end(self) -> io::Result<Ending> {
        let answer = ask(&self.stream, Question::End)?;
        if answer == Ending::Ends {
            let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
            let patience = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
            if poll(&mut ended, Some(&patience))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(answer)
    }
}

/// Nobody waits for ever for the other side.
pub(super) fn set_patience(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

fn ask<T: DeserializeOwned>(stream: &UnixStream, question: Question) -> io::Result<T> {
    say(stream, &question)?;
    hear(stream)
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
