//! The process that serves one volume.

pub(crate) mod fuse;
mod session;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fuser::BackgroundSession;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};

use crate::attached::Attached;
use crate::attached::{leftovers, mounted};
use crate::control::{self, Ending, Question, Status};
use crate::error::AttachError;
use crate::figures::{Behind, Counters, Event};
use crate::loop_device::{LoopDevice, Slot, Wanted};
use crate::place::{Claim, Place};
use crate::server::fuse::{Disk, Log, RawFile};
use crate::state::State;
use restore::image::WritableImage;

/// How soon a signal is heard.
const TICK: Duration = Duration::from_millis(200);

/// How long a file that was closed may still seem open.
const LINGER: Duration = Duration::from_secs(1);

/// How far the kernel reads ahead for programs that read in order: enough for several workers to be at
/// it at the same time.
const READ_AHEAD: u64 = 4 << 20;

/// How to serve a volume.
pub struct Options {
    /// Where, and under which name.
    pub place: Place,
    /// The set it is of, and that set's content id, for others to read.
    pub set: Option<(String, Option<String>)>,
    /// What there is to be said of its content, for others to read.
    pub warnings: Vec<String>,
    /// When the volume was at this state.
    pub modified: SystemTime,
    /// The loop devices wanted; the first shows the whole volume. None for users without root.
    pub devices: Vec<Device>,
    /// How many reads are worked on at the same time.
    pub workers: NonZeroUsize,
    /// Says what is behind the image, so far.
    pub behind: Box<dyn Fn() -> Behind + Send + Sync>,
    /// Who is told what happens.
    pub log: Arc<dyn Fn(&Event) + Send + Sync>,
}

/// A loop device wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The partition it is to show; `None` for the whole volume.
    pub partition: Option<u32>,
    /// Its first byte in the volume.
    pub start: u64,
    /// How many bytes it has; what is no whole sector at their end is not on the device.
    pub length: u64,
    /// Its logical sector size in bytes: a power of two from 512 to the size of a page.
    pub sector_size: u32,
    /// Whether the kernel makes devices of the partitions it finds.
    pub scan_partitions: bool,
}

/// The largest sectors a loop device over these bytes can have, up to `wanted`, so that none is cut in two:
/// they are no larger than a page, and bytes that are no multiple of them end in one that only smaller
/// sectors show.
pub fn sector_size_for(range: &Range<u64>, wanted: u32) -> u32 {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(4096);
    let fits =
        |size: &u32| [range.start, range.end].iter().all(|at| at.is_multiple_of((*size).into()));
    Some(wanted.min(page)).filter(fits).unwrap_or(512)
}

/// A volume being served. Dropping it takes it down, even while processes use it.
pub struct Server {
    state: State,
    disk: Disk,
    counters: Arc<Counters>,
    behind: Box<dyn Fn() -> Behind + Send + Sync>,
    log: Log,
    opened: Arc<AtomicUsize>,
    listener: UnixListener,
    // Taken down in this order.
    devices: Vec<LoopDevice>,
    session: Option<BackgroundSession>,
    claim: Option<Claim>,
}

impl Server {
    /// Makes the raw file and the loop devices. They can be used when this comes back.
    pub fn start(disk: Disk, options: Options) -> Result<Self, AttachError> {
        let claim = remove_stale(options.place.claim()?)?;
        let place = claim.place().clone();
        let failed = |source| AttachError::Place { path: place.directory().to_owned(), source };
        let writable = disk.writable().is_some();
        if writable {
            make_safe_under_writeback(&*options.log);
        }
        let state = State {
            name: place.name().clone(),
            pid: std::process::id(),
            set_id: options.set.as_ref().map(|(id, _)| id.clone()),
            content_id: options.set.and_then(|(_, content)| content),
            warnings: options.warnings,
            file: place.raw(),
            size: disk.image().size(),
            writable,
            devices: Vec::new(),
            mounts: Vec::new(),
        };
        let (claim, listener) = create_runtime_directory(claim).map_err(failed)?;
        let counters = Arc::new(Counters::default());
        let opened = Arc::new(AtomicUsize::new(0));
        let files = RawFile {
            disk: disk.clone(),
            name: place.raw_name(),
            modified: options.modified,
            counters: counters.clone(),
            opened: opened.clone(),
            log: options.log.clone(),
        };
        let mut server = Self {
            state,
            disk,
            counters,
            behind: options.behind,
            log: options.log,
            opened,
            listener,
            devices: Vec::new(),
            session: None,
            claim: Some(claim),
        };
        let slots = options.devices.iter().map(|_| Slot::new());
        let slots: Vec<Slot> = slots.collect::<io::Result<_>>().map_err(failed)?;
        server.session = Some(session::mount(files, &place, options.workers)?);
        server.read_ahead_of_file(&place);
        server.make_devices(&options.devices, slots)?;
        server.state.write(&place).map_err(failed)?;
        Ok(server)
    }

    /// What was made.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Answers others until one of them ends it or, when no process uses the volume, `stop` says so; then takes
    /// all down.
    pub fn serve(mut self, stop: &dyn Fn() -> bool) -> io::Result<()> {
        let mut said = false;
        loop {
            self.answer_those_who_wait()?;
            if self.claim.is_none() {
                return Ok(());
            }
            // Unmounted by hand.
            if self.session.as_ref().is_none_or(|session| session.guard.is_finished()) {
                return self.take_down();
            }
            if stop() {
                if !self.is_used_now() {
                    return self.take_down();
                }
                if !std::mem::replace(&mut said, true) {
                    (self.log)(&Event::StillInUse);
                }
            }
        }
    }

    fn answer_those_who_wait(&mut self) -> io::Result<()> {
        let tick = Timespec::try_from(TICK).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&tick)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(e) => return Err(e.into()),
        }
        let Ok((stream, _)) = self.listener.accept() else { return Ok(()) };
        // A peer that asks something unknown, or goes away, gets no answer.
        let Ok(question) =
            control::set_patience(&stream).and_then(|()| control::hear::<Question>(&stream))
        else {
            return Ok(());
        };
        match question {
            Question::Status => drop(control::say(&stream, &self.status())),
            Question::End if self.is_in_use() => drop(control::say(&stream, &Ending::Busy)),
            Question::End => {
                let result = self.take_down();
                let ending = result.as_ref().err().map(|e| Ending::EndsBadly(e.to_string()));
                drop(control::say(&stream, &ending.unwrap_or(Ending::Ends)));
                return result;
            }
        }
        Ok(())
    }

    fn status(&self) -> Status {
        Status { figures: self.counters.figures(), behind: (self.behind)() }
    }

    /// Whether a process uses the file or a device. It is not asked of the file system: that would wait for
    /// this very process.
    fn is_used_now(&self) -> bool {
        // All loop devices share one open file.
        let own = usize::from(!self.devices.is_empty());
        self.opened.load(Ordering::Relaxed) > own || self.devices.iter().any(LoopDevice::is_claimed)
    }

    /// The same, for more than a moment.
    fn is_in_use(&self) -> bool {
        // The kernel tells of a file that was closed a moment later.
        let started = Instant::now();
        while self.is_used_now() {
            if started.elapsed() > LINGER {
                return true;
            }
            thread::sleep(TICK / 20);
        }
        false
    }

    fn take_down(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for device in self.devices.drain(..).rev() {
            result = result.and(device.clear());
        }
        if let Some(session) = self.session.take() {
            // A copy of the mount in another namespace would keep the session alive: it is cut off.
            if let Some(claim) = &self.claim
                && mounted::is_elsewhere(claim.place())
            {
                leftovers::give_up(claim.place());
            }
            // What is still open somewhere keeps it from going; whatever is left is cleared below.
            let _ = session.umount_and_join();
            result = result.and(self.flush());
        }
        if let Some(claim) = self.claim.take() {
            result = result.and(leftovers::clear(claim, None).map_err(io::Error::other));
        }
        result
    }

    /// A process that wrote to the device and closed it may not have asked for its data to be kept.
    fn flush(&self) -> io::Result<()> {
        let flushed = self.disk.writable().map_or(Ok(()), WritableImage::flush);
        flushed.map_err(|error| {
            (self.log)(&Event::Unwritable { error: error.clone() });
            io::Error::other(error)
        })
    }

    fn make_devices(&mut self, wanted: &[Device], slots: Vec<Slot>) -> Result<(), AttachError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let file = self.state.file.clone();
        let failed = |source| AttachError::Loop { file: file.clone(), source };
        let writable = self.state.writable;
        let raw = File::options().read(true).write(writable).open(&file).map_err(failed)?;
        for (device, slot) in wanted.iter().zip(slots) {
            let wanted = Wanted {
                partition: device.partition,
                start: device.start,
                length: device.length,
                sector_size: device.sector_size,
                writable,
                scan_partitions: device.scan_partitions,
            };
            let made = LoopDevice::over(&raw, &wanted, slot).map_err(failed)?;
            if let Err(error) = made.set_read_ahead(READ_AHEAD) {
                self.without("more read-ahead on the loop device", &error);
            }
            if !writable && let Err(error) = made.keep_requests_apart() {
                self.without("keeping damage from spreading to its neighbours", &error);
            }
            self.state.devices.push(made.state().clone());
            self.devices.push(made);
        }
        Ok(())
    }

    /// The kernel gives FUSE 128 KiB of read-ahead at most; root may have more
    /// (`Documentation/ABI/testing/sysfs-class-bdi`).
    fn read_ahead_of_file(&self, place: &Place) {
        let tuned = fs::metadata(place.disk()).and_then(|meta| {
            let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
            let knob = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
            fs::write(knob, (READ_AHEAD >> 10).to_string())
        });
        if let Err(error) = tuned {
            self.without("more read-ahead on the raw file", &error);
        }
    }

    fn without(&self, what: &'static str, why: &io::Error) {
        (self.log)(&Event::Without { what, why: why.to_string() });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that ended as it should has nothing left to take down.
        let _ = self.take_down();
    }
}

/// Clears away what a dead server has left under the same name.
fn remove_stale(claim: Claim) -> Result<Claim, AttachError> {
    let place = claim.place().clone();
    let is_empty =
        fs::read_dir(place.directory()).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty {
        return Ok(claim);
    }
    let stale = |e| AttachError::Stale { name: place.name().clone(), source: Box::new(e) };
    // A server that lives would hold it.
    Attached::at(place.clone()).clear_held(claim).map_err(stale)?;
    place.claim()
}

/// Makes the directory for the mount, and the socket. Where that cannot be done nothing is left.
fn create_runtime_directory(claim: Claim) -> io::Result<(Claim, UnixListener)> {
    let place = claim.place();
    let made = DirBuilder::new().mode(0o700).create(place.disk());
    let listener = made.and_then(|()| {
        let listener = UnixListener::bind(place.socket())?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    match listener {
        Ok(listener) => Ok((claim, listener)),
        Err(error) => {
            // The first error says why; what cannot be removed either is stale, and found by others.
            let _ = claim.remove();
            Err(error)
        }
    }
}

/// The kernel may have to write to the device to free memory, and the server must not need memory that is
/// freed by that (`PR_SET_IO_FLUSHER(2const)`); nor may its own be swapped out to be read back through
/// itself.
fn make_safe_under_writeback(log: &(dyn Fn(&Event) + Send + Sync)) {
    let without =
        |what, error: Errno| log(&Event::Without { what, why: io::Error::from(error).to_string() });
    if let Err(error) = rustix::process::configure_io_flusher_behavior(true) {
        without("the kernel's memory reserve for writeback", error);
    }
    // What is there now, and what will be, as it is touched.
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(error) = mlockall(all) {
        without("locked memory", error);
    }
}

#[cfg(test)]
mod tests {
    use super::create_runtime_directory;
    use crate::Home;

    #[test]
    fn a_place_that_cannot_have_a_socket_is_not_left_behind() {
        let base = tempfile::tempdir().unwrap();
        // A socket's path has room for 108 bytes (`unix(7)`).
        let home = Home::new(base.path().join("x".repeat(108)));
        let place = home.place("one".parse().unwrap());
        create_runtime_directory(place.claim().unwrap()).unwrap_err();
        assert!(!home.path().exists());
    }
}
