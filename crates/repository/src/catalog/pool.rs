//! A bounded number of open files, however many there are: each is opened again when it is read, and must
//! then still be the file that was found.

use std::fs::{File, Metadata};
use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use snapfmt::ReadAt;

/// The most files that stay open between reads.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(128).unwrap();

/// How many stay open: most descriptors are left to others, who do not know of the pool.
fn capacity() -> NonZeroUsize {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = usize::try_from(allowed / 4).ok().and_then(NonZeroUsize::new);
    share.map_or(NonZeroUsize::MIN, |share| share.min(CAPACITY))
}

/// The open ones of any number of files.
pub(super) struct FilePool {
    open: Mutex<LruCache<u64, Arc<File>>>,
    next: AtomicU64,
}

impl Default for FilePool {
    fn default() -> Self {
        Self { open: Mutex::new(LruCache::new(capacity())), next: AtomicU64::new(0) }
    }
}

impl std::fmt::Debug for FilePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilePool").finish_non_exhaustive()
    }
}

impl FilePool {
    /// Opens a file for reading. Where there are no descriptors left, others are closed for it.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        loop {
            match File::open(path) {
                Err(e) if is_out_of_descriptors(&e) && self.lock().pop_lru().is_some() => {}
                opened => return opened,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<u64, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}

/// What tells that a file is the same, and was not written to since.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Identity {
    fn from(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// A regular file that is open only while it is among those that were read last.
pub(super) struct PooledFile {
    pool: Arc<FilePool>,
    number: u64,
    /// Absolute: a server leaves the directory it was started in.
    path: PathBuf,
    identity: Identity,
}

impl PooledFile {
    /// Takes an open file in.
    pub(super) fn new(pool: &Arc<FilePool>, path: &Path, file: File) -> io::Result<Self> {
        let identity = Identity::from(&file.metadata()?);
        let number = pool.next.fetch_add(1, Ordering::Relaxed);
        pool.lock().put(number, Arc::new(file));
        Ok(Self { pool: pool.clone(), number, path: std::path::absolute(path)?, identity })
    }

    fn file(&self) -> io::Result<Arc<File>> {
        if let Some(file) = self.pool.lock().get(&self.number) {
            return Ok(file.clone());
        }
        let file = self.pool.open(&self.path)?;
        if Identity::from(&file.metadata()?) != self.identity {
            return Err(io::Error::other("is not the file any more that was found there"));
        }
        let file = Arc::new(file);
        self.pool.lock().put(self.number, file.clone());
        Ok(file)
    }
}

impl Drop for PooledFile {
    fn drop(&mut self) {
        self.pool.lock().pop(&self.number);
    }
}

impl ReadAt for PooledFile {
    fn len(&self) -> u64 {
        self.identity.len
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file()?.read_exact_at(buf, offset)
    }

    fn will_need(&self, offset: u64, len: u64) {
        let open = self.pool.lock().peek(&self.number).cloned();
        // A file that is not open is not opened for a hint, and what cannot be read fails when it is read.
        let _ = open.map(|file| fadvise(&*file, offset, NonZeroU64::new(len), Advice::WillNeed));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use snapfmt::ReadAt;

    use super::{CAPACITY, FilePool, PooledFile};

    #[test]
    fn many_files_are_read_with_few_open_and_another_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let pool = Arc::new(FilePool::default());
        let count = CAPACITY.get() + 10;
        let files: Vec<PooledFile> = (0..count)
            .map(|n| {
                let path = directory.path().join(n.to_string());
                fs::write(&path, format!("{n:08}")).unwrap();
                PooledFile::new(&pool, &path, pool.open(&path).unwrap()).unwrap()
            })
            .collect();
        let mut found = [0; 8];
        for (n, file) in files.iter().enumerate() {
            file.read_exact_at(&mut found, 0).unwrap();
            assert_eq!(found, *format!("{n:08}").as_bytes());
        }
        assert_eq!(pool.lock().len(), super::capacity().get());
        // The first was closed meanwhile; another file takes its name.
        let path = directory.path().join("0");
        fs::rename(directory.path().join("1"), &path).unwrap();
        let error = files[0].read_exact_at(&mut found, 0).unwrap_err();
        assert!(error.to_string().contains("any more"), "{error}");
        drop(files);
        assert_eq!(pool.lock().len(), 0);
    }
}
