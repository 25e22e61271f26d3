//! The file system with one file: a volume's bytes, as the kernel asks for them.
//!
//! A read that touches damage fails with EIO, whole: FUSE takes a short answer for the end of the file
//! and would show zeros behind it. The page cache of the kernel asks again for single pages when a large
//! read has failed, so that programs get all that is not damaged.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use rustix::fs::FallocateFlags;

use crate::figures::{Counters, Event};
use restore::image::{Image, ImageError, WritableImage};

/// The one file; the directory is `INodeNo::ROOT`.
const FILE: INodeNo = INodeNo(2);

/// Nothing ever changes that the kernel may remember.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// The most that the kernel asks for or hands over at a time. It has 256 pages at most anyway
/// (`/proc/sys/fs/fuse/max_pages_limit`).
const MOST_BYTES: u32 = 1 << 20;

/// How many reads the kernel may have waiting, so that read-ahead and direct I/O keep all workers busy.
const MOST_WAITING: u16 = 64;

/// Where [`Event`]s go.
pub(super) type Log = Arc<dyn Fn(&Event) + Send + Sync>;

/// What is shown.
#[derive(Clone)]
pub enum Disk {
    /// A volume as it is.
    ReadOnly(Arc<dyn Image>),
    /// A volume with something over it that takes what is written.
    Writable(Arc<dyn WritableImage>),
}

impl Disk {
    /// To be read.
    pub fn image(&self) -> &dyn Image {
        match self {
            Self::ReadOnly(image) => image.as_ref(),
            Self::Writable(image) => image.as_ref(),
        }
    }

    /// To be written to, if it can be.
    pub fn writable(&self) -> Option<&dyn WritableImage> {
        match self {
            Self::ReadOnly(_) => None,
            Self::Writable(image) => Some(image.as_ref()),
        }
    }
}

/// The file system.
pub(super) struct RawFile {
    pub(super) disk: Disk,
    pub(super) name: String,
    pub(super) modified: SystemTime,
    pub(super) counters: Arc<Counters>,
    /// How often the file is open now.
    pub(super) opened: Arc<AtomicUsize>,
    pub(super) log: Log,
}

thread_local! {
    /// What a worker reads into, kept for its next read.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl RawFile {
    fn attributes(&self, node: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match node {
            INodeNo::ROOT => (FileType::Directory, 0o500, 0),
            FILE => (FileType::RegularFile, 0o600, self.disk.image().size()),
            _ => return None,
        };
        let time = self.modified;
        Some(FileAttr {
            ino: node,
            size,
            // One block less than would be full: programs that copy ask a file for its holes only where
            // blocks are missing. How many really are would take reading all indexes.
            blocks: size.div_ceil(512).saturating_sub(1).max(u64::from(size > 0)),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: if kind == FileType::Directory { 2 } else { 1 },
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    /// As much of a range as lies in the file.
    fn within(&self, offset: u64, length: u64) -> Range<u64> {
        let size = self.disk.image().size();
        let start = offset.min(size);
        start..start.saturating_add(length).min(size)
    }

    fn fill(&self, offset: u64, out: &mut [u8]) -> Result<(), Errno> {
        let length = out.len() as u64;
        self.disk
            .image()
            .read_at(offset, out)
            .map_err(|error| self.unreadable(offset, length, error))?;
        self.counters.read(length);
        Ok(())
    }

    fn unreadable(&self, offset: u64, length: u64, error: ImageError) -> Errno {
        if self.counters.failed(&error) {
            (self.log)(&Event::Unreadable { offset, length, error });
        }
        Errno::EIO
    }

    /// The first byte from `offset` on where there is data, or is none; the end of the file counts as a
    /// hole (`lseek(2)`).
    fn seek(&self, offset: u64, for_data: bool) -> Result<u64, Errno> {
        let image = self.disk.image();
        let mut at = offset;
        while at < image.size() {
            let run = image.run_at(at).map_err(|e| self.unreadable(at, 0, e))?;
            if run.is_data == for_data {
                return Ok(at);
            }
            // A run that does not go on would keep us here for ever.
            at = if run.end > at { run.end } else { return Err(Errno::EIO) };
        }
        if for_data || offset >= image.size() { Err(Errno::ENXIO) } else { Ok(image.size()) }
    }

    fn written(&self, result: Result<(), ImageError>) -> Result<(), Errno> {
        result.map_err(|error| {
            let errno = match &error {
                ImageError::Local { source, .. } => source.raw_os_error().map(Errno::from_i32),
                ImageError::Damaged(_) | ImageError::Beyond { .. } => None,
            };
            (self.log)(&Event::Unwritable { error });
            errno.unwrap_or(Errno::EIO)
        })
    }

    fn to_write(&self) -> Result<&dyn WritableImage, Errno> {
        self.disk.writable().ok_or(Errno::EROFS)
    }

    fn write_all(&self, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let disk = self.to_write()?;
        let range = self.within(offset, data.len() as u64);
        let whole = range.end - range.start == data.len() as u64;
        let length = u32::try_from(data.len()).ok().filter(|_| whole).ok_or(Errno::EFBIG)?;
        self.written(disk.write_at(offset, data))?;
        self.counters.written(u64::from(length));
        Ok(length)
    }

    fn allocate(&self, offset: u64, length: u64, mode: i32) -> Result<(), Errno> {
        let disk = self.to_write()?;
        let mode = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        let zeroing = FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE;
        if !mode.intersects(zeroing) || !(zeroing | FallocateFlags::KEEP_SIZE).contains(mode) {
            return Err(Errno::EOPNOTSUPP);
        }
        let range = self.within(offset, length);
        self.written(disk.zero_at(range))
    }
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for RawFile {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Each is a wish: what the kernel does not have, or not so much of, it goes without.
        let _ = config.set_max_write(MOST_BYTES);
        let _ = config.set_max_readahead(MOST_BYTES).map_err(|most| config.set_max_readahead(most));
        let _ = config.set_max_background(MOST_WAITING);
        for wish in [InitFlags::FUSE_ASYNC_DIO, InitFlags::FUSE_PARALLEL_DIROPS] {
            let _ = config.add_capabilities(wish);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let known = parent == INodeNo::ROOT && name == OsStr::new(&self.name);
        match self.attributes(FILE).filter(|_| known) {
            Some(attributes) => reply.entry(&FOREVER, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(node) {
            Some(attributes) => reply.attr(&FOREVER, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if node != FILE {
            return reply.error(Errno::ENOENT);
        }
        if flags.acc_mode() != OpenAccMode::O_RDONLY && self.disk.writable().is_none() {
            return reply.error(Errno::EROFS);
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.opened.fetch_sub(1, Ordering::Relaxed);
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if node != FILE || size > MOST_BYTES {
            return reply.error(Errno::EINVAL);
        }
        let range = self.within(offset, u64::from(size));
        // It is no larger than `size`.
        let length = usize::try_from(range.end - range.start).unwrap_or_default();
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.len() < length {
                buffer.resize(length, 0);
            }
            let out = buffer.get_mut(..length).unwrap_or_default();
            match self.fill(range.start, out) {
                Ok(()) => reply.data(out),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn lseek(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        // `SEEK_DATA` and `SEEK_HOLE` of Linux; the kernel answers the others itself.
        let for_data = match whence {
            3 => true,
            4 => false,
            _ => return reply.error(Errno::EINVAL),
        };
        let offset = u64::try_from(offset).ok().filter(|_| node == FILE);
        let found = offset.ok_or(Errno::ENXIO).and_then(|offset| self.seek(offset, for_data));
        match found.map(i64::try_from) {
            Ok(Ok(offset)) => reply.offset(offset),
            Ok(Err(_)) => reply.error(Errno::EOVERFLOW),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if node != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        let entries = [
            (INodeNo::ROOT, FileType::Directory, "."),
            (INodeNo::ROOT, FileType::Directory, ".."),
            (FILE, FileType::RegularFile, self.name.as_str()),
        ];
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (next, (node, kind, name)) in (1..).zip(entries).skip(skip) {
            if reply.add(node, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let node = if node == FILE { Ok(()) } else { Err(Errno::EINVAL) };
        match node.and_then(|()| self.write_all(offset, data)) {
            Ok(length) => reply.written(length),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file makes nothing durable.
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let flushed = self.disk.writable().map_or(Ok(()), |disk| self.written(disk.flush()));
        answer(reply, flushed);
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer(reply, self.allocate(offset, length, mode));
    }
}
