//! A directory in which restores are stopped and taken up again.

use std::fs;
use std::path::PathBuf;

use restore::engine::RunError;
use restore::job::{JobError, Restore, Restored, Unfinished};
use restore::sink::ImageSink;
use restore::{Progress, Volume};
use tempfile::TempDir;

use super::job::{entry, image, in_place, journal, whole};
use super::memory::{MemorySource, volume_of};
use super::model::{Kind, MemberModel, Part, VolumeModel};
use super::noise;

const MIB: u64 = 1 << 20;
/// The read that fails where a run is to be stopped: more than half of them are done by then.
pub const STOP: u64 = 80;

/// A volume of 28 MiB and a bit, with a long run of zeros in it, read in pieces of 256 KiB.
pub fn model() -> VolumeModel {
    let mut member = MemberModel::of("vol-0", noise(1, 28 << 20));
    member.bytes[6_000_000..10_800_000].fill(0);
    member.kinds[6_000_000..10_800_000].fill(Kind::Zero);
    let layout = vec![Part::Linear(28 * MIB, (0, 0)), Part::Unmapped(12_345)];
    VolumeModel { members: vec![member], layout }
}

pub fn volume(model: &VolumeModel) -> Volume {
    volume_of(model, |_, m| Box::new(MemorySource::new(m, 256 << 10)))
}

pub fn failing(model: &VolumeModel, at: u64) -> Volume {
    volume_of(model, |_, m| Box::new(MemorySource::new(m, 256 << 10).failing_at(at)))
}

/// A directory with a target, its temporary file and its journal.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    pub fn partial(&self) -> PathBuf {
        ImageSink::temporary(&entry(&self.target())).path()
    }

    pub fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    /// The names of everything in it, sorted, and what they hold.
    pub fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().path());
        let mut all: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        all.sort();
        all
    }

    pub fn names(&self) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        self.content().into_iter().map(|(path, _)| name(path)).collect()
    }

    /// A new image with a journal.
    pub fn image<'v>(&self, volume: &'v Volume) -> Restore<'v> {
        Restore { journal: Some(journal(&self.journal())), ..whole(volume, image(&self.target())) }
    }

    /// An existing file with a journal.
    pub fn in_place<'v>(&self, volume: &'v Volume) -> Restore<'v> {
        Restore {
            journal: Some(journal(&self.journal())),
            ..whole(volume, in_place(&self.target()))
        }
    }

    /// An image that is not finished: how much of it is proved.
    pub fn unfinished(&self, model: &VolumeModel) -> u64 {
        let unfinished = go(self.image(&failing(model, STOP))).unwrap_err();
        assert!(matches!(unfinished.error, JobError::Run(RunError::Damaged(_))), "{unfinished}");
        assert!(unfinished.proven > 0);
        assert_eq!(self.names(), [".target.partial", "journal"]);
        unfinished.proven
    }

    /// What a restore is refused for; nothing changes by it.
    pub fn refuses(&self, restore: Restore<'_>) -> JobError {
        let before = self.content();
        let unfinished = go(restore).unwrap_err();
        assert!(self.content() == before, "a refusal changes nothing");
        assert_eq!(unfinished.proven, 0);
        unfinished.error
    }
}

pub fn go(restore: Restore<'_>) -> Result<Restored, Unfinished> {
    restore.run(&Progress::default())
}
