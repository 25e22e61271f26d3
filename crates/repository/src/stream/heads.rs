//! Opening: the heads of all inputs, read at the same time, make one set or none.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use snapfmt::{ExtentMap, Limits, Manifest, MemberNo, SetManifest, SnapshotStream};

use super::ahead::ReadAhead;
use super::{Stop, StreamError, StreamInput, StreamSet};
use crate::catalog::Missing;
use restore::Layout;
use restore::Progress;
use restore::engine::{RunError, pool};
use restore::on_panic::OnPanic;

/// A member's file, read as far as its first record.
#[derive(Debug)]
pub(super) struct Member<'p> {
    pub(super) path: PathBuf,
    pub(super) stream: SnapshotStream<ReadAhead<'p>>,
}

impl Member<'_> {
    fn manifest(&self) -> &Manifest {
        self.stream.manifest()
    }
}

impl<'p> StreamSet<'p> {
    /// Opens all inputs, each with a thread that waits for it, and reads their heads. `progress` is
    /// the whole job's: cancelling it ends the waiting, too.
    ///
    /// All writers must be there at the same time: none gets further than some buffers before the
    /// heads of the others have been read.
    ///
    /// # Errors
    ///
    /// The first input that is not the head of a full snapshot in stream form; then whatever keeps
    /// them from being one whole set.
    pub fn open(
        inputs: Vec<StreamInput>,
        limits: &Limits,
        progress: &'p Progress,
    ) -> Result<Self, StreamError> {
        if inputs.is_empty() {
            return Err(StreamError::NoInput);
        }
        let stop = Arc::new(Stop::new(progress));
        let heads = Mutex::new((Vec::with_capacity(inputs.len()), None));
        pool(inputs.len()).map_err(RunError::Start)?.scope(|scope| {
            for input in inputs {
                scope.spawn(|_| {
                    let _guard = OnPanic(|| stop.abandon());
                    match head(input, limits, &stop) {
                        Ok((member, map)) => {
                            let mut heads = heads.lock().unwrap_or_else(PoisonError::into_inner);
                            heads.0.push(member);
                            // One map is as good as another, their digests being equal in one set.
                            heads.1.get_or_insert(map);
                        }
                        Err(error) => stop.fail(error),
                    }
                });
            }
        });
        stop.check()?;
        let (mut members, map) = heads.into_inner().unwrap_or_else(PoisonError::into_inner);
        members.sort_by(|a, b| {
            let key = |m: &Member<'_>| (m.manifest().member, m.path.clone());
            key(a).cmp(&key(b))
        });
        let set = one_set(&members)?.clone();
        let layout = map.map(Layout::new).ok_or(StreamError::NoInput)?;
        Ok(Self { set, layout, members, stop })
    }
}

fn head<'p>(
    input: StreamInput,
    limits: &Limits,
    stop: &Arc<Stop<'p>>,
) -> Result<(Member<'p>, ExtentMap), StreamError> {
    let StreamInput { path, open } = input;
    match ReadAhead::open(open, stop.clone()) {
        Ok(reader) => match SnapshotStream::open(reader, limits) {
            Ok((stream, map)) => Ok((Member { path, stream }, map)),
            Err(error) => Err(StreamError::format(&path, error)),
        },
        Err(source) => Err(StreamError::Open { path, source }),
    }
}

/// The set that `members`, in the order of their numbers, are all the members of.
fn one_set<'m>(members: &'m [Member<'_>]) -> Result<&'m SetManifest, StreamError> {
    let Some(first) = members.first() else { return Err(StreamError::NoInput) };
    let set = &first.manifest().set;
    for other in members {
        let found = &other.manifest().set;
        let (first, second) = (first.path.clone(), other.path.clone());
        if found.id != set.id {
            let (first_set, second_set) = (set.id.clone(), found.id.clone());
            return Err(StreamError::OtherSet { first, first_set, second, second_set });
        }
        if found != set {
            return Err(StreamError::Contradiction { set_id: set.id.clone(), first, second });
        }
    }
    for pair in members.windows(2) {
        if let [a, b] = pair
            && a.manifest().member == b.manifest().member
        {
            let (first, second) = (a.path.clone(), b.path.clone());
            let volume_id = a.stream.manifest().own().volume_id.clone();
            return Err(StreamError::Twice { volume_id, first, second });
        }
    }
    let is_missing =
        |no: u32| members.binary_search_by_key(&MemberNo(no), |m| m.manifest().member).is_err();
    let missing: Vec<Missing> = (0..)
        .zip(&set.members)
        .filter(|(index, _)| is_missing(*index))
        .map(|(index, member)| Missing::Member {
            index,
            volume_id: member.volume_id.clone(),
            set_id: set.id.clone(),
        })
        .collect();
    if missing.is_empty() {
        return Ok(set);
    }
    Err(StreamError::Incomplete { set_id: set.id.clone(), missing })
}
