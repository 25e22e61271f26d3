//! Takes a snapshot file apart into frames and puts it together again with every offset, CRC, tag,
//! digest and id made right, whatever was changed in between: what a hostile writer would do.
//!
//! It knows the format by `docs/FORMAT.md` alone and shares no code with the crate.

use std::collections::HashMap;

pub(crate) const MANIFEST: u16 = 1;
pub(crate) const MAP_ROOT: u16 = 2;
pub(crate) const SEGMENTS: u16 = 3;
pub(crate) const COLUMNS: u16 = 4;
pub(crate) const RECORD: u16 = 5;
pub(crate) const INDEX_PAGE: u16 = 6;
pub(crate) const DIRECTORY: u16 = 7;
pub(crate) const INDEX_ROOT: u16 = 8;
pub(crate) const SEAL: u16 = 9;
pub(crate) const FOOTER: u16 = 10;

pub(crate) const HEADER: usize = 64;
const RECORD_LEN: usize = 64;
const ROOT_HEAD: usize = 40;

/// One skippable frame and the zstd frame that stands behind it, if one does.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) behind: Vec<u8>,
    /// Where it stood in the file it was taken from.
    was_at: u64,
}

impl Frame {
    pub(crate) fn new(kind: u16, flags: u16, payload: Vec<u8>) -> Self {
        Self { kind, flags, payload, behind: Vec::new(), was_at: 0 }
    }

    fn len(&self) -> usize {
        HEADER + self.payload.len() + self.behind.len()
    }
}

/// A file as a list of frames.
#[derive(Clone, Debug)]
pub(crate) struct Forge {
    pub(crate) frames: Vec<Frame>,
}

impl Forge {
    /// Takes a valid file apart.
    pub(crate) fn of(file: &[u8]) -> Self {
        let mut frames = Vec::new();
        let mut at = 0;
        while at < file.len() {
            let head = &file[at..at + HEADER];
            let payload_at = at + HEADER;
            let len = u32_at(head, 20) as usize;
            let payload = file[payload_at..payload_at + len].to_vec();
            let kind = u16_at(head, 16);
            let mut behind = Vec::new();
            if kind == RECORD && payload[9] == 1 && payload[10] & 1 == 0 {
                let from = payload_at + len;
                behind = file[from..from + u32_at(&payload, 24) as usize].to_vec();
            }
            let was_at = at as u64;
            let frame = Frame { kind, flags: u16_at(head, 18), payload, behind, was_at };
            at += frame.len();
            frames.push(frame);
        }
        Self { frames }
    }

    /// The `n`-th frame of a kind.
    pub(crate) fn frame(&mut self, kind: u16, n: usize) -> &mut Frame {
        self.frames.iter_mut().filter(|f| f.kind == kind).nth(n).unwrap()
    }

    /// Changes the payload of the first frame of a kind and, for manifest and map, of its copy too.
    pub(crate) fn edit(&mut self, kind: u16, change: impl Fn(&mut Vec<u8>)) -> &mut Self {
        let all = [MANIFEST, MAP_ROOT, SEGMENTS, COLUMNS].contains(&kind);
        let count = if all { usize::MAX } else { 1 };
        for frame in self.frames.iter_mut().filter(|f| f.kind == kind).take(count) {
            change(&mut frame.payload);
        }
        self
    }

    /// Replaces text in the manifest and its copy.
    pub(crate) fn edit_manifest(&mut self, from: &str, to: &str) -> &mut Self {
        self.edit(MANIFEST, |json| {
            let text = String::from_utf8(json.clone()).unwrap();
            assert!(text.contains(from), "{from} is not in the manifest");
            *json = text.replacen(from, to, 1).into_bytes();
        })
    }

    /// Changes record `n` alike in its header and in its index page.
    pub(crate) fn edit_record(&mut self, n: usize, change: impl Fn(&mut [u8])) -> &mut Self {
        change(&mut self.frame(RECORD, n).payload);
        let page = &mut self.frame(INDEX_PAGE, n / 1024).payload;
        change(&mut page[n % 1024 * RECORD_LEN..][..RECORD_LEN]);
        self
    }

    /// The file, with everything that depends on something else made right.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut frames = self.frames.clone();
        fix_map(&mut frames);
        let places = places(&frames);
        fix_records(&mut frames, &places);
        fix_entries(&mut frames, DIRECTORY, INDEX_PAGE, &places);
        fix_entries(&mut frames, INDEX_ROOT, DIRECTORY, &places);
        fix_tail(&mut frames, &places);
        join(&frames)
    }

    /// The file with right headers around payloads that are left as they are.
    pub(crate) fn bytes_unfixed(&self) -> Vec<u8> {
        join(&self.frames)
    }
}

/// New offsets by old ones, of frames and of what stands behind them.
type Places = HashMap<u64, u64>;

fn places(frames: &[Frame]) -> Places {
    let mut places = HashMap::new();
    let mut at = 0;
    for frame in frames {
        if frame.was_at != 0 || frame.kind == MANIFEST {
            places.entry(frame.was_at).or_insert(at);
            if !frame.behind.is_empty() {
                let head = HEADER as u64 + RECORD_LEN as u64;
                places.insert(frame.was_at + head, at + head);
            }
        }
        at += frame.len() as u64;
    }
    places
}

/// Page digests in the map's root, the root's digest and length in the manifest, in head and tail.
fn fix_map(frames: &mut [Frame]) {
    let pages: Vec<[u8; 32]> = frames
        .iter()
        .skip(1)
        .take_while(|f| [MAP_ROOT, SEGMENTS, COLUMNS].contains(&f.kind))
        .filter(|f| f.kind != MAP_ROOT)
        .map(|f| *blake3::hash(&f.payload).as_bytes())
        .collect();
    let mut digest = String::new();
    let mut len = 0;
    for root in frames.iter_mut().filter(|f| f.kind == MAP_ROOT) {
        for (to, from) in root.payload.get_mut(16..).unwrap_or(&mut []).chunks_mut(32).zip(&pages) {
            to.copy_from_slice(&from[..to.len()]);
        }
        digest = blake3::hash(&root.payload).to_hex().to_string();
        len = root.payload.len();
    }
    for manifest in frames.iter_mut().filter(|f| f.kind == MANIFEST) {
        // Not every test has a manifest that is JSON at all.
        let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&manifest.payload) else {
            continue;
        };
        let Some(map) = json.get_mut("set").and_then(|set| set.get_mut("extent_map")) else {
            continue;
        };
        let old = map.clone();
        let text = String::from_utf8_lossy(&manifest.payload).into_owned();
        let text = text.replace(old["digest"].as_str().unwrap_or("-"), &digest).replace(
            &format!("\"root_bytes\": {}", old["root_bytes"]),
            &format!("\"root_bytes\": {len}"),
        );
        manifest.payload = text.into_bytes();
    }
}

fn fix_records(frames: &mut [Frame], places: &Places) {
    let fix = |record: &mut [u8], behind: Option<&[u8]>| {
        relocate(record, 16, places);
        if let Some(crc) = behind.filter(|b| !b.is_empty()).map(crc32fast::hash) {
            record[12..16].copy_from_slice(&crc.to_le_bytes());
        }
    };
    let mut crcs = HashMap::new();
    for frame in frames.iter_mut().filter(|f| f.kind == RECORD && f.payload.len() == RECORD_LEN) {
        fix(&mut frame.payload, Some(&frame.behind));
        crcs.insert(u32_at(&frame.payload, 0), frame.payload[12..16].to_vec());
    }
    for page in frames.iter_mut().filter(|f| f.kind == INDEX_PAGE) {
        for record in page.payload.as_chunks_mut::<RECORD_LEN>().0 {
            fix(record, None);
            if let Some(crc) = crcs.get(&u32_at(record, 0)) {
                record[12..16].copy_from_slice(crc);
            }
        }
    }
}

/// Offsets and logical digests in the entries of all `parent` frames for their `child` pages.
fn fix_entries(frames: &mut [Frame], parent: u16, child: u16, places: &Places) {
    let mut digests = HashMap::new();
    let mut at = 0;
    for frame in frames.iter() {
        if frame.kind == child {
            digests.insert(at, logical(child, &frame.payload));
        }
        at += frame.len() as u64;
    }
    for frame in frames.iter_mut().filter(|f| f.kind == parent) {
        let head = if parent == INDEX_ROOT { ROOT_HEAD } else { 0 };
        let Some(entries) = frame.payload.get_mut(head..) else {
            continue;
        };
        for entry in entries.as_chunks_mut::<64>().0 {
            relocate(entry, 16, places);
            relocate(entry, 24, places);
            if let Some(digest) = digests.get(&u64_at(entry, 16)) {
                entry[32..].copy_from_slice(digest);
            }
        }
    }
}

fn logical(kind: u16, payload: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for item in payload.as_chunks::<64>().0 {
        if kind == INDEX_PAGE {
            hasher.update(&item[..9]);
        } else {
            hasher.update(&item[..12]);
        }
        hasher.update(&item[32..]);
    }
    *hasher.finalize().as_bytes()
}

/// Snapshot id, seal, set content id and the footers' offsets.
fn fix_tail(frames: &mut [Frame], places: &Places) {
    let json = frames[0].payload.clone();
    let manifest: serde_json::Value = serde_json::from_slice(&json).unwrap_or_default();
    let map = frames.iter().find(|f| f.kind == MAP_ROOT).map(|f| blake3::hash(&f.payload));
    let snapshot = frames.iter().find(|f| f.kind == INDEX_ROOT).map(|root| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(root.payload.get(8..ROOT_HEAD).unwrap_or(&[]));
        for entry in root.payload.get(ROOT_HEAD..).unwrap_or(&[]).as_chunks::<64>().0 {
            hasher.update(&entry[..12]).update(&entry[32..]);
        }
        let mut id = blake3::Hasher::new_keyed(b"snaprestore v1 snapshot id......");
        id.update(blake3::hash(&json).as_bytes());
        id.update(map.as_ref().map_or(&[][..], |m| m.as_bytes()));
        *id.update(hasher.finalize().as_bytes()).finalize().as_bytes()
    });
    let (Some(snapshot), Some(own)) = (snapshot, manifest["member"].as_u64()) else {
        return;
    };
    let mut content = [0; 32];
    for seal in frames.iter_mut().filter(|f| f.kind == SEAL) {
        let own = usize::try_from(own).unwrap_or(usize::MAX).saturating_mul(32);
        if let Some(id) = seal.payload.get_mut(own..own.saturating_add(32)) {
            id.copy_from_slice(&snapshot);
        }
        let key = b"snaprestore v1 set content id...";
        content = *blake3::keyed_hash(key, &seal.payload).as_bytes();
    }
    for footer in frames.iter_mut().filter(|f| f.kind == FOOTER && f.payload.len() == 168) {
        for field in 0..7 {
            relocate(&mut footer.payload, field * 8, places);
        }
        footer.payload[88..120].copy_from_slice(&snapshot);
        footer.payload[120..152].copy_from_slice(&content);
    }
}

/// Moves an offset along with what it points to; one that points to nothing known is left alone.
fn relocate(bytes: &mut [u8], at: usize, places: &Places) {
    let old = u64_at(bytes, at);
    if let Some(new) = places.get(&old).filter(|_| old != 0) {
        bytes[at..at + 8].copy_from_slice(&new.to_le_bytes());
    }
}

fn join(frames: &[Frame]) -> Vec<u8> {
    let tag = blake3::hash(&frames[0].payload);
    let mut file = Vec::new();
    for frame in frames {
        file.extend_from_slice(&header(frame, file.len() as u64, &tag.as_bytes()[..16]));
        file.extend_from_slice(&frame.payload);
        file.extend_from_slice(&frame.behind);
    }
    file
}

/// The 64 bytes in front of a payload.
pub(crate) fn header(frame: &Frame, at: u64, tag: &[u8]) -> [u8; HEADER] {
    let len = u32::try_from(frame.payload.len()).unwrap();
    let mut head = Vec::with_capacity(HEADER);
    head.extend_from_slice(&0x184D_2A53_u32.to_le_bytes());
    head.extend_from_slice(&(len + 56).to_le_bytes());
    head.extend_from_slice(b"SNAPRST\x01");
    head.extend_from_slice(&frame.kind.to_le_bytes());
    head.extend_from_slice(&frame.flags.to_le_bytes());
    head.extend_from_slice(&len.to_le_bytes());
    head.extend_from_slice(&at.to_le_bytes());
    head.extend_from_slice(tag);
    head.extend_from_slice(&[0; 8]);
    head.extend_from_slice(&crc32fast::hash(&frame.payload).to_le_bytes());
    head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
    head.try_into().unwrap()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
