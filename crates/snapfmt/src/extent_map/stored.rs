//! The extent map as it lies in the file: a root, pages of segments, pages of columns.

use byteorder::{LittleEndian as Le, ReadBytesExt, WriteBytesExt};
use std::io;

use super::{Column, ExtentMap, FlatSegment, index_u32};
use crate::error::{Fault, Result, Structure};
use crate::geometry::MemberNo;
use crate::ids::Digest;
use crate::limits::Limits;
use crate::wire::{array, short};

const SEGMENT_LEN: usize = 32;
const COLUMN_LEN: usize = 16;
const ROOT_HEAD_LEN: usize = 16;
/// Segments in a full page.
pub(crate) const SEGMENTS_PER_PAGE: u32 = 2048;
/// Columns in a full page.
pub(crate) const COLUMNS_PER_PAGE: u32 = 4096;

const KIND_UNMAPPED: u8 = 0;
const KIND_LINEAR: u8 = 1;
const KIND_STRIPED: u8 = 2;

impl FlatSegment {
    const fn kind(&self) -> u8 {
        match self.columns {
            0 => KIND_UNMAPPED,
            1 => KIND_LINEAR,
            _ => KIND_STRIPED,
        }
    }
}

impl ExtentMap {
    /// The payloads as stored: the root, then each segment page, then each column page.
    pub(crate) fn encode(&self) -> io::Result<EncodedMap> {
        let mut segments = Vec::new();
        for page in self.segments.chunks(SEGMENTS_PER_PAGE as usize) {
            let mut out = Vec::with_capacity(page.len() * SEGMENT_LEN);
            for s in page {
                out.write_u64::<Le>(s.start)?;
                out.write_u64::<Le>(s.length)?;
                out.write_u32::<Le>(s.stripe)?;
                out.write_u32::<Le>(s.first_column)?;
                out.write_u32::<Le>(s.columns)?;
                out.extend_from_slice(&[s.kind(), 0, 0, 0]);
            }
            segments.push(out);
        }
        let mut columns = Vec::new();
        for page in self.columns.chunks(COLUMNS_PER_PAGE as usize) {
            let mut out = Vec::with_capacity(page.len() * COLUMN_LEN);
            for c in page {
                out.write_u32::<Le>(c.member.0)?;
                out.write_u32::<Le>(0)?;
                out.write_u64::<Le>(c.offset)?;
            }
            columns.push(out);
        }
        let mut root = Vec::with_capacity(ROOT_HEAD_LEN + (segments.len() + columns.len()) * 32);
        root.write_u64::<Le>(self.size)?;
        root.write_u32::<Le>(index_u32(self.segments.len()))?;
        root.write_u32::<Le>(index_u32(self.columns.len()))?;
        for page in segments.iter().chain(&columns) {
            root.extend_from_slice(Digest::of(page).as_bytes());
        }
        Ok(EncodedMap { root, segments, columns })
    }
}

/// The extent map as a writer stores it.
pub(crate) struct EncodedMap {
    pub(crate) root: Vec<u8>,
    pub(crate) segments: Vec<Vec<u8>>,
    pub(crate) columns: Vec<Vec<u8>>,
}

/// The root of a stored extent map: how many entries there are and the digest of each page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExtentMapRoot {
    /// Logical size in bytes.
    pub size: u64,
    /// Number of segments.
    pub segments: u32,
    /// Number of columns.
    pub columns: u32,
    digests: Vec<Digest>,
}

impl ExtentMapRoot {
    /// Parses the root's payload, which stands at file offset `at`.
    pub(crate) fn parse(payload: &[u8], at: u64, limits: &Limits) -> Result<Self> {
        let what = Structure::ExtentMapRoot;
        let mut r = payload;
        let (size, segments, columns) = (|r: &mut &[u8]| {
            io::Result::Ok((r.read_u64::<Le>()?, r.read_u32::<Le>()?, r.read_u32::<Le>()?))
        })(&mut r)
        .map_err(short(what, at))?;
        for (field, value, max) in [
            ("number of segments", segments, limits.segments),
            ("number of columns", columns, limits.columns),
        ] {
            if value > max {
                let fault = Fault::Limit { field, value: value.into(), max: max.into() };
                return Err(what.fault(at, fault));
            }
        }
        let (digests, rest) = r.as_chunks::<{ Digest::LEN }>();
        let pages = segments.div_ceil(SEGMENTS_PER_PAGE) + columns.div_ceil(COLUMNS_PER_PAGE);
        if digests.len() as u64 != u64::from(pages) || !rest.is_empty() {
            let (value, expected) = (digests.len() as u64, pages.into());
            return Err(what.fault(at, Fault::Value { field: "number of pages", value, expected }));
        }
        let digests = digests.iter().map(|d| Digest::from_bytes(*d)).collect();
        Ok(Self { size, segments, columns, digests })
    }

    /// How many pages follow the root.
    pub(crate) fn pages(&self) -> u32 {
        index_u32(self.digests.len())
    }

    /// What page `n` is and how many bytes its payload has.
    pub(crate) fn page(&self, n: u32) -> (Structure, u64) {
        let segment_pages = self.segments.div_ceil(SEGMENTS_PER_PAGE);
        let (no, total, per_page, len, what): (_, _, _, _, fn(u32) -> Structure) =
            match n.checked_sub(segment_pages) {
                None => (n, self.segments, SEGMENTS_PER_PAGE, SEGMENT_LEN, Structure::SegmentPage),
                Some(no) => (no, self.columns, COLUMNS_PER_PAGE, COLUMN_LEN, Structure::ColumnPage),
            };
        let entries = total.saturating_sub(no.saturating_mul(per_page)).min(per_page);
        (what(no), u64::from(entries) * len as u64)
    }

    /// Checks page `n`'s payload, which stands at file offset `at`.
    pub(crate) fn check_page(&self, n: u32, payload: &[u8], at: u64) -> Result<()> {
        let (what, len) = self.page(n);
        if payload.len() as u64 != len {
            let value = payload.len() as u64;
            let fault = Fault::Value { field: "payload length", value, expected: len };
            return Err(what.fault(at, fault));
        }
        let found = Digest::of(payload);
        match self.digests.get(n as usize) {
            Some(expected) if *expected == found => Ok(()),
            Some(&expected) => Err(what.fault(at, Fault::Digest { expected, found })),
            None => Err(what.fault(at, Fault::Missing)),
        }
    }
}

/// Collects the pages of a stored extent map and checks the whole.
#[derive(Debug)]
pub(crate) struct ExtentMapParser {
    root: ExtentMapRoot,
    segments: Vec<FlatSegment>,
    columns: Vec<Column>,
}

impl ExtentMapParser {
    pub(crate) fn new(root: ExtentMapRoot) -> Self {
        Self { root, segments: Vec::new(), columns: Vec::new() }
    }

    /// Takes page `n`, already checked by [`ExtentMapRoot::check_page`].
    pub(crate) fn page(&mut self, n: u32, payload: &[u8], at: u64) -> Result<()> {
        let (what, _) = self.root.page(n);
        let bad = |field, value: u64, rule| what.fault(at, Fault::Rule { field, value, rule });
        if let Structure::SegmentPage(_) = what {
            for bytes in payload.as_chunks::<SEGMENT_LEN>().0 {
                let (segment, kind, reserved) = read_segment(bytes).map_err(short(what, at))?;
                let next_column = self
                    .segments
                    .last()
                    .map_or(0, |s: &FlatSegment| s.first_column.saturating_add(s.columns));
                if segment.first_column != next_column {
                    return Err(bad(
                        "first column",
                        segment.first_column.into(),
                        "columns stand in the order of segments",
                    ));
                }
                let stripe_fits = (kind == KIND_STRIPED) == (segment.stripe != 0);
                if kind != segment.kind() || !stripe_fits || reserved != [0; 3] {
                    return Err(bad(
                        "segment kind",
                        kind.into(),
                        "must fit its columns and stripe; reserved bytes are zero",
                    ));
                }
                self.segments.push(segment);
            }
        } else {
            for bytes in payload.as_chunks::<COLUMN_LEN>().0 {
                let mut r = bytes.as_slice();
                let (member, reserved, offset) = (|r: &mut &[u8]| {
                    io::Result::Ok((r.read_u32::<Le>()?, r.read_u32::<Le>()?, r.read_u64::<Le>()?))
                })(&mut r)
                .map_err(short(what, at))?;
                if reserved != 0 {
                    return Err(bad("reserved field", reserved.into(), "must be zero"));
                }
                self.columns.push(Column { member: MemberNo(member), offset });
            }
        }
        Ok(())
    }

    /// The map, checked against the members' sizes. `at` is the root's file offset.
    pub(crate) fn finish(
        self,
        member_sizes: &[u64],
        limits: &Limits,
        at: u64,
    ) -> Result<ExtentMap> {
        let what = Structure::ExtentMapRoot;
        let named = self.segments.last().map_or(0, |s| s.first_column.saturating_add(s.columns));
        if named != self.root.columns {
            let (value, expected) = (self.root.columns.into(), named.into());
            return Err(
                what.fault(at, Fault::Value { field: "number of columns", value, expected })
            );
        }
        let map =
            ExtentMap { size: self.root.size, segments: self.segments, columns: self.columns };
        map.check(member_sizes, limits).map_err(|e| what.fault(at, Fault::Layout(e)))?;
        Ok(map)
    }
}

fn read_segment(mut bytes: &[u8]) -> io::Result<(FlatSegment, u8, [u8; 3])> {
    let r = &mut bytes;
    let segment = FlatSegment {
        start: r.read_u64::<Le>()?,
        length: r.read_u64::<Le>()?,
        stripe: r.read_u32::<Le>()?,
        first_column: r.read_u32::<Le>()?,
        columns: r.read_u32::<Le>()?,
    };
    Ok((segment, r.read_u8()?, array(r)?))
}
