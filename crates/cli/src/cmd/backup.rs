//! `inspect` and `verify` of another system's backups.

use std::fmt::Write;
use std::time::Instant;

use foreign::Limits;
use foreign::backup::{BackupMember, BackupSet};
use foreign::stack::Stack;
use restore::engine::{self, OnDamage, Options};
use restore::sink::NullSink;
use restore::snapfmt::{MemberNo, SetContentId, SetId, VolumeId};
use restore::{Report, Volume};
use serde::Serialize;

use super::restore::ProofView;
use crate::args::Common;
use crate::backup::Backup;
use crate::exit::{Exit, Failure};
use crate::output::{Output, PathView, line, name, note, size};
use crate::view::SetView;
use crate::view::stack::StackView;
use crate::watch::Watch;

#[derive(Serialize)]
struct Inspection {
    set: SetView,
    #[serde(flatten)]
    stack: Option<StackView>,
}

/// Shows a set and what lies on its members, also when it is not complete; the exit code then says so.
pub(crate) fn inspect(set: &BackupSet, output: Output) -> Result<Exit, Failure> {
    let (members, failure) = match set.open(&Limits::DEFAULT) {
        Ok(open) => (Some(open.members), set.damaged(open.damage).map(Failure::from)),
        Err(error) => (None, Some(error.into())),
    };
    let stack = match members {
        Some(members) => Some(Stack::of_members(members).map_err(Failure::System)?),
        None => None,
    };
    let stack = stack.as_ref().map(StackView::new);
    output.result(&Inspection { set: SetView::of_backup(set), stack }, text)?;
    Ok(failure.map_or(Exit::Done, |failure| {
        note(&failure.message());
        failure.exit()
    }))
}

fn text(inspection: &Inspection) -> String {
    let view = &inspection.set;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut row = |key: &str, value: String| {
        let _ = writeln!(out, "{key:<15} {value}");
    };
    row("set", name(view.set_id.as_str()));
    row("source volume", name(view.source_volume_id.as_str()));
    row("generation", view.generation.to_string());
    if let Some(id) = &view.generation_id {
        row("generation id", name(id));
    }
    row("time", view.time.map_or_else(|| "not known".into(), |time| time.to_string()));
    row("backup of", name(&view.tool));
    row("state", view.state.to_owned());
    for problem in &view.problems {
        row("problem", line(problem));
    }
    for warning in &view.warnings {
        row("warning", line(warning));
    }
    for (key, value) in &view.tags {
        row("tag", format!("{}={}", name(key), name(value)));
    }
    for member in &view.members {
        let snapshot = member.snapshot_id.as_deref().map(name).unwrap_or_default();
        let bytes = member.size.map_or_else(|| "size not known".into(), size);
        let (id, kind, state) = (name(member.volume_id.as_str()), member.kind, member.state);
        row(
            &format!("member {}", member.index),
            format!("{id}  {snapshot}  {bytes}  {kind}  {state}"),
        );
        if let Some(path) = &member.path {
            row("", path.to_string());
        }
    }
    let mut lines = Vec::new();
    inspection.stack.iter().for_each(|stack| stack.lines(&mut lines));
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    out
}

#[derive(Serialize)]
struct Verification {
    set_id: SetId,
    content_id: Option<SetContentId>,
    mode: &'static str,
    members: Vec<MemberView>,
    damage: Vec<DamageView>,
    seconds: f64,
}

#[derive(Serialize)]
struct MemberView {
    volume_id: VolumeId,
    snapshot_id: String,
    size: u64,
    proof: ProofView,
}

#[derive(Serialize)]
struct DamageView {
    path: PathView,
    message: String,
}

/// Reads every byte of all members, or only looks whether their files are there.
pub(crate) fn verify(
    backup: &Backup,
    volume: &Volume,
    is_quick: bool,
    common: &Common,
    output: Output,
) -> Result<Exit, Failure> {
    let start = Instant::now();
    let (mut members, mut damage) = (Vec::new(), Vec::new());
    for (no, member) in (0..).zip(&backup.set.members) {
        let alone = volume.alone(MemberNo(no)).map_err(|e| Failure::Layout(e.into()))?;
        let report = if is_quick { Report::default() } else { read(&alone, common)? };
        damage.extend(report.damage.iter().map(|d| DamageView {
            path: (&d.cause.path).into(),
            message: d.cause.cause.to_string(),
        }));
        members.push(MemberView::new(member, &alone, &report));
    }
    if is_quick {
        damage.extend(backup.damage.iter().map(|error| DamageView {
            path: (&error.path).into(),
            message: error.cause.to_string(),
        }));
    }
    let verification = Verification {
        set_id: backup.set.id.clone(),
        content_id: None,
        mode: if is_quick { "quick" } else { "full" },
        members,
        damage,
        seconds: start.elapsed().as_secs_f64(),
    };
    output.result(&verification, Verification::text)?;
    let Some(first) = verification.damage.first() else { return Ok(Exit::Done) };
    note(&format!("damage in {}: {}", first.path, first.message));
    Ok(Exit::SourceDamaged)
}

/// Goes on after damage, to find all of it.
fn read(volume: &Volume, common: &Common) -> Result<Report, Failure> {
    let watch = Watch::start(common, "verifying");
    let on_damage = OnDamage::Salvage { fill: 0 };
    let options = Options { on_damage, ..Options::new(common.jobs()) };
    let result = engine::run(volume, 0..volume.size(), &NullSink, &options, watch.progress());
    let terminated = watch.finish();
    result.map_err(|error| Failure::Run { error, terminated })
}

impl MemberView {
    fn new(member: &BackupMember, volume: &Volume, report: &Report) -> Self {
        Self {
            volume_id: member.volume_id.clone(),
            snapshot_id: member.snapshot.as_str().to_owned(),
            size: volume.size(),
            proof: ProofView::new(&report.counts),
        }
    }
}

impl Verification {
    fn text(&self) -> String {
        let mut out = String::new();
        for member in &self.members {
            let ProofView { digest, crc, none } = member.proof;
            let (id, snapshot) = (name(member.volume_id.as_str()), name(&member.snapshot_id));
            // Writing to a string cannot fail.
            let _ = write!(out, "{id}  {snapshot}  {}", size(member.size));
            if self.mode == "full" {
                let proved = size(digest + crc);
                let _ = write!(out, "  {proved} of data proved, {} without a checksum", size(none));
            }
            out.push('\n');
        }
        for damage in &self.damage {
            let _ = writeln!(out, "damage: {}: {}", damage.path, line(&damage.message));
        }
        let unproved = self.members.iter().any(|member| member.proof.none > 0);
        let verdict = match (self.damage.is_empty(), self.mode, unproved) {
            (false, ..) => "there is damage",
            (true, "quick", _) => "all files are there (not read)",
            (true, _, false) => "every byte is sound",
            (true, _, true) => "every byte can be read; not all of them have a checksum",
        };
        let _ = writeln!(out, "set {}: {verdict}", name(self.set_id.as_str()));
        out
    }
}
