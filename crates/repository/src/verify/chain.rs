//! What chains add up to, by the digests in the indexes alone: no data is read. All links are walked at
//! once, so that the work grows with their records, whatever the length of the chain.

use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use snapfmt::state::{StateBuilder, Subtree, zero_digest};
use snapfmt::{ChunkNo, Content, FormatError, Geometry, Record, StateId};

use crate::catalog::{CatalogError, OpenSet, SnapshotFile};
use restore::Progress;
use restore::source::{ReadCause, ReadError};

/// The states of a chain's links.
pub(super) struct States {
    /// Those that are known, oldest first.
    pub(super) known: Vec<StateId>,
    /// Why that of the next one, and of all that build on it, is not.
    pub(super) broken: Option<Arc<ReadError>>,
}

/// The caller does not want to know any more.
#[derive(Debug)]
pub(super) struct Interrupted;

/// Computes the state of every link of `chain`, which is newest first as those of an [`OpenSet`] are.
pub(super) fn states(chain: &[SnapshotFile], progress: &Progress) -> Result<States, Interrupted> {
    let parents = chain.iter().skip(1).map(|link| Some(link.snapshot.geometry())).chain([None]);
    let mut links: Vec<Link<'_>> =
        chain.iter().zip(parents).map(|(file, parent)| Link::new(file, parent)).collect();
    links.reverse();
    let chunk_size = |link: &Link<'_>| link.geometry.chunk_size();
    let Some(first) = links.first().map(chunk_size) else {
        return Ok(States { known: Vec::new(), broken: None });
    };
    let mut tree = Subtree::new(first);
    let mut broken = None;
    let most = links.iter().map(|link| link.geometry.chunks()).max().unwrap_or(0);
    let mut at = 0;
    while at < most {
        let end = at.saturating_add(Subtree::SPAN);
        let mut fault = None;
        for (number, link) in links.iter_mut().enumerate() {
            if progress.is_cancelled() {
                return Err(Interrupted);
            }
            if let Err(error) = link.add(at, end, &mut tree) {
                fault = Some((number, error));
                break;
            }
        }
        if let Some((number, error)) = fault {
            links.truncate(number);
            broken = Some(Arc::new(error));
        }
        at = end;
    }
    let known = links.into_iter().map_while(|link| link.state.finish()).collect();
    Ok(States { known, broken })
}

/// A link, as far as it was walked.
struct Link<'c> {
    file: &'c SnapshotFile,
    geometry: Geometry,
    parent: Option<Geometry>,
    records: Peekable<Box<dyn Iterator<Item = Result<Record, FormatError>> + 'c>>,
    state: StateBuilder,
}

impl<'c> Link<'c> {
    fn new(file: &'c SnapshotFile, parent: Option<Geometry>) -> Self {
        let geometry = file.snapshot.geometry();
        let records: Box<dyn Iterator<Item = _> + 'c> = Box::new(file.snapshot.records());
        let records = records.peekable();
        Self { file, geometry, parent, records, state: StateBuilder::new(geometry) }
    }

    /// Adds the chunks of one tree's span to the state. `tree` has the parent's; what this link has of
    /// its own takes their place.
    fn add(&mut self, first: u32, end: u32, tree: &mut Subtree) -> Result<(), ReadError> {
        let end = end.min(self.geometry.chunks());
        let mut at = first;
        while at < end {
            let record = match self.records.peek() {
                Some(Ok(record)) if record.first.0 < end => *record,
                Some(Err(_)) => return Err(self.unreadable()),
                _ => break,
            };
            self.check_inherited(at..record.first.0)?;
            let until = record.end().min(end);
            match record.content {
                Content::Data { digest, .. } => {
                    tree.set(record.first.0.saturating_sub(first), digest);
                }
                Content::Zero { .. } | Content::Hole { .. } => {
                    self.add_zeros(record.first.0.max(at)..until, first, tree);
                }
            }
            at = until;
            if record.end() <= end {
                self.records.next();
            }
        }
        self.check_inherited(at..end)?;
        tree.add_to(&mut self.state, end.saturating_sub(first));
        Ok(())
    }

    /// The last chunk of the member may be short.
    fn add_zeros(&self, zeros: Range<u32>, first: u32, tree: &mut Subtree) {
        let Some(last) = zeros.end.checked_sub(1) else { return };
        let len = self.geometry.chunk_len(ChunkNo(last));
        let is_short = len < self.geometry.chunk_size().bytes();
        let end = if is_short { last } else { zeros.end };
        tree.set_zeros(zeros.start.saturating_sub(first)..end.saturating_sub(first));
        if is_short {
            tree.set(last.saturating_sub(first), zero_digest(len));
        }
    }

    /// Chunks without a record are the parent's, as far as that has them.
    fn check_inherited(&self, chunks: Range<u32>) -> Result<(), ReadError> {
        if chunks.is_empty() {
            return Ok(());
        }
        let snapshot = &self.file.snapshot;
        let failed = |cause: ReadCause| Err(ReadError::of(self.file, cause));
        if !snapshot.is_incremental() {
            return failed(snapshot.missing_record(ChunkNo(chunks.start)).into());
        }
        let Range { start, end } =
            self.geometry.bytes(ChunkNo(chunks.start), chunks.end - chunks.start);
        let same_chunks = |parent: &Geometry| parent.chunk_size() == self.geometry.chunk_size();
        let Some(parent) = self.parent.filter(same_chunks) else {
            return failed(ReadCause::NoParent { start });
        };
        let lent = parent.inheritable(self.geometry.size());
        if chunks.end > lent {
            let parent = parent.bytes(ChunkNo(0), lent).end;
            return failed(ReadCause::BeyondParent { start, end, parent });
        }
        Ok(())
    }

    fn unreadable(&mut self) -> ReadError {
        let cause = match self.records.next() {
            Some(Err(error)) => error.into(),
            _ => ReadCause::NoSuchChunk,
        };
        ReadError::of(self.file, cause)
    }
}

/// Proves that what the members of a set inherit is what they were built on, as far as the bytes have digests:
/// those are compared when the bytes are read.
///
/// A content id stands for the files of the set itself, and for the state that each names of its parent.
/// What state a parent has, only this tells; the parent's own word proves nothing.
pub(crate) fn prove_inherited(set: &OpenSet, progress: &Progress) -> Result<(), CatalogError> {
    for chain in &set.chains {
        let [own, below @ ..] = chain.as_slice() else { continue };
        let (Some(parent), Some(named)) = (below.first(), &own.snapshot.manifest().own().parent)
        else {
            continue;
        };
        let States { known, broken } =
            states(below, progress).map_err(|Interrupted| CatalogError::Interrupted)?;
        if let Some(cause) = broken {
            let set_id = own.snapshot.manifest().set.id.clone();
            return Err(CatalogError::Unproved { set_id, cause });
        }
        let found = known.last().copied().unwrap_or_default();
        if found != named.state_id {
            return Err(CatalogError::WrongParent {
                child: own.path.clone(),
                parent: parent.path.clone(),
                volume_id: named.volume_id.clone(),
                set_id: named.set_id.clone(),
                expected: named.state_id,
                found,
            });
        }
    }
    Ok(())
}
