//! Loop devices to be overwritten.

use std::path::{Path, PathBuf};

use super::Outcome;
use super::loopmount::LoopDevice;
use super::needs::Need;
use super::noise::noise;
use super::scratch::{self, Scratch};

/// What a test with a loop device needs.
pub(crate) const LOOP: [Need; 3] = [Need::Root, Need::Tool("losetup"), Need::LoopDevice];

/// A loop device over a file that is full of something else.
pub(crate) struct Disk {
    device: LoopDevice,
    image: PathBuf,
    old: Vec<u8>,
}

impl Disk {
    /// One of `len` bytes.
    pub(crate) fn dirty(scratch: &Scratch, len: u64) -> Outcome<Self> {
        Self::with_flags(scratch, len, &[])
    }

    /// One that `losetup` makes with these flags.
    pub(crate) fn with_flags(scratch: &Scratch, len: u64, flags: &[&str]) -> Outcome<Self> {
        let image = scratch.path("disk.img");
        let old = noise(77, usize::try_from(len)?);
        scratch::write(&image, &old)?;
        let device = LoopDevice::with_flags(&image, flags)?;
        Ok(Self { device, image, old })
    }

    pub(crate) fn path(&self) -> &Path {
        self.device.path()
    }

    /// The file behind it.
    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    /// What it held in the beginning.
    pub(crate) fn old(&self) -> &[u8] {
        &self.old
    }

    /// Bytes that have been written to it, zeroed ones included, by field 7 of its line of figures
    /// (`Documentation/block/stat.rst` of the kernel; its sectors are 512 bytes whatever the device's are).
    pub(crate) fn written(&self) -> Outcome<u64> {
        let name = self.path().file_name().ok_or("no name")?;
        let stat = std::fs::read_to_string(Path::new("/sys/block").join(name).join("stat"))?;
        let sectors: u64 = stat.split_whitespace().nth(6).ok_or("no such field")?.parse()?;
        Ok(sectors * 512)
    }
}
