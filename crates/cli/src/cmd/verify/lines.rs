//! All that a check finds, line by line as it is found: however much it is, it takes no memory.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::DamageView;
use crate::cmd::restore::new_file;
use crate::exit::Failure;

/// A new file that takes a JSON document for each finding.
pub(super) struct Lines {
    path: PathBuf,
    file: Mutex<Written>,
}

struct Written {
    file: BufWriter<File>,
    /// The first write that failed.
    result: io::Result<()>,
}

impl Lines {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let (_, file) = new_file(path)?;
        let written = Written { file: BufWriter::new(file), result: Ok(()) };
        Ok(Self { path: path.to_owned(), file: Mutex::new(written) })
    }

    pub(super) fn add(&self, path: &Path, what: &dyn Display) {
        self.view(&DamageView::new(path, &what));
    }

    pub(super) fn view(&self, view: &DamageView) {
        let mut written = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if written.result.is_ok() {
            let line = serde_json::to_string(view).map_err(io::Error::other);
            written.result = line.and_then(|line| writeln!(written.file, "{line}"));
        }
    }

    /// Makes it durable.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        let mut written = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let result = std::mem::replace(&mut written.result, Ok(()));
        let done = result.and_then(|()| written.file.flush());
        let done = done.and_then(|()| written.file.get_ref().sync_all());
        done.map_err(|error| Failure::Target { path: self.path.clone(), error })
    }
}
