//! What lies in the volume of a set, as it is printed.

use std::io;

use repository::stack::{DeviceNo, Stack};
use restore::Volume;
use serde::Serialize;

use super::stack::{ContentsView, StackView};

/// What a volume holds, and what its members say of themselves.
#[derive(Serialize)]
pub(crate) struct InsideView {
    contents: ContentsView,
    #[serde(flatten)]
    stack: StackView,
}

impl InsideView {
    /// Arrays and groups are those that the members make, wherever they make any: the layout of the
    /// set may be one of their volumes, or have them one after the other, where they are none.
    pub(crate) fn new(volume: &Volume) -> io::Result<Self> {
        let of_members = StackView::new(&Stack::of_members(volume.members().to_vec())?);
        let inside = Stack::of_volume(volume)?;
        let stack = if of_members.is_empty() { StackView::new(&inside) } else { of_members };
        Ok(Self { contents: ContentsView::new(&inside, DeviceNo(0)), stack })
    }

    /// Of a volume that cannot be read at all.
    pub(crate) fn unknown(why: String) -> Self {
        Self { contents: ContentsView::unknown(why), stack: StackView::default() }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec!["volume".to_owned()];
        self.contents.lines("  ", &mut lines);
        self.stack.lines(&mut lines);
        lines
    }
}
