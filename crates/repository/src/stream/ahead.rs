//! Reading ahead from something that may let its reader wait: a pipe whose writer has not come yet,
//! or does not go on.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::{Opener, Stop};

/// Blocks that are read ahead.
const BLOCKS: usize = 4;
/// Bytes in a block.
const BLOCK: usize = 256 << 10;
/// How often a waiting reader looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// Bytes read together. A block without bytes says that the input is open or, later, at its end.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    len: usize,
}

/// An input that a thread of its own opens and reads, so that the job does not wait for it longer than wanted.
///
/// The system has no way to call off a read that waits; the thread then stays behind, without
/// anything to do, until its read returns or the process ends.
pub(super) struct ReadAhead<'p> {
    full: Receiver<io::Result<Block>>,
    empty: SyncSender<Vec<u8>>,
    block: Block,
    at: usize,
    ended: bool,
    stop: Arc<Stop<'p>>,
}

impl<'p> ReadAhead<'p> {
    /// Opens an input and waits until it is open.
    pub(super) fn open(opener: Opener, stop: Arc<Stop<'p>>) -> io::Result<Self> {
        // Never more messages than blocks, so that neither side ever waits to send one.
        let (to_reader, full) = sync_channel(BLOCKS);
        let (empty, to_thread) = sync_channel(BLOCKS);
        for _ in 0..BLOCKS {
            // There is room for all of them.
            let _ = empty.send(vec![0; BLOCK]);
        }
        let feed = move || feed(opener, &to_thread, &to_reader);
        thread::Builder::new().name("read-ahead".into()).spawn(feed)?;
        let ahead = Self { full, empty, block: Block::default(), at: 0, ended: false, stop };
        ahead.next().map(|_| ahead)
    }

    fn next(&self) -> io::Result<Block> {
        loop {
            if self.stop.is_set() {
                return Err(io::Error::other("stopped"));
            }
            match self.full.recv_timeout(LOOK) {
                Ok(block) => return block,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
    }
}

impl Read for ReadAhead<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len && !self.ended {
            let done = std::mem::take(&mut self.block.bytes);
            if !done.is_empty() {
                // At the end of the input it is not wanted back.
                let _ = self.empty.send(done);
            }
            (self.block.len, self.at) = (0, 0);
            self.block = self.next()?;
            self.ended = self.block.len == 0;
        }
        let rest = self.block.bytes.get(self.at..self.block.len).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}

/// The life of the reading thread: up to the end of the input, or until the job has ended.
fn feed(opener: Opener, empty: &Receiver<Vec<u8>>, full: &SyncSender<io::Result<Block>>) {
    let mut reader = match opener() {
        Ok(reader) => reader,
        Err(e) => return drop(full.send(Err(e))),
    };
    if full.send(Ok(Block::default())).is_err() {
        return;
    }
    while let Ok(mut bytes) = empty.recv() {
        let read = loop {
            match reader.read(&mut bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let last = !matches!(read, Ok(1..));
        if full.send(read.map(|len| Block { bytes, len })).is_err() || last {
            return;
        }
    }
}
