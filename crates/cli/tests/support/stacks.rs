//! The samples of LVM2 and MD in `testdata/stacks`, unpacked once for a test.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::loopmount::LoopDevice;
use super::needs::Need;
use super::scratch::{Scratch, read};
use super::{Outcome, ensure, tool};

/// What unpacking them takes.
pub(crate) const UNPACK: [Need; 2] = [Need::Tool("tar"), Need::Tool("zstd")];

/// A sample.
pub(crate) struct Samples {
    dir: PathBuf,
}

/// A volume and what it must be.
pub(crate) struct Expected {
    /// The state of the disks.
    pub(crate) state: String,
    /// `VG/LV`; empty for an array.
    pub(crate) volume: String,
    pub(crate) sha256: String,
    pub(crate) size: u64,
}

impl Samples {
    /// Unpacks `sample`, such as `lvm2/linear-3pv`.
    pub(crate) fn new(scratch: &Scratch, sample: &str) -> Outcome<Self> {
        let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/stacks/samples.tar.zst");
        let tar = scratch.path("samples.tar");
        if !tar.exists() {
            let args = ["-dq", "--long=27", packed, "-o"].map(Into::into);
            tool::run("zstd", args.into_iter().chain([tar.clone().into_os_string()]))?;
        }
        let args = [Path::new("-xSf"), &tar, Path::new("-C"), scratch.root(), Path::new(sample)];
        tool::run("tar", args)?;
        Ok(Self { dir: scratch.path(sample) })
    }

    /// The disks of a state, sorted by name.
    pub(crate) fn disks(&self, state: &str) -> Outcome<Vec<PathBuf>> {
        let mut disks = Vec::new();
        for entry in std::fs::read_dir(self.dir.join(state))? {
            disks.push(entry?.path());
        }
        disks.sort();
        ensure!(!disks.is_empty(), "no disks in {state}");
        Ok(disks)
    }

    /// What its manifest says.
    pub(crate) fn expected(&self) -> Outcome<Vec<Expected>> {
        let manifest: Value = serde_json::from_slice(&read(&self.dir.join("manifest.json"))?)?;
        let entry = |e: &Value| {
            let (name, sha256) = (e["name"].as_str()?, e["sha256"].as_str()?);
            let (state, volume) = name.split_once('/').unwrap_or((name, ""));
            Some(Expected {
                state: state.into(),
                volume: volume.into(),
                sha256: sha256.into(),
                size: e["size"].as_u64()?,
            })
        };
        let entries = manifest["expected"].as_array().ok_or("no list")?;
        entries.iter().map(|e| entry(e).ok_or_else(|| "no entry".into())).collect()
    }

    /// What its manifest says of one volume.
    pub(crate) fn volume(&self, state: &str, volume: &str) -> Outcome<Expected> {
        let all = self.expected()?;
        let one = all.into_iter().find(|e| e.state == state && e.volume == volume);
        one.ok_or_else(|| format!("no {state}/{volume}").into())
    }
}

/// The disks of a sample of `testdata/stacks/faults`, sorted by name.
pub(crate) fn fault(scratch: &Scratch, name: &str) -> Outcome<Vec<PathBuf>> {
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/stacks/faults");
    let (tar, dir) = (scratch.path(&format!("{name}.tar")), scratch.dir(name)?);
    let args = ["-dq", "--long=27", "-o"].map(OsString::from).into_iter();
    let packed = Path::new(packed).join(format!("{name}.tar.zst"));
    tool::run("zstd", args.chain([tar.clone().into_os_string(), packed.into_os_string()]))?;
    tool::run("tar", [Path::new("-xSf"), &tar, Path::new("-C"), &dir])?;
    let mut disks = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        disks.push(entry?.path());
    }
    disks.sort();
    Ok(disks)
}

/// What running lvm2 takes.
pub(crate) const LVM2: [Need; 4] =
    [Need::Root, Need::Tool("losetup"), Need::LoopDevice, Need::Tool("lvm")];

/// Runs a command of lvm2 that looks at these devices only, without the device mapper.
pub(crate) fn lvm2<S: AsRef<OsStr>>(
    command: &str,
    devices: &[LoopDevice],
    args: impl IntoIterator<Item = S>,
) -> Outcome<String> {
    let only = devices.iter().map(|device| format!("\"a|^{}$|\"", device.path().display()));
    let filter = only.chain(["\"r|.*|\"".to_owned()]).collect::<Vec<_>>().join(",");
    let config = format!(
        "devices{{scan=\"/dev\" obtain_device_list_from_udev=0 \
         external_device_info_source=\"none\" use_devicesfile=0 filter=[{filter}]}} \
         global{{activation=0 use_lvmpolld=0 event_activation=0}} \
         activation{{udev_sync=0 udev_rules=0 monitoring=0}} backup{{backup=0 archive=0}}"
    );
    let mut all =
        [command, "--driverloaded", "n", "--config", &config].map(OsString::from).to_vec();
    all.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
    tool::run("lvm", all)
}
