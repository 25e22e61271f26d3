//! Another copy of a damaged file, where one was given: the hint that helps most.

use std::path::Path;

use repository::catalog::CatalogError;
use restore::engine::RunError;
use restore::extract::ExtractError;
use restore::image::ImageError;
use restore::job::{JobError, Unfinished};
use restore::survey::SurveyError;

use super::Failure;

/// What to try where a damaged file was given twice.
pub(crate) fn hint(copy: &Path) -> String {
    format!("another copy of this file was given: {}; give only that one", copy.display())
}

/// The other copy of the file whose damage stopped a command.
pub(super) fn of(failure: &Failure) -> Option<&Path> {
    match failure {
        Failure::Run { error: RunError::Damaged(damage), .. }
        | Failure::Unfinished {
            unfinished: Unfinished { error: JobError::Run(RunError::Damaged(damage)), .. },
            ..
        } => damage.cause.copy(),
        Failure::Extract { error: ExtractError::Image { error, .. }, .. } => match error {
            ImageError::Damaged(error) => error.copy(),
            ImageError::Local { .. } | ImageError::Beyond { .. } => None,
        },
        Failure::Survey(SurveyError::Read(error)) => error.copy(),
        Failure::Catalog(CatalogError::Unproved { cause, .. }) => cause.copy(),
        Failure::Catalog(CatalogError::Unsound { copy, .. }) => copy.as_deref(),
        Failure::NoneUsable { newest, .. } => of(newest),
        _ => None,
    }
}
