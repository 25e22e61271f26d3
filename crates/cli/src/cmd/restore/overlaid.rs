//! `--overlay`: a volume with what was written over it while it was attached.

use std::path::Path;
use std::sync::Arc;

use attach::overlay::Overlay;
use restore::image::ImageSource;
use restore::reader::{Options, Reader};
use restore::snapfmt::Digest;
use restore::{Volume, VolumeMember};

use crate::exit::Failure;
use crate::subject::{Subject, state_of};

/// What reports call the one member that the overlaid volume is.
const NAME: &str = "overlay";

/// The subject with what the overlay holds, and its content in a word: that of what is below, and
/// what tells that the overlay was not written to since.
pub(super) fn overlaid(
    path: &Path,
    subject: Subject,
    word: &str,
) -> Result<(Subject, String), Failure> {
    let Subject { origin, volume, assembly, warnings } = subject;
    let below = Reader::new(Arc::new(volume), &Options::default()).map_err(Failure::System)?;
    // No process writes to it from here on.
    let image = Overlay::read_only(path, word, Arc::new(below))?;
    let state = state_of(path).map_err(|error| Failure::Member { path: path.to_owned(), error })?;
    let word = format!("overlay-{}", Digest::of(format!("{word}\n{state}").as_bytes()));
    let volume_id = NAME.parse().map_err(|_| Failure::Usage {
        message: format!("{NAME} is no volume id"),
        hint: "docs/FORMAT.md says what one is",
    })?;
    let source = Arc::new(ImageSource::new(image, path));
    let volume = Volume::of_one(VolumeMember { volume_id, source });
    let volume = volume.map_err(|e| Failure::Layout(e.into()))?;
    Ok((Subject { origin, volume, assembly, warnings }, word))
}
