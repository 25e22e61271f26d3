//! Bytes of an image in order, to a stream or a new file.

use snapfmt::Offset;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;

use crate::image::{Image, ImageError};
use crate::progress::Progress;
use crate::ranges::length;
use crate::ranges::steps;

/// How much is read at a time.
const STEP: u64 = 1 << 20;
/// Zeros are written in pieces of this many bytes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Where the bytes go.
pub enum Output<'o> {
    /// A stream, where zeros are written out.
    Stream(&'o mut dyn Write),
    /// A new, empty file, where zeros become holes. It is made durable.
    File(&'o mut File),
}

/// Why not all of the bytes were written. Those before the place are, whatever the reason.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The image cannot be read.
    #[error("byte {at} cannot be read: {error}", at = Offset(*at))]
    Image {
        /// The first byte that was not written.
        at: u64,
        /// Why.
        #[source]
        error: ImageError,
    },
    /// The output cannot be written.
    #[error("{0}")]
    Output(#[source] io::Error),
    /// The caller cancelled it.
    #[error("interrupted")]
    Interrupted,
}

/// Writes the bytes `range` of an image, up to the first that cannot be read.
pub fn extract(
    image: &dyn Image,
    range: Range<u64>,
    mut output: Output<'_>,
    progress: &Progress,
) -> Result<(), ExtractError> {
    progress.expect(length(&range));
    let copied = copy(image, range, &mut output, progress);
    let finished = output.finish().map_err(ExtractError::Output);
    copied.and(finished)
}

fn copy(
    image: &dyn Image,
    range: Range<u64>,
    output: &mut Output<'_>,
    progress: &Progress,
) -> Result<(), ExtractError> {
    let mut buffer = vec![0; usize::try_from(length(&range).min(STEP)).unwrap_or(0)];
    let mut at = range.start;
    while at < range.end {
        let run = image.run_at(at).map_err(|error| ExtractError::Image { at, error })?;
        let end = run.end.min(range.end);
        for step in steps(&(at..end), if run.is_data { STEP } else { output.zero_step() }) {
            if progress.is_cancelled() {
                return Err(ExtractError::Interrupted);
            }
            if run.is_data {
                let len = usize::try_from(length(&step)).unwrap_or(buffer.len());
                put(image, step.start, &mut buffer[..len], output)?;
                progress.advance(length(&step), length(&step));
            } else {
                output.zeros(length(&step)).map_err(ExtractError::Output)?;
                progress.advance(length(&step), 0);
            }
        }
        at = end;
    }
    Ok(())
}

/// Reads and writes the bytes from `at`, or those of them that can be read.
fn put(
    image: &dyn Image,
    at: u64,
    buffer: &mut [u8],
    output: &mut Output<'_>,
) -> Result<(), ExtractError> {
    let Err(mut error) = image.read_at(at, buffer) else {
        return output.data(buffer).map_err(ExtractError::Output);
    };
    // So many bytes can be read, and one more than `bad` less cannot.
    let (mut good, mut bad) = (0, buffer.len());
    while bad - good > 1 {
        let half = good.midpoint(bad);
        match image.read_at(at, &mut buffer[..half]) {
            Ok(()) => good = half,
            Err(e) => (bad, error) = (half, e),
        }
    }
    if good > 0 {
        let again = image.read_at(at, &mut buffer[..good]);
        again.map_err(|error| ExtractError::Image { at, error })?;
        output.data(&buffer[..good]).map_err(ExtractError::Output)?;
    }
    Err(ExtractError::Image { at: at + good as u64, error })
}

impl Output<'_> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(out) => out.write_all(bytes),
            Self::File(file) => file.write_all(bytes),
        }
    }

    /// How many zeros are written between two looks at whether to go on.
    const fn zero_step(&self) -> u64 {
        match self {
            Self::Stream(_) => STEP,
            Self::File(_) => u64::MAX,
        }
    }

    fn zeros(&mut self, len: u64) -> io::Result<()> {
        match self {
            Self::Stream(out) => steps(&(0..len), ZEROS.len() as u64).try_for_each(|piece| {
                let len = usize::try_from(piece.end - piece.start).unwrap_or(ZEROS.len());
                out.write_all(&ZEROS[..len])
            }),
            Self::File(file) => {
                let forward = i64::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
                file.seek(SeekFrom::Current(forward)).map(drop)
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(out) => out.flush(),
            Self::File(file) => {
                // Zeros at the end.
                let end = file.stream_position()?;
                file.set_len(end)?;
                file.sync_all()
            }
        }
    }
}
