//! What of a restore is durable already, so that a run that was killed goes on where it was.
//!
//! A journal is a text file that only grows. Its head binds it to a volume, to a range of bytes and
//! to a target; after each sync point of the target it gets a line for every range that is durable
//! since. A line that was cut off by a crash has no valid checksum and ends the journal.

mod error;
mod recognise;
mod text;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::ranges::RangeSet;
use crate::ranges::length;
use crate::sink::Sink;
use host::entry::{self, Entry, NotOwn};
use host::lock::lock;

pub use error::{BindingMismatch, JournalError};
use recognise::{begun, can_be_given_up};
use text::{Line, Lines};

/// How the name of a journal ends.
pub const JOURNAL: &str = ".journal";

/// Most bytes of a journal that are read: some millions of ranges.
const MAX_BYTES: u64 = 256 << 20;

/// Sync points are never closer than this for the sake of time.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a journal belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The volume's content, in a word without blanks: a set content id, say.
    pub volume: String,
    /// Which of its bytes are restored.
    pub range: Range<u64>,
}

/// When the target is made durable while a restore runs: whichever comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyncPoints {
    /// After so many bytes of data.
    pub bytes: u64,
    /// After so much time.
    pub time: Duration,
}

impl Default for SyncPoints {
    fn default() -> Self {
        Self { bytes: 4 << 30, time: Duration::from_secs(5) }
    }
}

/// Ranges that a journal proves, as others see them grow.
pub(crate) type Proven = Arc<RwLock<RangeSet>>;

/// A journal that this process holds alone.
#[derive(Debug)]
pub struct Journal {
    entry: Entry,
    path: PathBuf,
    /// Taken by one sync point at a time.
    file: Mutex<File>,
    state: Mutex<State>,
    proven: Proven,
    /// The keeper should look whether a sync point is due.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What the target is, once it is known.
    target: Option<String>,
    /// Written, but perhaps not durable yet.
    written: RangeSet,
    /// How many bytes of data are among that.
    data: u64,
    /// How many of them make a sync point due.
    enough: u64,
    closed: bool,
}

impl State {
    fn is_due(&self) -> bool {
        !self.written.is_empty() && self.data >= self.enough
    }
}

/// What a journal says already.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// What the target is; `None` when no run has got that far.
    pub target: Option<String>,
    /// What of it is durable.
    pub proven: RangeSet,
}

impl Journal {
    /// Opens the journal at `path`, or begins one that is readable by the user alone.
    ///
    /// # Errors
    ///
    /// A journal of something else is refused, as is one that another process holds, and one that another
    /// user may have put there.
    pub fn open(entry: &Entry, binding: &Binding) -> Result<Self, JournalError> {
        let path = entry.path();
        Self::begin(entry, binding, |bytes, found| read(bytes, &path, binding, found))
    }

    /// Begins a journal in the place of one that is given up, whatever restore that was of. One that a power
    /// cut has left full of zeros is one.
    ///
    /// # Errors
    ///
    /// A file that is no journal is refused, as is one of another user, and one that another process holds.
    pub fn anew(entry: &Entry, binding: &Binding) -> Result<Self, JournalError> {
        let path = entry.path();
        let io = |source| JournalError::Io { path: path.clone(), source };
        let old = entry.open_to_give_up().map_err(|e| JournalError::not_own(&path, e))?;
        if let Some(file) = old {
            let bytes = held(&file, &path)?;
            can_be_given_up(&bytes, &path)?;
            check_own(&file, &path)?;
            if !entry.is(&file).map_err(io)? {
                return Err(JournalError::Busy { path });
            }
            entry.remove().map_err(io)?;
        }
        Self::open(entry, binding)
    }

    /// What a journal says, if there is one. Changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::open`], or without a binding those of [`Journal::anew`].
    pub fn look(entry: &Entry, binding: Option<&Binding>) -> Result<Option<Found>, JournalError> {
        let path = entry.path();
        let opened =
            entry.open_file(OFlags::RDONLY).map_err(|e| JournalError::not_own(&path, e))?;
        let Some(file) = opened else { return Ok(None) };
        let bytes = held(&file, &path)?;
        let mut found = Found::default();
        match binding {
            _ if bytes.is_empty() => {}
            Some(binding) => drop(read(&bytes, &path, binding, &mut found)?),
            None => can_be_given_up(&bytes, &path)?,
        }
        check_own(&file, &path)?;
        Ok(Some(found))
    }

    /// Opens or creates the file; `sound` says how many of the bytes that are there stay.
    fn begin(
        entry: &Entry,
        binding: &Binding,
        sound: impl FnOnce(&[u8], &mut Found) -> Result<u64, JournalError>,
    ) -> Result<Self, JournalError> {
        let path = entry.path();
        let io = |source| JournalError::Io { path: path.clone(), source };
        let (mut file, is_new) = opened(entry)?;
        let bytes = held(&file, &path)?;
        if !entry.is(&file).map_err(io)? {
            // It was finished and removed meanwhile, and its lock with it.
            return Err(JournalError::Busy { path });
        }
        let mut found = Found::default();
        let good = if bytes.is_empty() { 0 } else { sound(&bytes, &mut found)? };
        if !is_new {
            check_own(&file, &path)?;
        }
        if good != file.metadata().map_err(io)?.len() {
            // What a crash cut off gives way to what comes next.
            file.set_len(good).map_err(io)?;
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        if good == 0 {
            append(&mut file, &text::head(binding)).map_err(io)?;
            entry.directory().sync().map_err(io)?;
        }
        let state = State { target: found.target, enough: u64::MAX, ..State::default() };
        Ok(Self {
            entry: entry.clone(),
            path,
            file: file.into(),
            state: state.into(),
            proven: Arc::new(found.proven.into()),
            changed: Condvar::new(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What earlier runs have said of the target; `None` when they have not got that far.
    pub fn target(&self) -> Option<String> {
        self.lock().target.clone()
    }

    /// Says what the target is, in one line. Nothing may have been proved of another.
    pub fn bind(&self, target: &str) -> Result<(), JournalError> {
        self.append(&Line::Target(target).to_text())?;
        self.lock().target = Some(target.to_owned());
        Ok(())
    }

    /// What is known to be durable.
    pub fn proven(&self) -> RangeSet {
        self.proven.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, as it grows.
    pub(crate) fn share(&self) -> Proven {
        Arc::clone(&self.proven)
    }

    /// The bytes `range` have been given to the target, `data` of them as data: zeros cost a sparse
    /// volume nothing, and count for no sync point.
    pub fn done(&self, range: Range<u64>, data: u64) {
        let mut state = self.lock();
        state.written.insert(range);
        state.data = state.data.saturating_add(data);
        if state.is_due() {
            self.changed.notify_all();
        }
    }

    /// Makes what was written so far durable by `sync` and takes note of it.
    ///
    /// # Errors
    ///
    /// When `sync` fails, everything written since the last sync point is void: the kernel may have
    /// dropped it and will not say so again (`fsync(2)`).
    pub fn sync_point(&self, sync: impl FnOnce() -> io::Result<()>) -> Result<(), SyncError> {
        let written = {
            let mut state = self.lock();
            state.data = 0;
            std::mem::take(&mut state.written)
        };
        sync().map_err(SyncError::Target)?;
        let text: String = written.iter().map(|r| Line::Done(r.clone()).to_text()).collect();
        if !text.is_empty() {
            self.append(&text).map_err(SyncError::Journal)?;
        }
        let mut proven = self.proven.write().unwrap_or_else(PoisonError::into_inner);
        proven.extend(written.iter().cloned());
        Ok(())
    }

    /// Makes sync points as they fall due, until [`Journal::close`] is called or one fails.
    pub fn keep(&self, points: SyncPoints, sink: &dyn Sink) -> Result<(), SyncError> {
        self.lock().enough = points.bytes;
        let mut last = Instant::now();
        loop {
            let state = self.lock();
            let left = points.time.saturating_sub(last.elapsed()).max(SHORTEST);
            let idle = |s: &mut State| !s.closed && !s.is_due();
            let woken = self.changed.wait_timeout_while(state, left, idle);
            let (state, _) = woken.unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return Ok(());
            }
            let nothing_new = state.written.is_empty();
            drop(state);
            if !nothing_new {
                self.sync_point(|| sink.sync())?;
            }
            last = Instant::now();
        }
    }

    /// Ends [`Journal::keep`].
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Removes the file: what it was for is finished, or given up.
    pub fn remove(self) -> io::Result<()> {
        let file = self.file.into_inner().unwrap_or_else(PoisonError::into_inner);
        if self.entry.is(&file)? {
            self.entry.remove()?;
        }
        self.entry.directory().sync()
    }

    fn append(&self, text: &str) -> Result<(), JournalError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        append(&mut file, text)
            .map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the file, or makes a new one; says which.
fn opened(entry: &Entry) -> Result<(File, bool), JournalError> {
    let path = entry.path();
    let old = entry.open_file(OFlags::RDWR).map_err(|e| JournalError::not_own(&path, e))?;
    if let Some(file) = old {
        return Ok((file, false));
    }
    match entry.create() {
        // Another restore to the same target began at the same moment.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(JournalError::Busy { path }),
        made => Ok((made.map_err(|source| JournalError::Io { path, source })?, true)),
    }
}

fn check_own(file: &File, path: &Path) -> Result<(), JournalError> {
    entry::check_file(file).map_err(|why| JournalError::not_own(path, NotOwn::Foreign(why)))
}

/// Locks a journal against other processes and reads it.
fn held(file: &File, path: &Path) -> Result<Vec<u8>, JournalError> {
    let io = |source| JournalError::Io { path: path.to_owned(), source };
    if !lock(file).map_err(io)? {
        return Err(JournalError::Busy { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Why a sync point failed.
#[derive(Debug)]
pub enum SyncError {
    /// The target could not be made durable.
    Target(io::Error),
    /// The journal could not be written.
    Journal(JournalError),
}

/// Reads a journal that is there; returns how many of its bytes are sound.
fn read(
    bytes: &[u8],
    path: &Path,
    binding: &Binding,
    found: &mut Found,
) -> Result<u64, JournalError> {
    let mut lines = Lines::new(bytes);
    let Some(head) = lines.head() else {
        // After a crash while it was begun: nothing has been written to a target yet.
        return begun(&lines, path);
    };
    if let Some(why) = BindingMismatch::between(&head, binding) {
        return Err(JournalError::BindingMismatch { path: path.to_owned(), why });
    }
    while let Some(line) = lines.next() {
        match line {
            Line::Target(target) => found.target = Some(target.to_owned()),
            Line::Done(range) => {
                let inside = binding.range.start <= range.start && range.end <= binding.range.end;
                if !inside || length(&range) == 0 {
                    return Err(JournalError::NotAJournal { path: path.to_owned() });
                }
                found.proven.insert(range);
            }
        }
    }
    Ok(lines.sound())
}

fn append(file: &mut File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::{Binding, Journal, JournalError, SyncError};
    use host::entry::Entry;
    use std::io;

    fn binding() -> Binding {
        Binding { volume: "abc".into(), range: 0..100 }
    }

    #[test]
    fn only_what_a_sync_point_made_durable_is_there_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let entry = Entry::at(&path).unwrap();
        {
            let journal = Journal::open(&entry, &binding()).unwrap();
            assert_eq!(journal.target(), None);
            journal.bind("inode 5").unwrap();
            journal.done(0..10, 10);
            journal.done(20..30, 10);
            journal.sync_point(|| Ok(())).unwrap();
            journal.done(10..20, 10);
            let failed = journal.sync_point(|| Err(io::Error::other("no")));
            assert!(matches!(failed, Err(SyncError::Target(_))));
            // What failed is void: it is not proved by the next one that works.
            journal.sync_point(|| Ok(())).unwrap();
            journal.done(50..60, 10);
        }
        let journal = Journal::open(&entry, &binding()).unwrap();
        assert_eq!(journal.target().as_deref(), Some("inode 5"));
        assert_eq!(journal.proven(), [0..10, 20..30].into_iter().collect());
        assert!(matches!(Journal::open(&entry, &binding()), Err(JournalError::Busy { .. })));
    }

    #[test]
    fn zeros_make_no_sync_point_due() {
        let dir = tempfile::tempdir().unwrap();
        let journal =
            Journal::open(&Entry::at(&dir.path().join("j")).unwrap(), &binding()).unwrap();
        journal.lock().enough = 10;
        journal.done(0..90, 9);
        assert!(!journal.lock().is_due());
        journal.done(90..100, 1);
        assert!(journal.lock().is_due());
        journal.sync_point(|| Ok(())).unwrap();
        assert!(!journal.lock().is_due());
    }

    #[test]
    fn cut_off_anywhere_it_says_no_more_than_was_durable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let entry = Entry::at(&path).unwrap();
        let whole = {
            let journal = Journal::open(&entry, &binding()).unwrap();
            journal.bind("t").unwrap();
            for n in 0..5 {
                journal.done(n * 20..n * 20 + 7, 7);
                journal.sync_point(|| Ok(())).unwrap();
            }
            std::fs::read(&path).unwrap()
        };
        let mut last = 0;
        for len in 0..=whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let proven = Journal::open(&entry, &binding()).unwrap().proven();
            assert!(proven.bytes() >= last && proven.bytes().is_multiple_of(7));
            last = proven.bytes();
            assert!(proven.iter().all(|r| r.start % 20 == 0 && r.end == r.start + 7));
        }
        assert_eq!(last, 35);
    }

    #[test]
    fn a_strangers_journal_and_other_files_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let entry = Entry::at(&path).unwrap();
        drop(Journal::open(&entry, &binding()).unwrap());
        let before = std::fs::read(&path).unwrap();
        for other in [
            Binding { volume: "abd".into(), ..binding() },
            Binding { range: 0..101, ..binding() },
            Binding { range: 1..100, ..binding() },
        ] {
            let error = Journal::open(&entry, &other).unwrap_err();
            assert!(matches!(error, JournalError::BindingMismatch { .. }), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, "my notes").unwrap();
        let error = Journal::open(&entry, &binding()).unwrap_err();
        assert!(matches!(error, JournalError::NotAJournal { .. }));
        assert_eq!(std::fs::read(&path).unwrap(), b"my notes");
    }
}
