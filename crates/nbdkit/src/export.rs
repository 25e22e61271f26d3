//! One volume, served to any number of clients at once.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nbdkit::{Error, ExtentHandle, ExtentType, Flags, Result, Server, ThreadModel};
use restore::Volume;
use restore::image::Image;
use restore::reader::Reader;

use crate::parameters::{HELP, Parameters};

/// nbdkit has one set of parameters in a process, and gives them piece by piece.
static PARAMETERS: Mutex<Option<Parameters>> = Mutex::new(None);
/// Opened before nbdkit forks, so that what is wrong is said on its command line.
static VOLUME: OnceLock<Arc<Volume>> = OnceLock::new();
/// Begun after it forked: threads do not go along.
static READER: OnceLock<Arc<Reader>> = OnceLock::new();

/// What a client's connection sees.
pub(crate) struct Export(Arc<Reader>);

fn with<T>(act: impl FnOnce(&mut Parameters) -> std::result::Result<T, String>) -> Result<T> {
    let mut parameters = PARAMETERS.lock().unwrap_or_else(PoisonError::into_inner);
    act(parameters.get_or_insert_default()).map_err(|e| Error::new(libc::EINVAL, e))
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::new(libc::EIO, error.to_string())
}

impl Server for Export {
    fn name() -> &'static str {
        "snaprestore"
    }

    fn longname() -> Option<&'static str> {
        Some("snaprestore: a volume, as its snapshots have it")
    }

    fn version() -> Option<&'static str> {
        Some(env!("CARGO_PKG_VERSION"))
    }

    fn description() -> Option<&'static str> {
        Some("Serves a logical volume from local copies of its snapshots, checked and read-only.")
    }

    fn config_help() -> Option<&'static str> {
        Some(HELP)
    }

    fn magic_config_key() -> Option<&'static str> {
        Some("path")
    }

    fn config(key: &str, value: &str) -> Result<()> {
        with(|parameters| parameters.set(key, value))
    }

    fn config_complete() -> Result<()> {
        with(|parameters| parameters.check())
    }

    fn get_ready() -> Result<()> {
        let volume = with(|parameters| parameters.open().map_err(|e| e.to_string()))?;
        VOLUME.get_or_init(|| volume);
        Ok(())
    }

    fn after_fork() -> Result<()> {
        let volume = VOLUME.get().ok_or_else(|| Error::new(libc::EINVAL, "no volume is open"))?;
        let options = with(|parameters| Ok(parameters.options()))?;
        let reader = Reader::new(Arc::clone(volume), &options).map_err(|e| failed(&e))?;
        READER.get_or_init(|| Arc::new(reader));
        Ok(())
    }

    fn thread_model() -> Result<ThreadModel> {
        Ok(ThreadModel::Parallel)
    }

    fn open(_readonly: bool) -> Result<Box<dyn Server>> {
        let reader = READER.get().ok_or_else(|| Error::new(libc::EINVAL, "not ready"))?;
        Ok(Box::new(Self(Arc::clone(reader))))
    }

    fn can_multi_conn(&self) -> Result<bool> {
        Ok(true)
    }

    fn can_extents(&self) -> Result<bool> {
        Ok(true)
    }

    fn get_size(&self) -> Result<i64> {
        i64::try_from(self.0.size()).map_err(|e| failed(&e))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        Image::read_at(&*self.0, offset, buf).map_err(|e| failed(&e))
    }

    fn extents(
        &self,
        count: u32,
        offset: u64,
        flags: Flags,
        extents: &mut ExtentHandle,
    ) -> Result<()> {
        let end = offset.saturating_add(count.into()).min(self.0.size());
        let mut at = offset;
        while at < end {
            let run = self.0.run_at(at).map_err(|e| failed(&e))?;
            let kind = if run.is_data { ExtentType::Allocated } else { ExtentType::HoleZero };
            // A run may be longer than what was asked for, and nbdkit takes it as it is.
            extents.add(at, run.end - at, kind)?;
            at = run.end;
            if flags.contains(Flags::REQ_ONE) {
                break;
            }
        }
        Ok(())
    }
}
