//! Decoded chunks: bounded in bytes, and each read by one thread at a time.
//!
//! One lock, held for a look-up and never while anything is read: a thousand times shorter than
//! decoding, so that sharing it out would gain nothing.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use snapfmt::MemberNo;

use crate::source::{ChunkRef, ReadError};

/// Most bytes of buffers that wait for their next chunk.
const MAX_SPARE: usize = 4 << 20;

/// Most bytes of chunks that were read in sequence to their end. What reads in sequence goes on in the
/// buffers that it leaves behind, which are still in the processor's caches.
const MAX_PASSED: u64 = 8 << 20;

/// Which chunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    member: MemberNo,
    layer: u32,
    start: u64,
}

impl Key {
    pub(super) const fn new(member: MemberNo, chunk: &ChunkRef) -> Self {
        Self { member, layer: chunk.layer, start: chunk.range.start }
    }
}

/// A whole chunk, or why there is none: for all who asked for it together.
pub(super) type Loaded = Result<Arc<Plain>, Arc<ReadError>>;

/// The bytes of a chunk. The buffer is used again when the last who holds it lets go.
#[derive(Debug)]
pub(super) struct Plain {
    bytes: Vec<u8>,
    home: Arc<Spare>,
}

impl Plain {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.bytes));
    }
}

/// Buffers without a chunk: the pages behind them need not be asked for and zeroed once more.
#[derive(Debug, Default)]
struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    fn take(&self, len: usize) -> Vec<u8> {
        let mut buffer = self.lock().pop().unwrap_or_default();
        buffer.resize(len, 0);
        buffer
    }

    fn put(&self, buffer: Vec<u8>) {
        let mut spare = self.lock();
        if spare.iter().map(Vec::capacity).sum::<usize>() + buffer.capacity() <= MAX_SPARE {
            spare.push(buffer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cache.
pub(super) struct Cache {
    limit: u64,
    state: Mutex<State>,
    spare: Arc<Spare>,
}

struct State {
    kept: LruCache<Key, Arc<Plain>>,
    /// Chunks that were read in sequence to their end and will hardly be read again: they give
    /// way first, so that reading all of a volume does not drive out what others come back to.
    passed: LruCache<Key, Arc<Plain>>,
    loading: HashMap<Key, Arc<Loading>>,
    /// Bytes of all chunks that are kept or passed.
    bytes: u64,
    /// Those of the latter.
    passed_bytes: u64,
}

/// What there is of a chunk.
pub(super) enum Found<'c> {
    Here(Arc<Plain>),
    /// Another thread is at it.
    Elsewhere(Arc<Loading>),
    /// Nothing: the caller has to read it.
    Ours(Claim<'c>),
}

impl Cache {
    pub(super) fn new(limit: u64) -> Self {
        let state = State {
            kept: LruCache::unbounded(),
            passed: LruCache::unbounded(),
            loading: HashMap::new(),
            bytes: 0,
            passed_bytes: 0,
        };
        Self { limit, state: Mutex::new(state), spare: Arc::default() }
    }

    pub(super) fn find(&self, key: Key) -> Found<'_> {
        let mut state = self.lock();
        if let Some(plain) = state.get(&key) {
            return Found::Here(plain);
        }
        match state.loading.get(&key) {
            Some(loading) => Found::Elsewhere(Arc::clone(loading)),
            None => Found::Ours(self.claim_in(&mut state, key)),
        }
    }

    /// The right to read a chunk that is neither here nor on its way.
    pub(super) fn claim(&self, key: Key) -> Option<Claim<'_>> {
        let mut state = self.lock();
        let known = state.kept.contains(&key)
            || state.passed.contains(&key)
            || state.loading.contains_key(&key);
        (!known).then(|| self.claim_in(&mut state, key))
    }

    fn claim_in(&self, state: &mut State, key: Key) -> Claim<'_> {
        let loading = Arc::<Loading>::default();
        state.loading.insert(key, Arc::clone(&loading));
        Claim { cache: self, key, loading }
    }

    /// A chunk was read in sequence to its end.
    pub(super) fn pass(&self, key: Key) {
        let mut state = self.lock();
        let Some(plain) = state.kept.pop(&key) else { return };
        state.passed_bytes += plain.bytes.len() as u64;
        state.passed.put(key, plain);
        while state.passed_bytes > MAX_PASSED && state.drop_passed() {}
    }

    /// A buffer for a chunk of `len` bytes.
    pub(super) fn buffer(&self, len: usize) -> Plain {
        Plain { bytes: self.spare.take(len), home: Arc::clone(&self.spare) }
    }

    /// Keeps a chunk, unless it alone is more than may be kept.
    fn keep(&self, state: &mut State, key: Key, plain: &Arc<Plain>) {
        let len = plain.bytes.len() as u64;
        if len > self.limit {
            return;
        }
        state.bytes += len;
        while state.bytes > self.limit && (state.drop_passed() || state.drop_kept()) {}
        state.kept.put(key, Arc::clone(plain));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn get(&mut self, key: &Key) -> Option<Arc<Plain>> {
        self.kept.get(key).or_else(|| self.passed.get(key)).cloned()
    }

    /// Lets the oldest go that was passed; `false` when there is none.
    fn drop_passed(&mut self) -> bool {
        let Some((_, gone)) = self.passed.pop_lru() else { return false };
        let len = gone.bytes.len() as u64;
        self.passed_bytes -= len;
        self.bytes -= len;
        true
    }

    /// The same of those that are kept.
    fn drop_kept(&mut self) -> bool {
        let Some((_, gone)) = self.kept.pop_lru() else { return false };
        self.bytes -= gone.bytes.len() as u64;
        true
    }
}

/// A chunk that a thread is reading.
#[derive(Debug, Default)]
pub(super) struct Loading {
    outcome: Mutex<Outcome>,
    done: Condvar,
}

#[derive(Debug, Default)]
enum Outcome {
    #[default]
    Pending,
    Done(Loaded),
    /// The thread that read it has panicked.
    Abandoned,
}

impl Loading {
    /// Waits for the chunk; `None` when no thread is reading it any more.
    pub(super) fn wait(&self) -> Option<Loaded> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = |outcome: &mut Outcome| matches!(outcome, Outcome::Pending);
        let outcome = self.done.wait_while(outcome, pending);
        match &*outcome.unwrap_or_else(PoisonError::into_inner) {
            Outcome::Done(loaded) => Some(loaded.clone()),
            Outcome::Pending | Outcome::Abandoned => None,
        }
    }

    fn settle(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        self.done.notify_all();
    }
}

/// The right, and the duty, to read a chunk.
pub(super) struct Claim<'c> {
    cache: &'c Cache,
    key: Key,
    loading: Arc<Loading>,
}

impl Claim<'_> {
    /// Keeps the chunk and hands it to all who wait for it. What is wrong with it is not kept: the
    /// next who asks tries again.
    pub(super) fn finish(self, read: Result<Plain, ReadError>) -> Loaded {
        let loaded = read.map(Arc::new).map_err(Arc::new);
        if let Ok(plain) = &loaded {
            let mut state = self.cache.lock();
            self.cache.keep(&mut state, self.key, plain);
        }
        self.loading.settle(Outcome::Done(loaded.clone()));
        loaded
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.cache.lock().loading.remove(&self.key);
        let mut outcome = self.loading.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*outcome, Outcome::Pending) {
            *outcome = Outcome::Abandoned;
            self.loading.done.notify_all();
        }
    }
}
