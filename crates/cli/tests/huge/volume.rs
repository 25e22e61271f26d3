//! The huge volume itself. It is never held or walked whole: its members are written at known places,
//! and a restored image is checked by its data extents.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::support::image::Filesystem;
use crate::support::loopmount::LoopMount;
use crate::support::noise::noise;
use crate::support::run::Call;
use crate::support::scratch::{Scratch, make_dir, set_len};
use crate::support::{Outcome, ensure};

pub(crate) const HUGE: u64 = 64 << 40;
const MEMBERS: u64 = 4;
const STRIPE: u64 = 64 << 10;
const PLACES: u64 = 48;
/// Within one stripe unit, so that a place is in one member.
const LEN: u64 = STRIPE - 8192;

pub(crate) struct Volume {
    // Dropped in this order: the mount before the directory it is in.
    mount: LoopMount,
    pub(crate) sets: PathBuf,
    scratch: Scratch,
}

impl Volume {
    pub(crate) fn make() -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let image = scratch.path("xfs.img");
        let mount_at = scratch.dir("mounted")?;
        let empty = scratch.dir("empty")?;
        Filesystem::Xfs.make(&image, 4 << 30, &empty, &mount_at)?;
        let mount = LoopMount::read_write(&image, &mount_at)?;
        let sets = scratch.dir("sets")?;
        make_dir(&mount.dir().join("members"))?;
        let volume = Self { mount, sets, scratch };
        let files: Vec<File> = (0..MEMBERS)
            .map(|member| set_len(&volume.member(member), HUGE / MEMBERS))
            .collect::<Outcome<_>>()?;
        for (nth, logical) in places().enumerate() {
            let unit = logical / STRIPE;
            let offset = unit / MEMBERS * STRIPE + logical % STRIPE;
            let file = &files[usize::try_from(unit % MEMBERS)?];
            file.write_all_at(&content(nth as u64)?, offset)?;
        }
        Ok(volume)
    }

    pub(crate) fn capture(&self) -> Call {
        let mut call = Call::new("capture")
            .option("-o", &self.sets)
            .option("--set-id", "dsnap-64")
            .option("--stripe", "64K")
            .option("--chunk-size", "1M")
            .arg("--compact-zeros");
        for member in 0..MEMBERS {
            call = call.member(&format!("vol-{member}"), &self.member(member));
        }
        call
    }

    pub(crate) fn mounted(&self) -> &Path {
        self.mount.dir()
    }

    pub(crate) fn unmount(self) -> Outcome {
        self.mount.unmount()?;
        drop(self.scratch);
        Ok(())
    }

    fn member(&self, number: u64) -> PathBuf {
        self.mount.dir().join("members").join(format!("{number}.raw"))
    }

    /// A restored image has the data at its places, and nothing but zeros anywhere else.
    #[expect(clippy::unused_self, reason = "it is this volume's image that is checked")]
    pub(crate) fn check(&self, image: &Path) -> Outcome {
        let file = File::open(image)?;
        let meta = file.metadata()?;
        ensure!(meta.len() == HUGE, "{} bytes", meta.len());
        ensure!(meta.blocks() * 512 < 1 << 30, "not sparse: {} blocks", meta.blocks());
        for (nth, logical) in places().enumerate() {
            let mut found = vec![0; usize::try_from(LEN)?];
            file.read_exact_at(&mut found, logical)?;
            ensure!(found == content(nth as u64)?, "place {nth} at {logical:#x} differs");
        }
        let mut at = 0;
        while let Some((start, end)) = next_data(&file, at)? {
            let mut found = vec![0; usize::try_from(end - start)?];
            file.read_exact_at(&mut found, start)?;
            for logical in places() {
                let from = logical.clamp(start, end) - start;
                let to = (logical + LEN).clamp(start, end) - start;
                found[usize::try_from(from)?..usize::try_from(to)?].fill(0);
            }
            let stray = found.iter().position(|byte| *byte != 0);
            ensure!(stray.is_none(), "data where none was, {stray:?} after {start:#x}");
            at = end;
        }
        Ok(())
    }
}

/// Places all over the volume, the very first and the very last bytes among them, at odd offsets.
fn places() -> impl Iterator<Item = u64> {
    (0..PLACES).map(|nth| match nth {
        0 => 0,
        n if n == PLACES - 1 => HUGE - LEN,
        n => (HUGE / PLACES * n) / STRIPE * STRIPE + 4096,
    })
}

fn content(nth: u64) -> Outcome<Vec<u8>> {
    Ok(noise(1000 + nth, usize::try_from(LEN)?))
}

fn next_data(file: &File, at: u64) -> Outcome<Option<(u64, u64)>> {
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(format!("SEEK_DATA at {at:#x}: {error}").into()),
    };
    let end = seek(file, SeekFrom::Hole(start))?;
    // Read in parts of a size that fits in memory whatever the filesystem preallocated.
    Ok(Some((start, end.min(start + (64 << 20)))))
}
