//! A target that keeps nothing: for verifying and measuring.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::Sink;

/// Forgets what it is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn zero_at(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn waits(&self) -> bool {
        false
    }

    fn path(&self) -> &Path {
        Path::new("(nothing)")
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}
