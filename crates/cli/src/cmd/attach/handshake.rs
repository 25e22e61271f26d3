//! What the server says to the process that started it: the name of what it begins to make, on a line, then all
//! that it made. A server that fails says what its command says.

use std::io::{self, Read, Write};
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use attach::{Name, Plan, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::TICK;

/// How long a server may take to make what it began. How long it reads before that is up to the sources.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// What a server says when all it made can be used.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) state: State,
    /// What is to be mounted, by the process that waits: a server must not wait for itself.
    pub(super) mounts: Vec<Plan>,
}

/// What became of a server.
#[derive(Debug)]
pub(super) enum Heard {
    /// All can be used.
    Ready(Box<Ready>),
    /// It ends, and this is what it said.
    Ended(Vec<u8>),
    /// It began to make this, and says nothing more.
    Silent(Name),
}

/// Says that the server begins to make things.
pub(super) fn begin(name: &Name) -> io::Result<()> {
    let mut line = serde_json::to_vec(name).map_err(io::Error::from)?;
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    io::stdout().flush()
}

/// Hears a server to its end, or until it has begun and is silent for too long; `tick` is called meanwhile.
pub(super) fn hear(
    mut server: ChildStdout,
    patience: Duration,
    mut tick: impl FnMut(),
) -> io::Result<Heard> {
    let (mut said, mut part) = (Vec::new(), [0; 4096]);
    let mut begun: Option<(Name, Instant)> = None;
    loop {
        tick();
        if let Some((name, _)) = begun.as_ref().filter(|(_, at)| at.elapsed() > patience) {
            return Ok(Heard::Silent(name.clone()));
        }
        if !is_readable(&server)? {
            continue;
        }
        match server.read(&mut part)? {
            0 => break,
            n => said.extend_from_slice(part.get(..n).unwrap_or_default()),
        }
        if begun.is_none()
            && let Some(name) = take_name(&mut said)
        {
            begun = Some((name, Instant::now()));
        }
    }
    Ok(serde_json::from_slice(&said).map_or(Heard::Ended(said), Heard::Ready))
}

/// The first line, where it is a name.
fn take_name(said: &mut Vec<u8>) -> Option<Name> {
    let end = said.iter().position(|byte| *byte == b'\n')?;
    let name = serde_json::from_slice(said.get(..end)?).ok()?;
    said.drain(..=end);
    Some(name)
}

/// Whether there is something to read, or an end, before the next tick.
fn is_readable(pipe: &ChildStdout) -> io::Result<bool> {
    let tick = Timespec::try_from(TICK).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&tick)) {
        Err(Errno::INTR) => Ok(false),
        ready => Ok(ready? > 0),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::{Heard, hear};

    fn heard(script: &str, patience: Duration) -> Heard {
        let mut server = Command::new("sh");
        let server = server.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = server.spawn().unwrap();
        let heard = hear(server.stdout.take().unwrap(), patience, || {}).unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
        heard
    }

    #[test]
    fn a_server_that_has_begun_is_not_waited_for_for_ever() {
        let (short, long) = (Duration::from_millis(100), Duration::from_secs(60));
        let silent = heard("echo '\"one\"'; exec sleep 60", short);
        assert!(matches!(&silent, Heard::Silent(name) if name.as_str() == "one"), "{silent:?}");
        // One that reads its sources may take as long as they do.
        let slow = heard("sleep 0.5; echo '{}'", short);
        assert!(matches!(&slow, Heard::Ended(said) if said == b"{}\n"), "{slow:?}");
        let failed = heard("echo '\"one\"'; echo '{\"error\": 1}'", long);
        assert!(matches!(&failed, Heard::Ended(said) if said.starts_with(b"{")), "{failed:?}");
    }
}
