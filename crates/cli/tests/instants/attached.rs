//! A set that is attached, and taken down whatever happens.

use std::path::{Path, PathBuf};

use crate::support::Outcome;
use crate::support::run::Call;

/// Detached when dropped.
pub(crate) struct Attached {
    name: String,
    device: PathBuf,
    down: bool,
}

impl Attached {
    /// Attaches the newest set below `sets` with more arguments; gives what was said besides.
    pub(crate) fn new<I, S>(name: &str, sets: &Path, args: I) -> Outcome<(Self, String)>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let call = Call::new("attach").arg(sets).option("--name", name).args(args);
        let ran = call.succeeds()?;
        let stdout = String::from_utf8(ran.stdout.clone())?;
        let device = stdout.split('\t').next().unwrap_or_default();
        let attached = Self { name: name.to_owned(), device: device.into(), down: false };
        Ok((attached, ran.stderr))
    }

    pub(crate) fn device(&self) -> &Path {
        &self.device
    }

    pub(crate) fn detach(mut self) -> Outcome {
        Call::new("detach").arg(&self.name).succeeds()?;
        self.down = true;
        Ok(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if !self.down {
            drop(Call::new("detach").arg(&self.name).run());
        }
    }
}
