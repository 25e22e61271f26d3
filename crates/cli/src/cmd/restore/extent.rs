//! Which bytes are restored, and how long the target is.

use std::ops::Range;

use host::ByteSize;
use restore::Volume;

use crate::args::ExtentArgs;
use crate::exit::Failure;

/// Bytes of a volume, and zeros behind them.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// Which bytes of the volume.
    pub range: Range<u64>,
    /// Where the target ends, in the volume's terms.
    pub end: u64,
}

impl Extent {
    /// As the arguments say of this volume.
    pub(crate) fn new(args: &ExtentArgs, volume: &Volume) -> Result<Self, Failure> {
        let size = volume.size();
        let usage = |message: String, hint| Err(Failure::Usage { message, hint });
        let whole = match args.size {
            Some(target) if target.0 < size => {
                return usage(
                    format!("--size {} is less than the volume's {size} bytes", target.0),
                    "a target is at least the size of the original; shrink a filesystem after restoring it",
                );
            }
            Some(target) => Self { range: 0..size, end: target.0 },
            None => {
                let range = range_of(args.offset, args.length, size)?;
                Self { end: range.end, range }
            }
        };
        let Some(part) = args.shard else { return Ok(whole) };
        let range = part.of(volume, &whole.range);
        let end = if part.is_last() { whole.end } else { range.end };
        Ok(Self { range, end })
    }

    /// How long a new target is.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.range.start
    }
}

/// Bytes of a volume of `size`, as `--offset` and `--length` say.
pub(crate) fn range_of(
    offset: ByteSize,
    length: Option<ByteSize>,
    size: u64,
) -> Result<Range<u64>, Failure> {
    let start = offset.0;
    let end = length.map_or(Some(size), |length| start.checked_add(length.0));
    match end {
        Some(end) if end <= size && start <= end => Ok(start..end),
        _ => {
            let message = format!("the range reaches beyond the volume's {size} bytes");
            let hint = "--offset and --length lie within the volume";
            Err(Failure::Usage { message, hint })
        }
    }
}
