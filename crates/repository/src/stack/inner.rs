//! A volume below another one, where both flattened into one layout would be too many pieces.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use restore::image::Image as _;
use restore::reader::{Options, Reader};
use restore::snapfmt::{Column, Mapping, MemberNo, Segment, VolumeId};
use restore::source::{
    ChunkRef, Extent, ExtentKind, Proof, ReadCause, ReadError, Scratch, Source, StoredAt,
};
use restore::{Volume, VolumeMember};

/// The reader below gives any bytes that it can read.
const SECTOR: u32 = 512;

/// A volume as a member of another, read through its own layout.
///
/// A chunk of it is what one chunk of one of its own members has in one stripe: damage costs no more
/// here than there. Chunks are checked by those members' sources; since only parts of them are asked
/// for, its own data is [`Proof::None`].
pub struct InnerVolume {
    reader: Reader,
    name: PathBuf,
    largest_chunk: u32,
}

/// Some bytes of a volume that are contiguous in one of its members.
struct Stretch<'v> {
    logical: Range<u64>,
    member: &'v VolumeMember,
    /// The first of them there.
    start: u64,
}

impl InnerVolume {
    /// Takes a volume; its name is for messages.
    ///
    /// # Errors
    ///
    /// When the system has no more threads.
    pub fn new(volume: Volume, volume_id: &VolumeId, options: &Options) -> io::Result<Self> {
        let largest_chunk = volume.layout().map().segments().map(|s| largest_chunk(&volume, &s));
        let largest_chunk = largest_chunk.max().unwrap_or(1).max(1);
        let reader = Reader::new(Arc::new(volume), options)?;
        Ok(Self { reader, name: volume_id.as_str().into(), largest_chunk })
    }

    fn segment(&self, at: u64) -> Option<Segment<'_>> {
        let map = self.reader.volume().layout().map();
        map.segment(map.find(at)?)
    }

    /// A member, of which the bytes from `at` on are.
    fn member(&self, no: MemberNo, at: u64) -> Result<&VolumeMember, ReadError> {
        self.reader.volume().members().get(no.index()).ok_or_else(|| self.unresolved(at))
    }

    fn unresolved(&self, start: u64) -> ReadError {
        ReadError::new(&self.name, ReadCause::NoParent { start })
    }

    /// What a member says of a stretch, from byte `at` of the volume up to its end or to `until`.
    fn stretch(
        &self,
        stretch: &Stretch<'_>,
        segment: &Segment<'_>,
        wanted: &Range<u64>,
        out: &mut Vec<Extent>,
    ) -> Result<u64, ReadError> {
        let Stretch { logical, member, start } = stretch;
        let there = |byte: u64| start + (byte - logical.start);
        // From the beginning of a chunk, so that it is the same whatever is asked for.
        let unit = u64::from(member.source.largest_chunk()).max(1);
        let from = there(wanted.start);
        let from = (from - from % unit).max(*start);
        let until = there(wanted.end.min(logical.end));
        let mut found = Vec::new();
        member.source.extents(from..until, &mut found)?;
        let mut at = wanted.start;
        for extent in found {
            let end = extent.range.end.min(there(logical.end));
            if end <= there(at) {
                continue;
            }
            if extent.range.start > there(at) {
                break;
            }
            let here = |byte: u64| logical.start + (byte - start);
            let range = here(extent.range.start.max(*start))..here(end);
            at = match extent.kind {
                ExtentKind::Data(chunk) => {
                    let len = range.end - range.start;
                    let at = StoredAt { offset: range.start, len: share(&chunk, len), crc: 0 };
                    let kind = ExtentKind::Data(ChunkRef::new(range.clone(), None, at));
                    let end = range.end;
                    out.push(Extent { range, kind });
                    end
                }
                ExtentKind::Inherit => break,
                kind @ (ExtentKind::Zero | ExtentKind::Hole) => {
                    let end = self.same_until(segment, at, &kind)?;
                    out.push(Extent { range: at..end, kind });
                    return Ok(end);
                }
            };
        }
        if at < wanted.end.min(logical.end) { Err(self.unresolved(at)) } else { Ok(at) }
    }

    /// How far all members of a segment have, from its byte `at` on, what `kind` says.
    fn same_until(
        &self,
        segment: &Segment<'_>,
        at: u64,
        kind: &ExtentKind,
    ) -> Result<u64, ReadError> {
        let (stripe, columns) = stripes(segment);
        let width = columns.len() as u64;
        let (number, inside) = ((at - segment.start) / stripe, (at - segment.start) % stripe);
        let (row, place) = (number / width, number % width);
        let each = segment.length / width.max(1);
        let mut reach = segment.end();
        let mut found = Vec::new();
        for (n, column) in (0..).zip(columns) {
            let local = match n {
                n if n < place => (row + 1) * stripe,
                n if n == place => row * stripe + inside,
                _ => row * stripe,
            };
            if local >= each {
                continue;
            }
            let member = self.member(column.member, at)?;
            let byte = column.offset + local;
            found.clear();
            member.source.extents(byte..byte + 1, &mut found)?;
            let same = found.first().filter(|extent| extent.kind == *kind);
            let local = same.map_or(local, |extent| extent.range.end - column.offset);
            if local < each {
                let there = local / stripe * (stripe * width) + n * stripe + local % stripe;
                reach = reach.min(segment.start + there);
            }
        }
        Ok(reach)
    }
}

impl Source for InnerVolume {
    fn size(&self) -> u64 {
        self.reader.size()
    }

    fn largest_chunk(&self) -> u32 {
        self.largest_chunk
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        let mut at = range.start;
        while at < range.end {
            let segment = self.segment(at).ok_or_else(|| self.unresolved(at))?;
            let (stripe, columns) = stripes(&segment);
            let number = (at - segment.start) / stripe;
            let width = columns.len() as u64;
            let place = number.checked_rem(width).and_then(|n| usize::try_from(n).ok());
            let Some(column) = place.and_then(|place| columns.get(place)) else {
                out.push(Extent { range: at..segment.end(), kind: ExtentKind::Hole });
                at = segment.end();
                continue;
            };
            let start = segment.start + number * stripe;
            let stretch = Stretch {
                logical: start..start + stripe,
                member: self.member(column.member, at)?,
                start: column.offset + number / width * stripe,
            };
            at = self.stretch(&stretch, &segment, &(at..range.end), out)?;
        }
        Ok(())
    }

    fn read(&self, chunk: &ChunkRef, out: &mut [u8], _: &mut Scratch) -> Result<Proof, ReadError> {
        let read = self.reader.read_at(chunk.range.start, out);
        read.map_err(|error| ReadError::new(&self.name, error))?;
        Ok(Proof::None)
    }

    fn sector(&self, _: &ChunkRef) -> Option<u32> {
        Some(SECTOR)
    }

    fn read_part(&self, _: &ChunkRef, part: Range<u64>, out: &mut [u8]) -> Result<(), ReadError> {
        let read = self.reader.read_at(part.start, out);
        read.map_err(|error| ReadError::new(&self.name, error))
    }
}

impl std::fmt::Debug for InnerVolume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InnerVolume").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Bytes of a stripe and the columns; what is linear is one stripe.
const fn stripes<'s>(segment: &'s Segment<'_>) -> (u64, &'s [Column]) {
    match &segment.mapping {
        Mapping::Unmapped => (segment.length, &[]),
        Mapping::Linear(column) => (segment.length, std::slice::from_ref(column)),
        Mapping::Striped { stripe, columns } => (*stripe as u64, columns),
    }
}

fn largest_chunk(volume: &Volume, segment: &Segment<'_>) -> u32 {
    let (stripe, columns) = stripes(segment);
    let members = columns.iter().filter_map(|c| volume.members().get(c.member.index()));
    let chunks = members.map(|member| member.source.largest_chunk());
    chunks.max().unwrap_or(0).min(u32::try_from(stripe).unwrap_or(u32::MAX))
}

/// What `len` bytes of a chunk have of its stored bytes.
fn share(chunk: &ChunkRef, len: u64) -> u32 {
    let stored = u128::from(chunk.stored_at().len) * u128::from(len);
    u32::try_from(stored / (chunk.len() as u128).max(1)).unwrap_or(u32::MAX)
}
