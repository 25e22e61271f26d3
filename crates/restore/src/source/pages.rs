//! A bounded cache of index pages, shared by all snapshots that are open together.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lru::LruCache;
use snapfmt::{PageEntry, Record, Result, Snapshot};

/// Pages kept: 64 KiB each, so 8 MiB in all.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(128).unwrap();

#[derive(Clone)]
enum Page {
    Directory(Arc<[PageEntry]>),
    Records(Arc<[Record]>),
}

struct CachedPage {
    page: Page,
    /// As long as this is here no other snapshot can have the address that the page is kept under.
    _owner: Weak<Snapshot>,
}

/// The cache. It is asked once for each page a window touches, not for each chunk.
pub struct PageCache {
    /// Keyed by the snapshot's address and the page's file offset.
    pages: Mutex<LruCache<(usize, u64), CachedPage>>,
}

impl std::fmt::Debug for PageCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageCache").finish_non_exhaustive()
    }
}

impl Default for PageCache {
    fn default() -> Self {
        Self { pages: Mutex::new(LruCache::new(CAPACITY)) }
    }
}

impl PageCache {
    /// The directory page at `entry` of snapshot `owner`, loaded at need.
    pub(super) fn directory(
        &self,
        owner: &Arc<Snapshot>,
        entry: &PageEntry,
        load: impl FnOnce() -> Result<Vec<PageEntry>>,
    ) -> Result<Arc<[PageEntry]>> {
        if let Some(Page::Directory(page)) = self.get(owner, entry.offset) {
            return Ok(page);
        }
        let page: Arc<[PageEntry]> = load()?.into();
        self.put(owner, entry.offset, Page::Directory(page.clone()));
        Ok(page)
    }

    /// The index page at `entry` of snapshot `owner`, loaded at need.
    pub(super) fn records(
        &self,
        owner: &Arc<Snapshot>,
        entry: &PageEntry,
        load: impl FnOnce() -> Result<Vec<Record>>,
    ) -> Result<Arc<[Record]>> {
        if let Some(Page::Records(page)) = self.get(owner, entry.offset) {
            return Ok(page);
        }
        let page: Arc<[Record]> = load()?.into();
        self.put(owner, entry.offset, Page::Records(page.clone()));
        Ok(page)
    }

    fn get(&self, owner: &Arc<Snapshot>, offset: u64) -> Option<Page> {
        self.lock().get(&key(owner, offset)).map(|held| held.page.clone())
    }

    /// Two workers may load the same page at once; the second replaces an equal one.
    fn put(&self, owner: &Arc<Snapshot>, offset: u64, page: Page) {
        let held = CachedPage { page, _owner: Arc::downgrade(owner) };
        self.lock().put(key(owner, offset), held);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<(usize, u64), CachedPage>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(owner: &Arc<Snapshot>, offset: u64) -> (usize, u64) {
    (Arc::as_ptr(owner).addr(), offset)
}
