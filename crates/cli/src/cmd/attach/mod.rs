//! `attach`: a set as a file and a loop device, now.
//!
//! Two processes. The one that the user started starts this program again, as the server; that one opens
//! all there is to be opened, says on its standard output what it made, and serves. Until then its messages
//! go where the user's do, and its exit code is the command's.

mod hydrate;
mod image;
mod mounts;
mod serve;
mod view;

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use restore::attach::{Attached, Home, Plan, State};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::{AttachArgs, Common};
use crate::exit::{AttachFailure, Exit, Failure};
use crate::output::{Output, note};
pub(super) use view::AttachedView;

/// How soon a signal is heard.
const TICK: Duration = Duration::from_millis(50);

/// What a server says when all it made can be used.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    state: State,
    /// What is to be mounted, by whoever waits: a server must not wait for itself.
    mounts: Vec<Plan>,
}

/// Attaches the set selected.
pub(crate) fn run(args: &AttachArgs, common: &Common, output: Output) -> Result<Exit, Failure> {
    if args.serve {
        return serve::run(args, common);
    }
    let asked = args.foreground.then(Signals::heard).transpose().map_err(Failure::System)?;
    let mut server = start().map_err(Failure::System)?;
    let ready = match ready(&mut server).map_err(Failure::System)? {
        Ok(ready) => ready,
        Err(exit) => return Ok(exit),
    };
    let place = home()?.place(ready.state.name);
    if let Err(failure) = finish(Attached::at(place.clone()), ready.mounts, output) {
        Attached::at(place).detach()?;
        return Err(failure);
    }
    match asked {
        Some(signals) => stay(&mut server, &signals, || Attached::at(place.clone())),
        None => Ok(Exit::Done),
    }
}

/// Mounts what is to be mounted, and says that all can be used.
fn finish(mut attached: Attached, mounts: Vec<Plan>, output: Output) -> Result<(), Failure> {
    if !mounts.is_empty() {
        attached.mount(mounts)?;
    }
    match attached.state() {
        Some(state) => output.result(&AttachedView::new(state), AttachedView::line),
        None => Err(Failure::System(io::ErrorKind::NotFound.into())),
    }
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

/// Waits for what the server made, or its exit code. A server that fails has said why.
fn ready(server: &mut Child) -> io::Result<Result<Ready, Exit>> {
    let mut said = Vec::new();
    if let Some(mut stdout) = server.stdout.take() {
        stdout.read_to_end(&mut said)?;
    }
    if let Ok(ready) = serde_json::from_slice(&said) {
        return Ok(Ok(ready));
    }
    io::stdout().write_all(&said)?;
    Ok(Err(Exit::of(server.wait()?)))
}

/// Stays until a signal comes that finds nobody using the volume, or the server has ended.
fn stay(
    server: &mut Child,
    signals: &Signals,
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

/// SIGINT and SIGTERM, from when this was made.
struct Signals(Arc<AtomicBool>);

impl Signals {
    fn heard() -> io::Result<Self> {
        let heard = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, heard.clone())?;
        }
        Ok(Self(heard))
    }

    /// Whether one has come.
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether one came since the last time.
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
