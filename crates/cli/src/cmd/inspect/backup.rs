//! `inspect` of another system's backups.

use foreign::Limits;
use foreign::backup::BackupSet;
use foreign::stack::Stack;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{Output, name, note, size};
use crate::view::SetView;
use crate::view::rows::Rows;
use crate::view::stack::StackView;

#[derive(Serialize)]
struct Inspection {
    set: SetView,
    #[serde(flatten)]
    stack: Option<StackView>,
}

/// Shows a set and what lies on its members, also when it is not complete; the exit code then says so.
pub(super) fn show(set: &BackupSet, output: Output) -> Result<Exit, Failure> {
    let (members, failure) = match set.open(&Limits::DEFAULT) {
        Ok(open) => (Some(open.members), set.damaged(open.damage).map(Failure::from)),
        Err(error) => (None, Some(error.into())),
    };
    let stack = match members {
        Some(members) => Some(Stack::of_members(members).map_err(Failure::System)?),
        None => None,
    };
    let stack = stack.as_ref().map(StackView::new);
    output.result(&Inspection { set: SetView::of_backup(set), stack }, Inspection::text)?;
    Ok(failure.map_or(Exit::Done, |failure| {
        note(&failure.message());
        failure.exit()
    }))
}

impl Inspection {
    fn text(&self) -> String {
        let mut rows = Rows::of(&self.set);
        rows.add("backup of", name(&self.set.tool));
        rows.add_state(&self.set);
        for member in &self.set.members {
            let snapshot = member.snapshot_id.as_deref().map(name).unwrap_or_default();
            let bytes = member.size.map_or_else(|| "size not known".into(), size);
            let (id, kind, state) = (name(member.volume_id.as_str()), member.kind, member.state);
            let what = format!("{id}  {snapshot}  {bytes}  {kind}  {state}");
            rows.add(&format!("member {}", member.index), what);
            if let Some(path) = &member.path {
                rows.add("", path);
            }
        }
        let mut lines = Vec::new();
        self.stack.iter().for_each(|stack| stack.lines(&mut lines));
        rows.add_lines(lines);
        rows.into_text()
    }
}
