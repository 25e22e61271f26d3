//! `inspect` of another system's backups.

use foreign::backup::BackupSet;
use repository::stack::{DeviceNo, Stack};
use serde::Serialize;

use super::verdict;
use crate::backup::Backup;
use crate::exit::{Exit, Failure};
use crate::given::Given;
use crate::output::{Output, name, size};
use crate::view::SetView;
use crate::view::rows::Rows;
use crate::view::stack::{ContentsView, StackView};

#[derive(Serialize)]
struct Inspection {
    set: SetView,
    #[serde(flatten)]
    stack: Option<StackView>,
}

/// Shows a set and what lies on its members.
pub(super) fn show(given: &Given<'_>, set: BackupSet, output: Output) -> Result<Exit, Failure> {
    let mut inspection = Inspection { set: SetView::of_backup(&set), stack: None };
    let whole = match Backup::open(set) {
        Ok((backup, members)) => {
            inspection.look(&Stack::of_members(members.clone()).map_err(Failure::System)?);
            // No choice is needed for a look.
            let meant = || given.on(members)?.proved().map(drop);
            backup.undamaged().and_then(|_| if given.says_how() { meant() } else { Ok(()) })
        }
        Err(failure) => Err(failure),
    };
    output.result(&inspection, Inspection::text)?;
    Ok(whole.map_or_else(|failure| verdict(&failure), |()| Exit::Done))
}

impl Inspection {
    /// Adds what lies on the members.
    fn look(&mut self, stack: &Stack) {
        for (no, member) in stack.members().iter().enumerate() {
            let own = self.set.members.iter_mut().find(|own| own.volume_id == member.volume_id);
            if let Some(own) = own {
                own.contents = Some(ContentsView::new(stack, DeviceNo(no)));
            }
        }
        self.stack = Some(StackView::new(stack));
    }

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
            let mut lines = Vec::new();
            member.contents.iter().for_each(|contents| contents.lines("  ", &mut lines));
            rows.add_lines(lines);
        }
        let mut lines = Vec::new();
        self.stack.iter().for_each(|stack| stack.lines(&mut lines));
        rows.add_lines(lines);
        rows.into_text()
    }
}
