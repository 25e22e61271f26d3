//! What the fuzz targets do with their input.
//!
//! A mutated file hardly ever gets past its first CRC. So each target puts its input where one
//! structure stands, makes CRCs, digests and ids right around it, and opens the result: what a
//! hostile writer would do. Then every accessor is touched.

pub mod ebs;
pub mod stacks;

#[path = "../../crates/snapfmt/tests/support/mod.rs"]
mod support;

use std::sync::{Arc, OnceLock};

use snapfmt::scan::Scan;
use snapfmt::verify::Depth;
use snapfmt::{
    CheckedManifest, ExtentMap, Fault, Footer, FormatError, Limits, ReadAt, Snapshot, identify,
};

use support::forge::{
    COLUMNS, DIRECTORY, Forge, INDEX_PAGE, INDEX_ROOT, MANIFEST, MAP_ROOT, RECORD, SEGMENTS, u32_at,
};
use support::golden::files;
use support::{
    InOrder, MemberSpec, Piece, SetSpec, check, noise, read_back, state_of, streamed, text, verify,
};

/// Opens `file`, if that is possible, and looks at everything in it; scans it in any case.
pub fn touch(file: Vec<u8>) {
    let limits = Limits::DEFAULT;
    let file: Arc<dyn ReadAt> = Arc::new(file);
    let _ = identify(&*file, &limits);
    if let Ok(snapshot) = Snapshot::open(Arc::clone(&file), &limits) {
        touch_snapshot(&snapshot);
    }
    touch_stream(&file);
    if let Ok(scan) = Scan::start(&*file, &limits) {
        let _ = (scan.footer(), scan.manifest().to_json(), scan.geometry().chunks());
        if let Ok(map) = scan.extent_map() {
            touch_map(&map);
        }
        let _ = scan.count();
    }
}

/// In one pass a file is accepted exactly when it is sound by position, and says the same.
fn touch_stream(file: &Arc<dyn ReadAt>) {
    let streamed = streamed(InOrder { file: &**file, at: 0 });
    if let Err(FormatError { fault: Fault::NotStream(_), .. }) = streamed {
        return;
    }
    let sound = check(Arc::clone(file), Depth::Full);
    match (streamed, sound) {
        (Ok(streamed), Ok(())) => {
            let snapshot = Snapshot::open(Arc::clone(file), &Limits::DEFAULT).unwrap();
            let records: Vec<_> = snapshot.records().map(Result::unwrap).collect();
            assert!(streamed.map == snapshot.extent_map().unwrap());
            assert!(streamed.records == records);
            assert_eq!(streamed.footer, Footer { previous: 0, ..*snapshot.footer() });
        }
        (Err(error), Err(_)) => drop(error.to_string()),
        (streamed, sound) => panic!("in one pass {streamed:?}, by position {sound:?}"),
    }
}

fn touch_snapshot(snapshot: &Snapshot) {
    let geometry = snapshot.geometry();
    let _ = (snapshot.seal(), snapshot.index().totals.chunks(), snapshot.footer());
    if let Ok(map) = snapshot.extent_map() {
        touch_map(&map);
    }
    for record in snapshot.records().flatten() {
        let bytes = geometry.bytes(record.first, record.count);
        assert!(bytes.start < bytes.end && bytes.end <= geometry.size());
        assert!(record.end() <= geometry.chunks());
        let _ = (record.own_frame(), record.stored_structure().to_string(), record.encode());
    }
    for depth in [Depth::Quick, Depth::Full] {
        for finding in verify(snapshot, depth) {
            let _ = finding.to_string();
        }
    }
}

fn touch_map(map: &ExtentMap) {
    let mut next = 0;
    for (n, segment) in map.segments().enumerate() {
        assert_eq!(segment.start, next);
        next = segment.end();
        assert_eq!(map.find(segment.start), Some(n));
        assert_eq!(map.find(next - 1), Some(n));
        assert_eq!(map.segment(n), Some(segment));
    }
    assert_eq!((next, map.find(next)), (map.size(), None));
}

/// A golden file, taken apart. The first has every kind of segment and record.
fn base(which: u8) -> Forge {
    static BASES: OnceLock<Vec<Forge>> = OnceLock::new();
    let bases =
        BASES.get_or_init(|| files().iter().map(|file| Forge::of(&file.written.bytes)).collect());
    bases[usize::from(which) % bases.len()].clone()
}

/// `json` as a manifest, alone and in a file.
pub fn manifest(json: &[u8]) {
    if let Ok(manifest) = CheckedManifest::parse(json, 0, &Limits::DEFAULT) {
        assert_eq!(manifest.to_json().unwrap(), json);
        let again = CheckedManifest::check((*manifest).clone(), &Limits::DEFAULT).unwrap();
        let rewritten = again.to_json().unwrap();
        let read = CheckedManifest::parse(&rewritten, 0, &Limits::DEFAULT).unwrap();
        assert!(read == manifest);
    }
    let mut forge = base(0);
    forge.edit(MANIFEST, |payload| *payload = json.to_vec());
    touch(forge.bytes());
}

/// The input as the tables of an extent map, as many entries as there are bytes for.
pub fn extent_map(input: &[u8]) {
    let Some((sizes, tables)) = input.split_at_checked(2) else { return };
    let split = tables.len().min(usize::from(u16::from_le_bytes([sizes[0], sizes[1]])) * 32);
    let (segments, columns) =
        (tables[..split].as_chunks::<32>().0, tables[split..].as_chunks::<16>().0);
    let mut forge = base(0);
    let end = segments.last().map_or(0, |s| {
        let start = u64::from_le_bytes(*s.first_chunk().unwrap());
        start.wrapping_add(u64::from(u32_at(s, 8)))
    });
    forge.edit(SEGMENTS, |payload| *payload = segments.as_flattened().to_vec());
    forge.edit(COLUMNS, |payload| *payload = columns.as_flattened().to_vec());
    if columns.is_empty() {
        forge.frames.retain(|frame| frame.kind != COLUMNS);
    }
    forge.edit(MAP_ROOT, |payload| {
        payload.clear();
        payload.extend_from_slice(&end.to_le_bytes());
        for count in [segments.len(), columns.len()] {
            payload.extend_from_slice(&u32::try_from(count).unwrap().to_le_bytes());
        }
        payload.resize(16 + 32 * (1 + usize::from(!columns.is_empty())), 0);
    });
    let json = String::from_utf8(forge.frame(MANIFEST, 0).payload.clone()).unwrap();
    let size = json.split("\"logical_size\": ").nth(1).and_then(|t| t.split(',').next()).unwrap();
    forge.edit_manifest(&format!("\"logical_size\": {size}"), &format!("\"logical_size\": {end}"));
    touch(forge.bytes());
}

/// The input as the payloads of record headers, index page, directory page and root of a file.
pub fn index(input: &[u8]) {
    let Some((&which, input)) = input.split_first() else { return };
    let Some((lengths, mut rest)) = input.split_at_checked(6) else { return };
    let mut next = |at: usize| {
        let length = usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]]));
        let (section, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        section.to_vec()
    };
    let (page, directory) = (next(0), next(2));
    let headers = next(4);
    let root = rest.to_vec();
    let mut forge = base(which);
    for (frame, header) in
        forge.frames.iter_mut().filter(|f| f.kind == RECORD).zip(headers.as_chunks::<64>().0)
    {
        frame.payload = header.to_vec();
    }
    forge.edit(INDEX_PAGE, |payload| *payload = page.clone());
    forge.edit(DIRECTORY, |payload| *payload = directory.clone());
    forge.edit(INDEX_ROOT, |payload| *payload = root.clone());
    touch(forge.bytes());
}

/// The input as a file, as it is and with its headers made right.
pub fn open_file(input: &[u8]) {
    touch(input.to_vec());
    touch(repaired(input));
}

/// The input as changes to a file that can be read in one pass, with everything that depends on
/// something else made right, and without: each of five bytes, which frame, where in its payload (or
/// in the stored bytes behind it) and what to flip; or a frame left out or given twice.
pub fn stream(input: &[u8]) {
    let Some((&which, changes)) = input.split_first() else { return };
    let mut forge = stream_base(which);
    for &[frame, how, low, high, bits] in changes.as_chunks::<5>().0.iter().take(16) {
        let number = usize::from(frame) % forge.frames.len();
        let at = usize::from(u16::from_le_bytes([low, high]));
        let frame = &mut forge.frames[number];
        match how % 8 {
            // The first frame says which file it is.
            0 if number > 0 => drop(forge.frames.remove(number)),
            1 if number > 0 => {
                let again = frame.clone();
                forge.frames.insert(number, again);
            }
            2 => frame.payload.truncate(at),
            3 if !frame.behind.is_empty() => {
                let at = at % frame.behind.len();
                frame.behind[at] ^= bits;
            }
            _ if !frame.payload.is_empty() => {
                let at = at % frame.payload.len();
                frame.payload[at] ^= bits;
            }
            _ => {}
        }
    }
    for file in [forge.bytes(), forge.bytes_unfixed()] {
        touch_stream(&(Arc::new(file) as Arc<dyn ReadAt>));
    }
}

/// A golden file in stream form, taken apart.
fn stream_base(which: u8) -> Forge {
    static BASES: OnceLock<Vec<Forge>> = OnceLock::new();
    let bases = BASES.get_or_init(|| {
        let all = files().into_iter().map(|file| file.written.bytes);
        all.filter(|bytes| streamed(bytes.as_slice()).is_ok()).map(|b| Forge::of(&b)).collect()
    });
    bases[usize::from(which) % bases.len()].clone()
}

/// Makes magics, offsets, tags and CRCs right, frame by frame, as far as lengths lead.
fn repaired(input: &[u8]) -> Vec<u8> {
    let mut file = input.to_vec();
    let Some((tag, _)) = payload_range(&file, 0).map(|p| (blake3::hash(&file[p.clone()]), p))
    else {
        return file;
    };
    let mut at = 0;
    while let Some(payload) = payload_range(&file, at) {
        let length = u32::try_from(payload.len()).unwrap();
        let crc = crc32fast::hash(&file[payload.clone()]);
        let (kind, next) = (u16::from_le_bytes([file[at + 16], file[at + 17]]), payload.end);
        let behind = match &file[payload.clone()] {
            record
                if kind == RECORD
                    && record.len() == 64
                    && record[9] == 1
                    && record[10] & 1 == 0 =>
            {
                u32_at(record, 24) as usize
            }
            _ => 0,
        };
        let head = &mut file[at..at + 64];
        head[..4].copy_from_slice(&snapfmt::SKIPPABLE_MAGIC.to_le_bytes());
        head[4..8].copy_from_slice(&length.wrapping_add(56).to_le_bytes());
        head[8..16].copy_from_slice(&snapfmt::PROJECT_MAGIC);
        head[20..24].copy_from_slice(&length.to_le_bytes());
        head[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        head[32..48].copy_from_slice(&tag.as_bytes()[..16]);
        head[56..60].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&head[..60]);
        head[60..].copy_from_slice(&crc.to_le_bytes());
        at = next.saturating_add(behind);
    }
    file
}

/// Where the payload of the header at `at` is, if both are in the file.
fn payload_range(file: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let head = file.get(at..at.checked_add(64)?)?;
    let end = (at + 64).checked_add(u32_at(head, 20) as usize)?;
    (end <= file.len()).then_some(at + 64..end)
}

/// The input as a recipe for a member: written, read back, verified, scanned.
pub fn roundtrip(input: &[u8]) {
    let Some((&[form, log, tail], recipe)) = input.split_first_chunk() else { return };
    let chunk = 4096_usize << (log % 3);
    let incremental = form % 4 == 3;
    let mut pieces = Vec::new();
    let count = recipe.len().min(64);
    for (n, byte) in recipe.iter().take(count).enumerate() {
        let last = n + 1 == count;
        let len = if last { 1 + usize::from(tail) * (chunk - 1) / 255 } else { chunk };
        pieces.push(match byte % 8 {
            0 | 1 => Piece::Data(text(u64::from(byte / 32), len)),
            2 => Piece::Data(noise(u64::from(*byte), len)),
            3 => Piece::Data(vec![*byte; len]),
            4 => Piece::Hole(len as u64),
            5 if incremental => Piece::Inherit(text(9, len)),
            6 if incremental => Piece::InheritZeros(len as u64),
            _ => Piece::Zero(len as u64),
        });
    }
    if pieces.is_empty() {
        return;
    }
    let full = MemberSpec::full("v", pieces);
    let plain = full.plain();
    let chunk = u32::try_from(chunk).unwrap();
    let member = match form % 4 {
        0 => full,
        1 => MemberSpec { stream: false, ..full },
        2 => MemberSpec { stream: false, dedup: true, ..full },
        _ => MemberSpec::child("v", full.pieces, "dsnap-parent", state_of(b"x", chunk)),
    };
    let written = SetSpec::single(chunk, member).write_one();
    let snapshot = written.open();
    assert!(verify(&snapshot, Depth::Full).is_empty());
    assert!(read_back(&snapshot, &plain) == plain);
    assert_eq!(snapshot.footer().state, state_of(&plain, chunk));
    assert!(Forge::of(&written.bytes).bytes() == written.bytes);
    touch(written.bytes);
}

/// Inputs to start from: target and bytes.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (which, file) in (0..).zip(files()) {
        let mut forge = Forge::of(&file.written.bytes);
        seeds.push(("manifest", forge.frame(MANIFEST, 0).payload.clone()));
        seeds.push(("extent_map", map_seed(&mut forge)));
        seeds.push(("index", index_seed(which, &mut forge)));
        seeds.push(("open_file", file.written.bytes));
    }
    for frame in 0..24 {
        // Nothing changed in one file, a bit in each of the first frames of another.
        seeds.push(("stream", vec![frame % 4]));
        seeds.push(("stream", vec![frame % 4, frame, 4, 8, 0, 1]));
    }
    for form in 0..4 {
        seeds.push(("roundtrip", vec![form, form, 100, 0, 4, 7, 7, 1, 2, 5, 6, 6, 5, 3, 32, 1]));
    }
    seeds
}

fn map_seed(forge: &mut Forge) -> Vec<u8> {
    let segments = forge.frame(SEGMENTS, 0).payload.clone();
    let columns = forge.frame(COLUMNS, 0).payload.clone();
    let count = u16::try_from(segments.len() / 32).unwrap().to_le_bytes();
    [&count[..], &segments, &columns].concat()
}

fn index_seed(which: u8, forge: &mut Forge) -> Vec<u8> {
    let page = forge.frame(INDEX_PAGE, 0).payload.clone();
    let directory = forge.frame(DIRECTORY, 0).payload.clone();
    let root = forge.frame(INDEX_ROOT, 0).payload.clone();
    let lengths = [page.len(), directory.len(), page.len()];
    let lengths = lengths.map(|len| u16::try_from(len).unwrap().to_le_bytes());
    [&[which], lengths.as_flattened(), &page, &directory, &page, &root].concat()
}
