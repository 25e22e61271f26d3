//! Layouts as they are printed.

use restore::snapfmt::{Column, ExtentMap, Mapping, Segment, VolumeId};
use serde::Serialize;

/// A layout, as text too.
#[derive(Default, Serialize)]
pub(crate) struct LayoutView {
    layout: Vec<SegmentView>,
    #[serde(skip)]
    pub text: Vec<String>,
}

impl LayoutView {
    /// The segments of a map; `ids` are those of its members.
    pub(crate) fn new(map: &ExtentMap, ids: &[VolumeId]) -> Self {
        let text = map.segments().map(|s| restore::describe(&s, ids)).collect();
        Self { layout: segments(map, ids), text }
    }
}

/// One segment of a layout.
#[derive(Serialize)]
pub(crate) struct SegmentView {
    start: u64,
    length: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripe: Option<u32>,
    columns: Vec<ColumnView>,
}

#[derive(Serialize)]
struct ColumnView {
    member: String,
    offset: u64,
}

/// The segments of a map; `ids` are those of its members.
pub(crate) fn segments(map: &ExtentMap, ids: &[VolumeId]) -> Vec<SegmentView> {
    let column = |c: &Column| ColumnView {
        member: ids.get(c.member.index()).map_or_else(String::new, ToString::to_string),
        offset: c.offset,
    };
    let view = |s: Segment<'_>| {
        let (kind, stripe, columns) = match s.mapping {
            Mapping::Unmapped => ("unmapped", None, Vec::new()),
            Mapping::Linear(c) => ("linear", None, vec![column(&c)]),
            Mapping::Striped { stripe, columns } => {
                ("striped", Some(stripe), columns.iter().map(column).collect())
            }
        };
        SegmentView { start: s.start, length: s.length, kind, stripe, columns }
    };
    map.segments().map(view).collect()
}
