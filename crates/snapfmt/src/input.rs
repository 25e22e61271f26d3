//! A file's bytes one after the other: what structures are parsed from, whether the file is read by
//! position or comes through a pipe.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use crate::error::{Fault, Result, Structure};
use crate::read_at::ReadAt;

/// What a pipe holds at most by default (`pipe(7)`): shorter reads than that are served from memory.
const BUFFER: usize = 64 << 10;

/// Bytes in order, each with its file offset.
pub(crate) trait Input {
    /// File offset of the next byte.
    fn at(&self) -> u64;

    /// Most bytes that can follow. A pipe does not know, so that nothing may be allocated on the
    /// strength of it.
    fn left(&self) -> u64;

    /// Whether there is no further byte.
    fn is_at_end(&mut self, what: Structure) -> Result<bool>;

    /// Fills `buf` with the next bytes, which are part of `what`.
    fn fill(&mut self, buf: &mut [u8], what: Structure) -> Result<()>;
}

/// A file that is read by position, from some offset on.
pub(crate) struct FileAt<'f> {
    file: &'f dyn ReadAt,
    at: u64,
}

impl<'f> FileAt<'f> {
    /// The bytes of `file` from `at` on.
    pub(crate) const fn new(file: &'f dyn ReadAt, at: u64) -> Self {
        Self { file, at }
    }
}

impl Input for FileAt<'_> {
    fn at(&self) -> u64 {
        self.at
    }

    fn left(&self) -> u64 {
        self.file.len().saturating_sub(self.at)
    }

    fn is_at_end(&mut self, _: Structure) -> Result<bool> {
        Ok(self.left() == 0)
    }

    fn fill(&mut self, buf: &mut [u8], what: Structure) -> Result<()> {
        let (need, have) = (buf.len() as u64, self.left());
        // An offset from the file may be one that no system call takes; that is no failing medium.
        if need > have {
            return Err(what.fault(self.at, Fault::Truncated { need, have }));
        }
        let read = self.file.read_exact_at(buf, self.at);
        read.map_err(|e| what.io(self.at, need, self.file.len(), e))?;
        self.at = self.at.saturating_add(need);
        Ok(())
    }
}

/// A file that comes in order and once.
pub(crate) struct Forward<R> {
    reader: BufReader<R>,
    at: u64,
}

impl<R: Read> Forward<R> {
    /// Takes a reader that stands at the first byte of the file.
    pub(crate) fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER, reader), at: 0 }
    }
}

impl<R: Read> Input for Forward<R> {
    fn at(&self) -> u64 {
        self.at
    }

    fn left(&self) -> u64 {
        u64::MAX - self.at
    }

    fn is_at_end(&mut self, what: Structure) -> Result<bool> {
        loop {
            match self.reader.fill_buf() {
                Ok(bytes) => return Ok(bytes.is_empty()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(what.fault(self.at, Fault::Io(e))),
            }
        }
    }

    fn fill(&mut self, buf: &mut [u8], what: Structure) -> Result<()> {
        let need = buf.len() as u64;
        let mut have = 0;
        while let Some(rest) = buf.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => {
                    let fault = Fault::Truncated { need, have: have as u64 };
                    return Err(what.fault(self.at, fault));
                }
                Ok(n) => have = have.saturating_add(n),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(what.fault(self.at, Fault::Io(e))),
            }
        }
        self.at = self.at.saturating_add(need);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FileAt, Forward, Input};
    use crate::error::{Fault, Structure};
    use std::io::{self, Read};

    /// Gives a byte at a time and is interrupted before each.
    struct Reluctant<'b>(&'b [u8], bool);

    impl Read for Reluctant<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = buf.len().min(1);
            self.0.read(&mut buf[..len])
        }
    }

    fn whole(input: &mut dyn Input) {
        let mut buf = [0; 3];
        assert!(!input.is_at_end(Structure::File).unwrap());
        input.fill(&mut buf, Structure::File).unwrap();
        assert_eq!((&buf, input.at()), (b"abc", 3));
        let error = input.fill(&mut buf, Structure::Seal).unwrap_err();
        assert_eq!((error.at, error.what), (3, Structure::Seal));
        assert!(matches!(error.fault, Fault::Truncated { need: 3, have: 2 }), "{error}");
    }

    #[test]
    fn both_give_the_same() {
        whole(&mut FileAt::new(&b"abcde".to_vec(), 0));
        whole(&mut Forward::new(b"abcde".as_slice()));
        whole(&mut Forward::new(Reluctant(b"abcde", false)));
        assert!(Forward::new(Reluctant(b"", false)).is_at_end(Structure::File).unwrap());
    }
}
