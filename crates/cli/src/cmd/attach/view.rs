//! How an attached volume is shown.

use attach::{MountPoint, State};
use serde::Serialize;

use crate::output::PathView;

/// An attached volume.
#[derive(Serialize)]
pub(crate) struct AttachedView {
    name: String,
    device: Option<PathView>,
    file: PathView,
    size: u64,
    sector_size: Option<u32>,
    writable: bool,
    set_id: Option<String>,
    content_id: Option<String>,
    warnings: Vec<String>,
    pid: u32,
    mounts: Vec<MountView>,
}

/// A filesystem of it that is mounted.
#[derive(Serialize)]
struct MountView {
    at: PathView,
    partition: Option<u32>,
    device: PathView,
    filesystem: String,
    options: String,
}

impl MountView {
    fn new(MountPoint { plan, .. }: &MountPoint) -> Self {
        Self {
            at: (&plan.at).into(),
            partition: plan.partition,
            device: (&plan.device).into(),
            filesystem: plan.recipe.kind.clone(),
            options: plan.recipe.options(),
        }
    }
}

impl AttachedView {
    pub(crate) fn new(state: &State) -> Self {
        let device = state.devices.first();
        Self {
            name: state.name.to_string(),
            device: device.map(|device| (&device.path).into()),
            file: (&state.file).into(),
            size: state.size,
            sector_size: device.map(|device| device.sector_size),
            writable: state.writable,
            set_id: state.set_id.clone(),
            content_id: state.content_id.clone(),
            warnings: state.warnings.clone(),
            pid: state.pid,
            mounts: state.mounts.iter().map(MountView::new).collect(),
        }
    }

    /// Where filesystems of it are mounted.
    pub(crate) fn mounted_at(&self) -> impl Iterator<Item = &PathView> {
        self.mounts.iter().map(|mount| &mount.at)
    }

    /// The device, or a dash where there is none, and the file.
    pub(crate) fn line(&self) -> String {
        let device = self.device.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        format!("{device}\t{}", self.file)
    }
}
