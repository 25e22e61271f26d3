//! Which set a report is of, and what there is to be said of it.

use std::fmt;
use std::path::Path;

use restore::snapfmt::{SetContentId, SetId};
use serde::Serialize;

use crate::output::{PathView, name};
use crate::subject::{Origin, Subject};

/// A set as reports name it; raw members are of none.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SetName {
    pub set_id: Option<SetId>,
    /// Backups of other systems have none, nor has what was written over a set.
    pub content_id: Option<SetContentId>,
    /// What there is to be said of the volume's content.
    pub warnings: Vec<String>,
    /// What was written over the set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay: Option<Overlaid>,
}

/// What lies over a set, so that its content id is that of something else.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Overlaid {
    path: PathView,
    base_content_id: Option<SetContentId>,
}

impl SetName {
    pub(crate) fn of(subject: &Subject) -> Self {
        let (set_id, content_id) = match &subject.origin {
            Origin::Set { manifest, open } => (Some(manifest.id.clone()), Some(open.content)),
            Origin::Backup(backup) => (Some(backup.set.id.clone()), None),
            Origin::Raw(_) => (None, None),
        };
        Self { set_id, content_id, warnings: subject.warnings.clone(), overlay: None }
    }

    /// With what is written in `overlay` over it, if that is given.
    pub(crate) fn under(self, overlay: Option<&Path>) -> Self {
        let Some(path) = overlay else { return self };
        let overlay = Overlaid { path: path.into(), base_content_id: self.content_id };
        Self { content_id: None, overlay: Some(overlay), ..self }
    }

    /// What its report says of its content id, of the whole of it or of a part.
    pub(crate) fn content_text(&self, is_whole: bool) -> String {
        match (&self.overlay, self.content_id) {
            (Some(Overlaid { base_content_id: Some(id), .. }), _) => {
                format!("; the set below the overlay has content id {id}")
            }
            (_, Some(id)) if is_whole => format!("; content id {id}"),
            (_, Some(id)) => format!("; the whole set has content id {id}"),
            (_, None) => String::new(),
        }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.set_id {
            Some(set_id) => write!(f, "set {}", name(set_id.as_str()))?,
            None => f.write_str("raw members")?,
        }
        match &self.overlay {
            Some(overlay) => write!(f, " with overlay {}", overlay.path),
            None => Ok(()),
        }
    }
}
