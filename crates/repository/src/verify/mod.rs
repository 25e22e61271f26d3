//! The deep check of a set: every file it needs, every byte of them, and that each chain adds up to
//! the state its files name.

mod chain;

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use snapfmt::verify::{Unit, check_state, check_structure, check_unit, units};
use snapfmt::{Decoder, FormatError, SetId, VolumeId};

use crate::catalog::{OpenSet, SnapshotFile};
use chain::{Interrupted, States, states};
use restore::Progress;
use restore::engine::{RunError, pool};
use restore::on_panic::OnPanic;
use restore::threads;

pub use crate::finding::Finding;
pub(crate) use chain::prove_inherited;
pub use snapfmt::verify::Depth;

/// The outcome for one file.
#[derive(Debug)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// The set it belongs to.
    pub set_id: SetId,
    /// Its member volume.
    pub volume_id: VolumeId,
    /// Its length in bytes, every one of which was checked.
    pub stored_bytes: u64,
    /// Chunks its records cover.
    pub chunks: u64,
    /// What is wrong with it: the first [`KEPT`] things that were found, by place.
    pub findings: Vec<Finding>,
    /// What else is.
    pub more: More,
}

/// Findings of a file that are kept. Others are counted by where they are, and told: a file that is all
/// noise has one for each of its chunks.
pub const KEPT: usize = 1000;

/// Findings beyond those that are kept, by the part of the file that they are in.
#[derive(Clone, Debug, Default)]
pub struct More {
    len: u64,
    counts: [u64; Self::PARTS],
}

impl More {
    const PARTS: usize = 32;

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Bytes of the file with such findings in them, and how many.
    pub fn ranges(&self) -> Vec<(Range<u64>, u64)> {
        let mut ranges: Vec<(Range<u64>, u64)> = Vec::new();
        for (n, count) in (0..).zip(self.counts).filter(|(_, count)| *count > 0) {
            let part = self.part();
            let range = n * part..((n + 1) * part).min(self.len);
            match ranges.last_mut() {
                Some((last, sum)) if last.end == range.start => {
                    last.end = range.end;
                    *sum += count;
                }
                _ => ranges.push((range, count)),
            }
        }
        ranges
    }

    const fn part(&self) -> u64 {
        let part = self.len.div_ceil(Self::PARTS as u64);
        if part == 0 { 1 } else { part }
    }

    fn add(&mut self, at: u64) {
        let part = usize::try_from(at / self.part()).unwrap_or(usize::MAX);
        if let Some(count) = self.counts.get_mut(part.min(Self::PARTS - 1)) {
            *count += 1;
        }
    }
}

/// Hears of every finding when it is found: of which file, and what.
pub type Told<'t> = dyn Fn(&Path, &dyn fmt::Display) + Sync + 't;

/// What is found in one file, while it is checked.
struct Found<'f> {
    path: &'f Path,
    told: &'f Told<'f>,
    kept: Vec<FormatError>,
    more: More,
}

impl Found<'_> {
    fn add(&mut self, error: FormatError) {
        (self.told)(self.path, &error);
        if self.kept.len() < KEPT {
            self.kept.push(error);
        } else {
            self.more.add(error.at);
        }
    }
}

/// Checks every file a set needs.
pub fn verify(
    set: &OpenSet,
    depth: Depth,
    jobs: NonZeroUsize,
    progress: &Progress,
) -> Result<Vec<FileReport>, RunError> {
    verify_and_tell(set, depth, jobs, progress, &|_, _| ())
}

/// The same, and `told` hears of every finding at once.
pub fn verify_and_tell(
    set: &OpenSet,
    depth: Depth,
    jobs: NonZeroUsize,
    progress: &Progress,
    told: &Told<'_>,
) -> Result<Vec<FileReport>, RunError> {
    // Chains may have ancestors in common.
    let mut left: HashSet<&Path> = HashSet::new();
    let files = set.all_files().filter(|link| left.insert(&link.path));
    progress.expect(files.map(|link| link.snapshot.file().len()).sum());
    let pool = pool(jobs.min(threads::most()).get()).map_err(RunError::Start)?;
    let mut reports = Vec::new();
    for chain in &set.chains {
        let is_chain = chain.first().is_some_and(|newest| newest.snapshot.is_incremental());
        let links = if is_chain { chain.as_slice() } else { &[] };
        let states = states(links, progress).map_err(|Interrupted| RunError::Interrupted)?;
        // The states are known from the oldest link on.
        for (age, link) in (0..chain.len()).rev().zip(chain) {
            if !left.remove(&*link.path) {
                continue;
            }
            let (mut findings, more) = check_file(link, depth, &pool, progress, told)?;
            if let Err(finding) = check_chain(link, age, &states) {
                told(&link.path, &finding);
                findings.push(finding);
            }
            let manifest = link.snapshot.manifest();
            reports.push(FileReport {
                path: link.path.clone(),
                set_id: manifest.set.id.clone(),
                volume_id: manifest.own().volume_id.clone(),
                stored_bytes: link.snapshot.file().len(),
                chunks: link.snapshot.index().totals.chunks(),
                findings,
                more,
            });
        }
    }
    Ok(reports)
}

/// The chain must add up to the state that the file names; a full file is checked by itself.
fn check_chain(link: &SnapshotFile, age: usize, states: &States) -> Result<(), Finding> {
    if !link.snapshot.is_incremental() {
        return Ok(());
    }
    let expected = link.snapshot.footer().state;
    match states.known.get(age) {
        Some(found) if *found == expected => Ok(()),
        Some(found) => Err(Finding::State { expected, found: *found }),
        None => states.broken.clone().map_or(Ok(()), |error| Err(Finding::Chain(error))),
    }
}

fn check_file(
    link: &SnapshotFile,
    depth: Depth,
    pool: &rayon::ThreadPool,
    progress: &Progress,
    told: &Told<'_>,
) -> Result<(Vec<Finding>, More), RunError> {
    let snapshot = &*link.snapshot;
    let more = More { len: snapshot.file().len(), ..More::default() };
    let mut findings = Found { path: &link.path, told, kept: Vec::new(), more };
    let is_over = || progress.is_cancelled();
    for check in [check_structure(snapshot, is_over), check_state(snapshot, is_over)] {
        check.err().into_iter().for_each(|error| findings.add(error));
    }
    if is_over() {
        return Err(RunError::Interrupted);
    }
    let rest = snapshot.file().len() - (snapshot.footer().index - snapshot.footer().records);
    progress.advance(rest, 0);
    let queue = Mutex::new(units(snapshot));
    let found = Mutex::new(findings);
    let error = Mutex::new(None);
    let is_over = AtomicBool::new(false);
    pool.scope(|scope| {
        for _ in 0..pool.current_num_threads() {
            scope.spawn(|_| {
                let _guard = OnPanic(|| is_over.store(true, Ordering::Relaxed));
                let more = || (!is_over.load(Ordering::Relaxed)).then(|| lock(&queue).next())?;
                if let Err(e) = check_units(link, depth, more, &found, progress) {
                    is_over.store(true, Ordering::Relaxed);
                    lock(&error).get_or_insert(e);
                }
            });
        }
    });
    if let Some(error) = lock(&error).take() {
        return Err(error);
    }
    let Found { mut kept, more, .. } = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    kept.sort_by_key(|e| e.at);
    Ok((kept.into_iter().map(Finding::Format).collect(), more))
}

/// One worker: takes units until there are no more.
fn check_units(
    link: &SnapshotFile,
    depth: Depth,
    more: impl Fn() -> Option<Result<Unit, FormatError>>,
    found: &Mutex<Found<'_>>,
    progress: &Progress,
) -> Result<(), RunError> {
    let mut decoder = Decoder::strict().map_err(RunError::Start)?;
    let mut plain = Vec::new();
    loop {
        if progress.is_cancelled() {
            return Err(RunError::Interrupted);
        }
        let Some(unit) = more() else { return Ok(()) };
        match unit {
            Ok(unit) => {
                let mut report = |e| lock(found).add(e);
                check_unit(&link.snapshot, &unit, depth, &mut decoder, &mut plain, &mut report);
                progress.advance(unit.bytes(), unit.bytes());
            }
            Err(e) => lock(found).add(e),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
