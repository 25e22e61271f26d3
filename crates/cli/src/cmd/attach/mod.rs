//! `attach`: a set as a file and a loop device, now.
//!
//! Two processes. The one that the user started starts this program again, as the server; that one opens
//! all there is to be opened, says on its standard output what it made, and serves. Until then its messages
//! go where the user's do, and its exit code is the command's.

mod handshake;
mod hydrate;
mod image;
mod mounts;
mod serve;
mod view;

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use attach::{Attached, DetachError, Home, Plan};
use rustix::process::{Pid, Signal, kill_process};

use handshake::{Heard, PATIENCE, Ready, hear};

use crate::args::{AttachArgs, Common};
use crate::exit::{AttachFailure, Exit, Failure};
use crate::output::{Output, note};
use crate::signals::Listener;
pub(super) use view::AttachedView;

/// How soon a signal is heard.
const TICK: Duration = Duration::from_millis(50);

/// Attaches the set selected.
pub(crate) fn run(args: &AttachArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    if args.serve {
        return serve::run(args, common);
    }
    let signals = Listener::start();
    let mut server = start().map_err(Failure::System)?;
    let ready = match ready(&mut server, &signals)? {
        Ok(ready) => ready,
        // Whatever the server said: it has ended.
        Err(exit) => return Ok(signals.exit().unwrap_or(exit)),
    };
    let place = home()?.place(ready.state.name);
    let attached = || Attached::at(place.clone());
    let finished = finish(attached(), ready.mounts, &signals, output);
    if !matches!(finished, Ok(None)) {
        take_down(&mut server, &attached)?;
    }
    match finished? {
        Some(exit) => Ok(exit),
        None if args.foreground => stay(&mut server, &signals, attached),
        None => Ok(Exit::Done),
    }
}

/// Mounts what is to be mounted, and says that all can be used, unless a signal comes first.
fn finish(
    mut attached: Attached,
    mounts: Vec<Plan>,
    signals: &Listener,
    output: Output,
) -> Result<Option<Exit>, Failure> {
    if !mounts.is_empty() && signals.exit().is_none() {
        attached.mount(mounts)?;
    }
    if let Some(exit) = signals.exit() {
        return Ok(Some(exit));
    }
    let state = attached.state().ok_or_else(|| Failure::System(io::ErrorKind::NotFound.into()))?;
    output.result(&AttachedView::new(state), AttachedView::line).map_err(
        |failure| match failure {
            Failure::Stdout(error) => Failure::Attach(AttachFailure::Unsaid(error)),
            other => other,
        },
    )?;
    Ok(None)
}

/// Takes down what was not finished.
fn take_down(server: &mut Child, attached: &dyn Fn() -> Attached) -> Result<(), Failure> {
    let detach = || if attached().place().exists() { attached().detach() } else { Ok(()) };
    let detached = match detach() {
        // The server has heard the same signal, and is at it already.
        Err(DetachError::Claimed { .. }) => {
            server.wait().map_err(Failure::System)?;
            detach()
        }
        detached => detached,
    };
    detached?;
    server.wait().map_err(Failure::System)?;
    Ok(())
}

/// Where what this user attaches is found.
pub(super) fn home() -> Result<Home, Failure> {
    let base = if rustix::process::geteuid().is_root() {
        PathBuf::from("/run")
    } else {
        let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
        own.map(PathBuf::from).ok_or(Failure::Attach(AttachFailure::NoRuntimeDirectory))?
    };
    Ok(Home::new(base.join("snaprestore")))
}

/// Starts this program again with the same arguments. Global options may stand before the name of the
/// subcommand, but none of them takes a word like it.
fn start() -> io::Result<Child> {
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    let subcommand = args.iter().position(|arg| arg == "attach").map_or(0, |at| at + 1);
    args.insert(subcommand, "--serve".into());
    // The program may have been replaced since it was started; by its name it is easier to find.
    let own = PathBuf::from("/proc/self/exe");
    let program = std::env::current_exe().ok().filter(|path| path.exists()).unwrap_or(own);
    Command::new(program)
        .arg0("snaprestore")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
}

/// Waits for what the server made, or its exit code. A server that fails has said why. Signals are passed on to it,
/// for not all go to both.
fn ready(server: &mut Child, signals: &Listener) -> Result<Result<Ready, Exit>, Failure> {
    let stdout =
        server.stdout.take().ok_or_else(|| Failure::System(io::ErrorKind::BrokenPipe.into()))?;
    let pid = Pid::from_child(server);
    let mut is_told = false;
    let pass_signals_on = || {
        if signals.exit().is_some() && !std::mem::replace(&mut is_told, true) {
            // That it has ended by itself is no error.
            let _ = kill_process(pid, Signal::TERM);
        }
    };
    match hear(stdout, PATIENCE, pass_signals_on).map_err(Failure::System)? {
        Heard::Ready(ready) => Ok(Ok(*ready)),
        Heard::Ended(said) => {
            io::stdout().write_all(&said).map_err(Failure::System)?;
            Ok(Err(Exit::of(server.wait().map_err(Failure::System)?)))
        }
        Heard::Silent(name) => {
            server.kill().map_err(Failure::System)?;
            let place = home()?.place(name.clone());
            take_down(server, &|| Attached::at(place.clone()))?;
            Err(Failure::Attach(AttachFailure::Silent { name, patience: PATIENCE }))
        }
    }
}

/// Stays until a signal comes while no process uses the volume, or the server has ended.
fn stay(
    server: &mut Child,
    signals: &Listener,
    attached: impl Fn() -> Attached,
) -> Result<Exit, Failure> {
    loop {
        if let Some(status) = server.try_wait().map_err(Failure::System)? {
            return Ok(Exit::of(status));
        }
        if signals.take() {
            match attached().detach() {
                Ok(()) => return Ok(Exit::Done),
                Err(error) => note(&format!("{error}; still attached")),
            }
        }
        thread::sleep(TICK);
    }
}
