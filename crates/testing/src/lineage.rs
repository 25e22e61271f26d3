//! A volume through its generations: what happens to its members, and the sets that come of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use repository::capture::{CaptureRequest, Captured, Form, ParentSet, capture};
use restore::Progress;
use restore::source::{RawSource, Source};
use snapfmt::{Consistency, Limits};
use tempfile::TempDir;

use super::hand::{Chunk, HandMember, HandSet, time_of};
use super::memory::{MemorySource, volume_of};
use super::model::{Kind, MemberModel, Part, VolumeModel};
use super::{chunk_size, files, index, jobs, noise};

/// What becomes of a chunk's worth of a member.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Keep,
    /// New bytes.
    Fresh(u64),
    /// Bytes that other chunks may have as well.
    Common(u64),
    /// Some new bytes from here on, the rest as it was.
    Patch(usize),
    Zero,
    Hole,
    /// Zeros that the source gives as data.
    ZeroData,
}

/// A member at the next generation.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its length in chunks; 0: the member is not there.
    pub chunks: usize,
    /// How many bytes the last chunk is short of.
    pub short: usize,
    /// For each chunk in turn, again and again.
    pub acts: Vec<Act>,
}

/// A segment, as far as there is room for it.
#[derive(Clone, Debug)]
pub struct Piece {
    /// 0: unmapped, 1: linear, otherwise how many columns.
    pub width: usize,
    /// The first column's member, counted round.
    pub member: usize,
    pub stripe: u32,
    /// Stripes a column; the length in bytes where there are none.
    pub length: u64,
    /// Member bytes left out before it.
    pub skip: u64,
}

/// How a set comes to be.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Captured from sparse raw files, read in units of this many bytes.
    Raw(u32),
    /// Captured from memory, where chunks are of this many bytes.
    Memory(u32),
    /// Written record by record.
    Hand,
}

/// One generation.
#[derive(Clone, Debug)]
pub struct Step {
    pub changes: Vec<Change>,
    pub layout: Vec<Piece>,
    pub way: Way,
    /// Full, though there is something to build on.
    pub restart: bool,
    pub form: Form,
    /// Which member is the first in the roster.
    pub rotate: usize,
    pub jobs: usize,
}

/// What a file says of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    Data,
    Zero,
    Hole,
    Inherit,
}

/// A set that was written, and what it must be.
pub struct Generation {
    pub set_id: String,
    /// What must come back.
    pub model: VolumeModel,
    /// For each member, what its file must say of each chunk.
    pub stored: Vec<Vec<Stored>>,
    /// Members of this and the last generation, by number, where one builds on the other.
    pub builds_on: Vec<Option<usize>>,
}

pub struct Lineage {
    pub directory: TempDir,
    pub chunk: usize,
    pub generations: Vec<Generation>,
}

impl Lineage {
    /// Carries out `steps` one after the other.
    pub fn new(chunk: usize, steps: &[Step]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut lineage = Self { directory, chunk, generations: Vec::new() };
        for step in steps {
            lineage.step(step);
        }
        lineage
    }

    pub fn sets(&self) -> std::path::PathBuf {
        self.directory.path().join("sets")
    }

    fn step(&mut self, step: &Step) {
        let mut slots: Vec<usize> = (0..step.changes.len()).collect();
        slots.rotate_left(step.rotate % step.changes.len());
        let there = slots.iter().any(|slot| step.changes[*slot].chunks > 0);
        let last = self.generations.last();
        let (mut images, mut wanted, mut stored) = (Vec::new(), Vec::new(), Vec::new());
        let mut builds_on = Vec::new();
        for (place, slot) in slots.into_iter().enumerate() {
            let mut change = step.changes[slot].clone();
            if !there && place == 0 {
                change.chunks = 1;
            }
            if change.chunks == 0 {
                continue;
            }
            let volume = format!("vol-{slot}");
            let before = last.and_then(|g| g.model.members.iter().position(|m| m.volume == volume));
            let old = before.zip(last).map(|(no, g)| &g.model.members[no]);
            let image = image(&volume, old, &change, self.chunk, step.way);
            let parent = old.filter(|_| !step.restart);
            let (files, member) = decide(&image, parent, &change.acts, self.chunk, step.way);
            builds_on.push(before.filter(|_| parent.is_some()));
            images.push(image);
            wanted.push(member);
            stored.push(files);
        }
        let layout = lay(&step.layout, &images);
        let set_id = format!("dsnap-{:04}", self.generations.len());
        let image = VolumeModel { members: images, layout: layout.clone() };
        let model = VolumeModel { members: wanted, layout };
        let generation = Generation { set_id, model, stored, builds_on };
        match step.way {
            Way::Hand => self.write(step, &generation),
            Way::Raw(_) | Way::Memory(_) => {
                let captured = self.capture(step, &image, &generation);
                check_counts(&captured, &generation);
            }
        }
        self.generations.push(generation);
    }

    fn capture(&self, step: &Step, image: &VolumeModel, generation: &Generation) -> Captured {
        let directory = self.directory.path();
        let volume = volume_of(image, |no, member| match step.way {
            Way::Raw(unit) => {
                let path = directory.join(format!("{}-{no}.raw", generation.set_id));
                write_raw(&path, member);
                Box::new(RawSource::open(&path, unit).unwrap()) as Box<dyn Source>
            }
            Way::Memory(cut) => Box::new(MemorySource::new(member, cut)),
            Way::Hand => panic!("a set by hand is not captured"),
        });
        let catalog = files::catalog(directory);
        let last = self.generations.last().filter(|_| !step.restart).map(|last| {
            let selected = catalog.select(&files::by_id(&last.set_id)).unwrap();
            (selected.entry, catalog.open_set(selected.entry).unwrap())
        });
        let parent =
            last.as_ref().map(|(entry, open)| ParentSet { manifest: &entry.manifest, open });
        let number = self.generations.len() as u64;
        let request = CaptureRequest {
            directory: self.sets(),
            set_id: generation.set_id.parse().unwrap(),
            source_volume_id: "vol-logical".parse().unwrap(),
            generation: number,
            time: time_of(number),
            consistency: Consistency::Crash,
            tags: BTreeMap::new(),
            chunk_size: chunk_size(self.chunk),
            level: 1,
            form: step.form,
            sectors: vec![(512, 4096); volume.members().len()],
            parent,
            tool: "tests".into(),
            jobs: jobs(step.jobs),
        };
        capture(&volume, &request, &Progress::default()).unwrap()
    }

    fn write(&self, step: &Step, generation: &Generation) {
        let members = generation.model.members.iter().enumerate().map(|(no, member)| {
            let before = generation.builds_on[no];
            let last = before.and_then(|before| Some((before, self.generations.last()?)));
            let parent = last.map(|(before, last)| {
                let set = files::open_set(&files::catalog(self.directory.path()), &last.set_id);
                (last.set_id.clone(), set.own_files().nth(before).unwrap().snapshot.footer().state)
            });
            let whole = generation.stored[no].iter().zip(member.bytes.chunks(self.chunk));
            let chunks = whole.zip(member.kinds.chunks(self.chunk));
            let chunks = chunks.map(|((stored, bytes), kinds)| match stored {
                Stored::Data => Chunk::Data(bytes.to_vec()),
                Stored::Zero => Chunk::Zero,
                Stored::Hole => Chunk::Hole,
                Stored::Inherit if kinds[0] == Kind::Data => Chunk::Inherit(bytes.to_vec()),
                Stored::Inherit => Chunk::InheritZeros,
            });
            HandMember {
                volume: member.volume.clone(),
                size: member.size(),
                stream: parent.is_none() && !step.form.compact_zeros && !step.form.dedup,
                parent,
                chunks: chunks.collect(),
                own_tag: None,
            }
        });
        HandSet {
            id: generation.set_id.clone(),
            generation: self.generations.len() as u64,
            chunk: self.chunk,
            map: generation.model.extent_map(),
            members: members.collect(),
        }
        .write(&self.sets());
    }
}

/// What a source has of the member: the last generation's bytes, and what was done to them.
fn image(
    volume: &str,
    old: Option<&MemberModel>,
    change: &Change,
    chunk: usize,
    way: Way,
) -> MemberModel {
    let size = (change.chunks * chunk - change.short.min(chunk - 1)).max(1);
    let mut bytes = old.map_or_else(Vec::new, |m| m.bytes.clone());
    let mut kinds = old.map_or_else(Vec::new, |m| m.kinds.clone());
    bytes.resize(size, 0);
    kinds.resize(size, Kind::Zero);
    for (no, start) in (0..size).step_by(chunk).enumerate() {
        let here = start..(start + chunk).min(size);
        let put = |from: usize, new: &[u8]| (from..from + new.len(), new.to_vec(), Kind::Data);
        let (range, new, kind) = match change.acts[no % change.acts.len()] {
            Act::Keep => continue,
            Act::Fresh(seed) => put(start, &noise(seed + no as u64, here.len())),
            Act::Common(seed) => put(start, &noise(seed % 3, here.len())),
            Act::Patch(at) => {
                let from = start + at % here.len();
                put(from, &noise(at as u64, 700.min(here.end - from)))
            }
            Act::Zero => (here.clone(), vec![0; here.len()], Kind::Zero),
            Act::Hole => (here.clone(), vec![0; here.len()], Kind::Hole),
            Act::ZeroData => put(start, &vec![0; here.len()]),
        };
        bytes[range.clone()].copy_from_slice(&new);
        kinds[range].fill(kind);
    }
    if let Way::Raw(_) = way {
        // A file's holes are zeros to whoever reads it.
        kinds.iter_mut().filter(|k| **k == Kind::Hole).for_each(|k| *k = Kind::Zero);
    }
    MemberModel { volume: volume.into(), bytes, kinds }
}

/// What must be stored for each chunk, and what the member then is.
fn decide(
    image: &MemberModel,
    parent: Option<&MemberModel>,
    acts: &[Act],
    chunk: usize,
    way: Way,
) -> (Vec<Stored>, MemberModel) {
    let mut stored = Vec::new();
    let mut kinds = Vec::new();
    for (no, start) in (0..image.bytes.len()).step_by(chunk).enumerate() {
        let here = start..(start + chunk).min(image.bytes.len());
        let (bytes, source) = (&image.bytes[here.clone()], &image.kinds[here.clone()]);
        let may_inherit = parent.filter(|p| {
            let whole = p.size() == image.size() || here.len() == chunk;
            whole && p.bytes.len() >= here.end && p.bytes[here.clone()] == *bytes
        });
        let zeros = bytes.iter().all(|b| *b == 0);
        let own = match zeros {
            true if source.iter().all(|k| *k == Kind::Hole) => Stored::Hole,
            true => Stored::Zero,
            false => Stored::Data,
        };
        // A capture inherits what it can, a hand what it is told to.
        let told =
            !matches!((way, acts[no % acts.len()]), (Way::Hand, act) if !matches!(act, Act::Keep));
        let this = if may_inherit.is_some() && told { Stored::Inherit } else { own };
        let kind = match (this, may_inherit) {
            (Stored::Inherit, Some(parent)) => parent.kinds[start],
            (Stored::Hole, _) => Kind::Hole,
            (Stored::Zero, _) => Kind::Zero,
            _ => Kind::Data,
        };
        stored.push(this);
        kinds.resize(here.end, kind);
    }
    (stored, MemberModel { kinds, ..image.clone() })
}

/// Segments one after the other, each from where the ones before left its members.
fn lay(pieces: &[Piece], members: &[MemberModel]) -> Vec<Part> {
    let mut free = vec![0_u64; members.len()];
    let mut layout = Vec::new();
    for piece in pieces {
        let room = |free: &[u64], m: usize| members[m].size().saturating_sub(free[m]);
        let first = piece.member % members.len();
        match piece.width {
            0 => layout.push(Part::Unmapped(piece.length.max(1))),
            1 => {
                free[first] += piece.skip;
                let length = piece.length.max(1).min(room(&free, first));
                if length > 0 {
                    layout.push(Part::Linear(length, (first, free[first])));
                    free[first] += length;
                }
            }
            width => {
                let width = width.min(members.len());
                let columns: Vec<usize> = (0..width).map(|n| (first + n) % members.len()).collect();
                for member in &columns {
                    free[*member] += piece.skip;
                }
                let each = columns.iter().map(|m| room(&free, *m)).min().unwrap_or(0);
                let stripe = u64::from(piece.stripe).min(each);
                if width > 1 && stripe >= Limits::DEFAULT.shortest_stripe.into() {
                    let rows = (each / stripe).min(piece.length.max(1));
                    let places = columns.iter().map(|m| (*m, free[*m])).collect();
                    layout.push(Part::Striped(rows, u32::try_from(stripe).unwrap(), places));
                    for member in &columns {
                        free[*member] += rows * stripe;
                    }
                }
            }
        }
    }
    if layout.is_empty() {
        layout.push(Part::Linear(members[0].size(), (0, 0)));
    }
    layout
}

/// A file with nothing where the member has no data.
fn write_raw(path: &Path, member: &MemberModel) {
    let file = File::create(path).unwrap();
    file.set_len(member.size()).unwrap();
    for run in runs_of_data(member) {
        let place = index(run.start)..index(run.end);
        file.write_all_at(&member.bytes[place], run.start).unwrap();
    }
}

fn runs_of_data(member: &MemberModel) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (at, _) in (0..).zip(&member.kinds).filter(|(_, kind)| **kind == Kind::Data) {
        match runs.last_mut() {
            Some(run) if run.end == at => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// A capture says itself what became of the chunks.
fn check_counts(captured: &Captured, generation: &Generation) {
    for (file, stored) in captured.files.iter().zip(&generation.stored) {
        let count = |which: &[Stored]| stored.iter().filter(|s| which.contains(s)).count() as u64;
        let counts = file.chunks;
        assert_eq!(counts.data + counts.reused, count(&[Stored::Data]), "{}", file.volume_id);
        assert_eq!(counts.zero, count(&[Stored::Zero, Stored::Hole]), "{}", file.volume_id);
        assert_eq!(counts.inherited, count(&[Stored::Inherit]), "{}", file.volume_id);
        assert_eq!(file.stored_bytes, file.path.metadata().unwrap().len());
    }
}
