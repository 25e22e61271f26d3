//! What is shown: the volume, its local copy where there is one, and what is written over both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use attach::hydrate::{Background, End, Hydrated};
use attach::overlay::Overlay;
use attach::{Behind, CacheFigures, Disk, Event};
use restore::image::Image;
use restore::reader::{self, Reader};

use super::hydrate::LocalCopy;
use crate::args::{AttachArgs, Common};
use crate::cmd::restore::same_place;
use crate::exit::Failure;
use crate::given::Given;
use crate::subject::Subject;

/// Where an overlay without a name is: on a disk, for it grows by all that is written.
const TEMPORARY: &str = "/var/tmp";

/// Where messages go.
pub(super) type Log = Arc<dyn Fn(&Event) + Send + Sync>;

/// What is shown, and what is behind it.
pub(super) struct Shown {
    pub(super) disk: Disk,
    pub(super) behind: Box<dyn Fn() -> Behind + Send + Sync>,
    /// Makes the local copy, until it is dropped.
    pub(super) background: Option<Background>,
}

/// All that can be refused before anything is made.
pub(super) struct Checked {
    local: Option<LocalCopy>,
    overlay: Option<Over>,
}

/// What is written goes here.
enum Over {
    File { path: PathBuf, content: String, reset: bool },
    Temporary,
}

impl Checked {
    /// Looks at what the arguments name besides the volume.
    pub(super) fn new(
        args: &AttachArgs,
        given: &Given<'_>,
        subject: &Subject,
    ) -> Result<Self, Failure> {
        if let (Some(local), Some(overlay)) = (&args.hydrate, &args.overlay)
            && same_place(local, overlay)
        {
            return Err(Failure::Usage {
                message: format!("{}: is to be two files at once", local.display()),
                hint: "give --hydrate and --overlay a name each",
            });
        }
        let local = match &args.hydrate {
            Some(target) => {
                let sources = given.sources(std::slice::from_ref(target));
                Some(LocalCopy::check(target, &subject.volume, subject.word()?, &sources)?)
            }
            None => None,
        };
        let overlay = match &args.overlay {
            Some(path) if path.as_os_str() == "tmp" => Some(Over::Temporary),
            Some(path) => Some(Over::File {
                // The server leaves the directory it was started in.
                path: std::path::absolute(path).map_err(Failure::System)?,
                content: subject.word()?,
                reset: args.reset_overlay,
            }),
            None => None,
        };
        Ok(Self { local, overlay })
    }

    /// Puts all together, and starts what goes on in the background.
    pub(super) fn open(
        self,
        subject: Subject,
        args: &AttachArgs,
        common: &Common,
        log: &Log,
    ) -> Result<Shown, Failure> {
        let default = reader::Options::default();
        let cache = args.cache.map_or(default.cache, |size| size.0);
        let options = reader::Options { cache, threads: common.jobs() };
        let volume = Arc::new(subject.volume);
        let reader = Arc::new(Reader::new(volume.clone(), &options).map_err(Failure::System)?);
        let behind = match self.local {
            Some(local) => Some(local.begin(&volume, reader.clone(), common, tell(log.clone()))?),
            None => None,
        };
        let (hydrated, background) = behind.unzip();
        let image: Arc<dyn Image> = match &hydrated {
            Some(hydrated) => hydrated.clone(),
            None => reader.clone(),
        };
        let disk = match self.overlay {
            Some(over) => Disk::Writable(Arc::new(over.open(image)?)),
            None => Disk::ReadOnly(image),
        };
        Ok(Shown { disk, behind: figures(reader, hydrated), background })
    }
}

impl Over {
    fn open(self, lower: Arc<dyn Image>) -> Result<Overlay, Failure> {
        Ok(match self {
            Self::Temporary => Overlay::temporary(Path::new(TEMPORARY), lower)?,
            Self::File { path, content, reset: true } => Overlay::reset(&path, &content, lower)?,
            Self::File { path, content, reset: false } => {
                Overlay::open_or_create(&path, &content, lower)?
            }
        })
    }
}

/// What is behind the image, for others to ask.
fn figures(
    reader: Arc<Reader>,
    hydrated: Option<Arc<Hydrated>>,
) -> Box<dyn Fn() -> Behind + Send + Sync> {
    Box::new(move || {
        let counts = reader.counts();
        Behind {
            cache: Some(CacheFigures { hits: counts.hits, loads: counts.loads }),
            local: hydrated.as_ref().map(|hydrated| hydrated.local()),
        }
    })
}

/// Says how a local copy ended.
fn tell(log: Log) -> impl FnOnce(&End) + Send {
    move |end| log(&Event::LocalCopy { end: end.to_string() })
}
