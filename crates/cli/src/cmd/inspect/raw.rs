//! Raw members as `list` and `inspect` show them: what they are and what lies on them.

use std::path::PathBuf;

use repository::stack::{DeviceNo, NotChosen, Stack, Unassembled};
use restore::job::identity;
use restore::snapfmt::VolumeId;
use serde::Serialize;

use super::verdict;
use crate::args::BytesArgs;
use crate::exit::{Exit, Failure};
use crate::given::Given;
use crate::members;
use crate::output::{Output, PathView, name, size};
use crate::subject::Subject;
use crate::view::segment::LayoutView;
use crate::view::stack::{ContentsView, StackView};

#[derive(Serialize)]
struct RawVolume {
    logical_size: Option<u64>,
    members: Vec<RawMember>,
    #[serde(flatten)]
    stack: StackView,
    #[serde(flatten)]
    layout: LayoutView,
}

#[derive(Serialize)]
struct RawMember {
    volume_id: VolumeId,
    path: PathView,
    size: u64,
    identity: String,
    contents: ContentsView,
}

/// Shows the members given, what lies on them, and the layout they make, also when they make none.
pub(crate) fn show(
    given: &Given<'_>,
    members: &[(VolumeId, PathBuf)],
    output: Output,
) -> Result<Exit, Failure> {
    // To have a look, whatever the bytes are.
    let opened = members::open(members, members::UNIT, BytesArgs { raw: true })?;
    let stack = Stack::of_members(opened).map_err(Failure::System)?;
    let mut shown = RawVolume {
        logical_size: None,
        members: Vec::new(),
        stack: StackView::new(&stack),
        layout: LayoutView::default(),
    };
    for (number, (id, path)) in members.iter().enumerate() {
        shown.members.push(member(&stack, number, id, path)?);
    }
    let subject = given.in_doubt();
    if let Ok(Subject { volume, .. }) = &subject {
        let ids: Vec<VolumeId> = volume.members().iter().map(|m| m.volume_id.clone()).collect();
        shown.logical_size = Some(volume.size());
        shown.layout = LayoutView::new(volume.layout().map(), &ids);
    }
    output.result(&shown, RawVolume::text)?;
    match subject.and_then(Subject::proved) {
        Ok(_) => Ok(Exit::Done),
        // No choice is needed for a look.
        Err(
            Failure::Usage { .. } | Failure::Stack(Unassembled::Choice(NotChosen::Several { .. })),
        ) if !given.says_how() => Ok(Exit::Done),
        Err(failure) => Ok(verdict(&failure)),
    }
}

fn member(
    stack: &Stack,
    number: usize,
    id: &VolumeId,
    path: &PathBuf,
) -> Result<RawMember, Failure> {
    let identity = identity(path).map_err(|e| members::failure(path, e))?;
    let size = stack.members().get(number).map_or(0, |member| member.source.size());
    let contents = ContentsView::new(stack, DeviceNo(number));
    Ok(RawMember { volume_id: id.clone(), path: path.into(), size, identity, contents })
}

impl RawVolume {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for member in &self.members {
            let (id, bytes) = (name(member.volume_id.as_str()), size(member.size));
            lines.push(format!("member {id}  {bytes}  {}", member.path));
            member.contents.lines("  ", &mut lines);
        }
        self.stack.lines(&mut lines);
        if let Some(bytes) = self.logical_size {
            lines.push(format!("volume  {bytes} ({})", size(bytes)));
            lines.extend(self.layout.text.iter().map(|segment| format!("  {segment}")));
        }
        lines.join("\n")
    }
}
