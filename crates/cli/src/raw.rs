//! Raw members as `list` and `inspect` show them: what they are and what lies on them.

use std::path::PathBuf;

use foreign::stack::{DeviceNo, NotChosen, Stack, Unassembled};
use restore::job::identity;
use restore::snapfmt::{ChunkSize, VolumeId};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::members;
use crate::output::{Output, PathView, name, note, size};
use crate::stack::Joined;
use crate::subject::Raw;
use crate::view::segment::{SegmentView, segments};
use crate::view::stack::{ContentsView, StackView};

#[derive(Serialize)]
struct RawVolume {
    logical_size: Option<u64>,
    members: Vec<RawMember>,
    #[serde(flatten)]
    stack: StackView,
    layout: Vec<SegmentView>,
    #[serde(skip)]
    layout_text: Vec<String>,
}

#[derive(Serialize)]
struct RawMember {
    volume_id: VolumeId,
    path: PathView,
    size: u64,
    identity: String,
    contents: ContentsView,
}

/// Shows the members given, what lies on them, and the layout they make, also when they make none;
/// the exit code then says so.
pub(crate) fn show(raw: &Raw<'_>, output: Output) -> Result<Exit, Failure> {
    let opened = members::open(&raw.members, ChunkSize::DEFAULT.bytes())?;
    let stack = Stack::of_members(opened).map_err(Failure::System)?;
    let mut shown = RawVolume {
        logical_size: None,
        members: Vec::new(),
        stack: StackView::new(&stack),
        layout: Vec::new(),
        layout_text: Vec::new(),
    };
    for (number, (id, path)) in raw.members.iter().enumerate() {
        shown.members.push(member(&stack, number, id, path)?);
    }
    let joined = raw.join(&raw.args.stack);
    if let Ok(Joined { volume, .. }) = &joined {
        let ids: Vec<VolumeId> = volume.members().iter().map(|m| m.volume_id.clone()).collect();
        let map = volume.layout().map();
        shown.logical_size = Some(volume.size());
        shown.layout = segments(map, &ids);
        shown.layout_text = map.segments().map(|s| restore::describe(&s, &ids)).collect();
    }
    output.result(&shown, RawVolume::text)?;
    let failure = match joined {
        Ok(Joined { doubt: None, .. }) => return Ok(Exit::Done),
        // Nobody has to choose to have a look.
        Err(
            Failure::Usage { .. } | Failure::Stack(Unassembled::Choice(NotChosen::Several { .. })),
        ) if raw.args.stack.is_empty() && raw.args.raw.layout.is_empty() => {
            return Ok(Exit::Done);
        }
        Ok(Joined { doubt: Some(doubt), .. }) => Failure::from(doubt),
        Err(failure) => failure,
    };
    note(&failure.message());
    Ok(failure.exit())
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
            lines.extend(self.layout_text.iter().map(|segment| format!("  {segment}")));
        }
        lines.join("\n")
    }
}
