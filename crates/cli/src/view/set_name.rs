//! Which set a report is of.

use std::fmt;

use restore::snapfmt::{SetContentId, SetId};
use serde::Serialize;

use crate::output::name;
use crate::subject::Origin;

/// A set as reports name it; raw members are of none.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SetName {
    pub set_id: Option<SetId>,
    /// Backups of other systems have none.
    pub content_id: Option<SetContentId>,
}

impl SetName {
    pub(crate) fn of(origin: &Origin) -> Self {
        let (set_id, content_id) = match origin {
            Origin::Set { manifest, open } => (Some(manifest.id.clone()), Some(open.content)),
            Origin::Backup(backup) => (Some(backup.set.id.clone()), None),
            Origin::Raw(_) => (None, None),
        };
        Self { set_id, content_id }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.set_id {
            Some(set_id) => write!(f, "set {}", name(set_id.as_str())),
            None => f.write_str("raw members"),
        }
    }
}
