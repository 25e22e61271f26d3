//! A full snapshot in `stream` form read in one pass, without seeking: from a pipe.
//!
//! It proves what opening and verifying by position prove. What by position is looked up in the
//! index first and then read, is read here first and compared with the index when that comes.

mod index;

use std::io::Read;

use crate::codec::check_zero_bytes;
use crate::coverage::{Coverage, missing_record};
use crate::envelope::{Header, Kind, expect, read_frame};
use crate::error::{Fault, FormatError, NotStream, Result, Structure};
use crate::extent_map::ExtentMap;
use crate::footer::{Footer, MAX_MAP_COPY, in_place, parse_seal, read_footers};
use crate::geometry::{ChunkNo, Geometry};
use crate::ids::{FileTag, finish};
use crate::input::{Forward, Input};
use crate::limits::Limits;
use crate::manifest::CheckedManifest;
use crate::reader::{check_seal, check_snapshot_id, read_manifest, read_map};
use crate::record::{Content, Record, RecordContext};
use crate::wire::RECORD_LEN;
use crate::zero_frame;

use index::read_index;

/// A snapshot file that comes in order and once, its head read and checked.
///
/// It holds the manifest, the stored bytes of one chunk and a page of the index at a time, whatever
/// the size of the member.
pub struct SnapshotStream<R> {
    input: Forward<R>,
    limits: Limits,
    manifest: CheckedManifest,
    json: Vec<u8>,
    tag: FileTag,
    /// File offset of the extent map's root.
    map: u64,
    payload: Vec<u8>,
    frame: Vec<u8>,
    /// The canonical frame that a run is compared with.
    zeros: Vec<u8>,
}

impl<R> std::fmt::Debug for SnapshotStream<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotStream").field("manifest", &*self.manifest).finish_non_exhaustive()
    }
}

impl<R: Read> SnapshotStream<R> {
    /// Reads the head of the file, with which `reader` starts: manifest and extent map. The map,
    /// which may be large and is the same for all members of a set, is the caller's to keep.
    ///
    /// # Errors
    ///
    /// The first structure that is damaged or beyond `limits`, and [`Fault::NotStream`] for a
    /// snapshot that cannot be read in one pass.
    pub fn open(reader: R, limits: &Limits) -> Result<(Self, ExtentMap)> {
        let mut input = Forward::new(reader);
        let (manifest, tag, json) = read_manifest(&mut input, limits).map_err(foreign)?;
        if let Some(form) = not_stream(&manifest) {
            return Err(Structure::Manifest.fault(0, Fault::NotStream(form)));
        }
        let map_offset = input.at();
        let map = read_map(&mut input, tag, &manifest, limits)?;
        let stream = Self {
            input,
            limits: *limits,
            manifest,
            json,
            tag,
            map: map_offset,
            payload: Vec::new(),
            frame: Vec::new(),
            zeros: Vec::new(),
        };
        Ok((stream, map))
    }

    /// The manifest.
    pub const fn manifest(&self) -> &CheckedManifest {
        &self.manifest
    }

    /// Size and chunk size of the member.
    pub const fn geometry(&self) -> Geometry {
        self.manifest.geometry()
    }

    /// Reads the rest of the file. `visit` gets every record, in order and without a gap, and the
    /// stored bytes behind it, which for data are to be proved and decoded by
    /// [`Decoder::decode_frame`](crate::Decoder::decode_frame); runs of zeros have been compared with
    /// their canonical frames.
    ///
    /// Gives the footer once everything is proved that is not the bytes of the chunks: that headers
    /// and index agree, that all chunks are there, that the identities are those of the content, and
    /// that nothing follows but what the format allows.
    ///
    /// # Errors
    ///
    /// The first thing that is damaged or missing, or the first error of `visit`. What was visited
    /// before proves nothing then.
    pub fn read<E: From<FormatError>>(
        mut self,
        mut visit: impl FnMut(&Record, &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Footer, E> {
        let context = RecordContext {
            geometry: self.geometry(),
            stream: self.manifest.stream,
            dedup: self.manifest.dedup,
            frames: (self.input.at(), u64::MAX),
        };
        let mut coverage = Coverage::new(context, false);
        let mut headers = blake3::Hasher::new();
        while let Some(next) = coverage.next() {
            let at = self.input.at();
            let record = self.record(next, &context)?;
            coverage.add(&record, at)?;
            headers.update(&record.encode());
            let frame = self.stored(&record)?;
            visit(&record, frame)?;
        }
        Ok(self.tail(&context, coverage, &headers)?)
    }

    /// Reads the header that must be that of chunk `next`.
    fn record(&mut self, next: ChunkNo, context: &RecordContext) -> Result<Record> {
        let header = Header::read(&mut self.input, Structure::RecordHeader)?;
        if header.kind == Kind::IndexPage && header.tag == self.tag {
            return Err(missing_record(next, header.offset));
        }
        expect(&header, Kind::Record, self.tag)?;
        header.payload_into(&mut self.input, &self.limits, &mut self.payload)?;
        let at = header.payload_offset();
        let bytes = <&[u8; RECORD_LEN]>::try_from(self.payload.as_slice()).map_err(|_| {
            let (value, expected) = (self.payload.len() as u64, RECORD_LEN as u64);
            let fault = Fault::Value { field: "payload length", value, expected };
            Structure::RecordHeader.fault(header.offset, fault)
        })?;
        let record = context.parse(bytes, at)?;
        record.check_place(header.offset)?;
        Ok(record)
    }

    /// Reads the stored bytes behind a record's header. Their length is within what its chunk size
    /// allows, or else the record would not have been parsed.
    fn stored(&mut self, record: &Record) -> Result<&[u8]> {
        let Some(stored) = record.own_frame() else { return Ok(&[]) };
        let len = stored.len as usize;
        if self.frame.len() < len {
            self.frame.resize(len, 0);
        }
        let (frame, _) = self.frame.split_at_mut(len);
        self.input.fill(frame, record.stored_structure())?;
        if let Content::Zero { .. } | Content::Hole { .. } = record.content {
            let bytes = self.manifest.geometry().bytes(record.first, record.count);
            let plain = bytes.end.saturating_sub(bytes.start);
            zero_frame::encode(plain, &mut self.zeros);
            check_zero_bytes(frame, &stored, record.stored_structure(), plain, &self.zeros)?;
        }
        Ok(frame)
    }

    /// Reads everything behind the records.
    fn tail(
        mut self,
        context: &RecordContext,
        coverage: Coverage,
        headers: &blake3::Hasher,
    ) -> Result<Footer> {
        let (records, index) = (context.frames.0, self.input.at());
        let totals = coverage.totals();
        let (input, limits) = (&mut self.input, &self.limits);
        let root = read_index(input, self.tag, limits, context, totals, finish(headers))?;
        let manifest_copy = self.input.at();
        let (_, tag, _) = read_manifest(&mut self.input, &self.limits)?;
        if tag != self.tag {
            return Err(Structure::Manifest.fault(manifest_copy, Fault::ForeignTag));
        }
        let mut extent_map_copy = 0;
        if records.saturating_sub(self.map) <= MAX_MAP_COPY {
            extent_map_copy = self.input.at();
            read_map(&mut self.input, tag, &self.manifest, &self.limits)?;
        }
        let (header, payload) = read_frame(&mut self.input, Kind::Seal, tag, &self.limits)?;
        let members = self.manifest.set.members.len();
        let seal = parse_seal(&payload, members, header.payload_offset())?;
        let (footer, footer_at) = read_footers(&mut self.input, tag, &self.limits)?;
        for (what, at, named) in [
            (Structure::RecordHeader, records, footer.records),
            (Structure::IndexPage, index, footer.index),
            (Structure::IndexRoot, root.at, footer.root),
            (Structure::Manifest, manifest_copy, footer.manifest_copy),
            (Structure::ExtentMapRoot, extent_map_copy, footer.extent_map_copy),
            (Structure::Seal, header.offset, footer.seal),
        ] {
            in_place(what, at, named)?;
        }
        check_snapshot_id(&root.root, &self.json, &self.manifest, &footer)?;
        check_seal(&seal, &footer, &self.manifest)?;
        coverage.check_state(&footer, footer_at)?;
        Ok(footer)
    }
}

/// Why a snapshot cannot be read in one pass, if so.
fn not_stream(manifest: &CheckedManifest) -> Option<NotStream> {
    if manifest.own().parent.is_some() {
        Some(NotStream::Incremental)
    } else if manifest.dedup {
        Some(NotStream::Deduplicated)
    } else if !manifest.stream {
        Some(NotStream::Compact)
    } else {
        None
    }
}

/// A file that does not begin with a frame of ours is none of ours: there is no footer to ask.
fn foreign(error: FormatError) -> FormatError {
    match error.fault {
        Fault::Magic => Structure::File.fault(0, Fault::NotASnapshot),
        _ => error,
    }
}
