//! The server's side: opens the set, shows it, and goes on in the background.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::SystemTime;

use attach::{Device, Event, Name, Options, Place, Server, sector_size_for};
use jiff::Timestamp;
use rustix::process::Signal;

use super::handshake::{self, Ready};
use super::home;
use super::image::{Checked, Log, Shown};
use super::mounts::Filesystems;
use crate::args::{AttachArgs, Common};
use crate::exit::{Exit, Failure};
use crate::given::Given;
use crate::output::note;
use crate::signals::Listener;
use crate::view::set_name::SetName;

/// Reads wait for storage more than for processors, and as many as this cost little.
const LEAST_WORKERS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Serves the set selected until it is detached.
pub(super) fn run(args: &AttachArgs, common: &Common) -> Result<Exit, Failure> {
    let given = Given::look(&args.set, common)?;
    let subject = match &args.mount {
        Some(_) => given.whole_disk()?,
        None => given.subject()?,
    };
    let checked = Checked::new(args, &given, &subject)?;
    let place = home()?.place(args.name.clone().unwrap_or_else(|| Name::of_id(subject.id())));
    let SetName { set_id, content_id, warnings, overlay: _ } = SetName::of(&subject);
    // What is written over a set has no content id.
    let content_id = content_id.filter(|_| args.overlay.is_none());
    let set = set_id.map(|id| (id.to_string(), content_id.map(|id| id.to_string())));
    let (time, sector_size) = (subject.time(), subject.sector_size()?);
    // From here on there is something to take down.
    let signals = Listener::start();
    let log = log(common.verbose);
    let Shown { disk, behind, background } = checked.open(subject, args, common, &log)?;
    let filesystems = Filesystems::look(args, &disk, sector_size)?;
    let mut devices = Vec::new();
    if rustix::process::geteuid().is_root() {
        devices.push(whole(disk.image().size(), sector_size, args.partscan));
        devices.extend(filesystems.devices(sector_size));
    }
    let options = Options {
        place: place.clone(),
        set,
        warnings,
        modified: time.map_or(SystemTime::UNIX_EPOCH, SystemTime::from),
        devices,
        workers: common.jobs().max(LEAST_WORKERS),
        behind,
        log,
    };
    handshake::begin(place.name()).map_err(Failure::System)?;
    let server = Server::start(disk, options)?;
    filesystems.warn(server.state());
    let mounts = filesystems.plans(server.state());
    leave(&Ready { state: server.state().clone(), mounts }, &place, args.foreground)
        .map_err(Failure::System)?;
    server.serve(&|| signals.is_set()).map_err(Failure::System)?;
    // What is durable of the local copy stays for the next time.
    drop(background);
    Ok(Exit::Done)
}

/// A device over the whole volume.
fn whole(size: u64, sector_size: u32, scan_partitions: bool) -> Device {
    let sector_size = sector_size_for(&(0..size), sector_size);
    Device { partition: None, start: 0, length: size, sector_size, scan_partitions }
}

/// Says what happens, with the time: what is said later is in a log.
fn log(verbose: bool) -> Log {
    Arc::new(move |event| {
        if verbose || !matches!(event, Event::Without { .. }) {
            note(&format!("{:.0} {event}", Timestamp::now()));
        }
    })
}

/// Tells who waits that all can be used, and goes on without them.
fn leave(ready: &Ready, place: &Place, foreground: bool) -> io::Result<()> {
    if foreground {
        // Who stays takes the volume down before it ends; this is for one that is killed.
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    }
    rustix::process::setsid()?;
    let text = serde_json::to_vec(ready).map_err(io::Error::from)?;
    io::stdout().write_all(&text)?;
    io::stdout().flush()?;
    if !foreground {
        let mut log = OpenOptions::new();
        let log = log.create(true).append(true).mode(0o600).open(place.log())?;
        rustix::stdio::dup2_stderr(&log)?;
    }
    std::env::set_current_dir("/")?;
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(())
}
