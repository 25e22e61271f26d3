//! How an attached volume is shown.

use restore::attach::State;
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
    pid: u32,
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
            pid: state.pid,
        }
    }

    /// The device, or a dash where there is none, and the file.
    pub(crate) fn line(&self) -> String {
        let device = self.device.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        format!("{device}\t{}", self.file)
    }
}
