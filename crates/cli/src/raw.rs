//! Raw members as `list` and `inspect` show them.

use std::fmt::Write as _;
use std::path::PathBuf;

use restore::job::identity;
use restore::snapfmt::{ChunkSize, VolumeId};
use serde::Serialize;

use crate::args::SetArgs;
use crate::exit::{Exit, Failure};
use crate::members;
use crate::output::{Output, PathView, name, size};
use crate::view::segment::{SegmentView, segments};

#[derive(Serialize)]
struct RawVolume {
    logical_size: u64,
    members: Vec<RawMember>,
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
}

/// Shows the members given and the layout they make.
pub(crate) fn show(args: &SetArgs, output: Output) -> Result<Exit, Failure> {
    let given = &args.raw.members;
    let volume = members::open(given, &args.raw.layout, ChunkSize::DEFAULT.bytes())?;
    let ids: Vec<VolumeId> = given.iter().map(|(id, _)| id.clone()).collect();
    let member = |(id, path): &(VolumeId, PathBuf), size| {
        let identity = identity(path).map_err(|e| members::failure(path, e))?;
        Ok::<_, Failure>(RawMember { volume_id: id.clone(), path: path.into(), size, identity })
    };
    let sizes = volume.members().iter().map(|m| m.source.size());
    let members: Vec<RawMember> =
        given.iter().zip(sizes).map(|(m, size)| member(m, size)).collect::<Result<_, _>>()?;
    let map = volume.layout().map();
    let layout = segments(map, &ids);
    let layout_text = map.segments().map(|s| restore::describe(&s, &ids)).collect();
    let raw = RawVolume { logical_size: volume.size(), members, layout, layout_text };
    output.result(&raw, RawVolume::text)?;
    Ok(Exit::Done)
}

impl RawVolume {
    fn text(&self) -> String {
        // Writing to a string cannot fail.
        let mut out = format!("raw members     {} as one volume\n", size(self.logical_size));
        for member in &self.members {
            let (id, bytes) = (name(member.volume_id.as_str()), size(member.size));
            let _ = writeln!(out, "member          {id}  {bytes}  {}", member.path);
        }
        for segment in &self.layout_text {
            let _ = writeln!(out, "layout          {segment}");
        }
        out
    }
}
