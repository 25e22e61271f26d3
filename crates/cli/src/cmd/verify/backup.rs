//! `verify` of another system's backups.

use std::fmt::Write;

use foreign::backup::BackupMember;
use restore::engine::{self, OnDamage, Options, Told};
use restore::sink::NullSink;
use restore::snapfmt::{MemberNo, SetContentId, SetId, VolumeId};
use restore::source::ReadError;
use restore::{Counts, Damage, Report, Volume};
use serde::Serialize;

use super::lines::Lines;
use super::{DamageView, How};
use crate::args::Common;
use crate::backup::Backup;
use crate::cmd::restore::{ProofView, counted_apart};
use crate::exit::Failure;
use crate::output::{line, name, size};
use crate::watch::Watch;

/// What was found.
#[derive(Serialize)]
pub(super) struct Verification {
    set_id: SetId,
    content_id: Option<SetContentId>,
    mode: &'static str,
    members: Vec<MemberView>,
    pub damage: Vec<DamageView>,
    /// Places beyond those listed.
    #[serde(rename = "more_damage")]
    pub more: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct MemberView {
    volume_id: VolumeId,
    snapshot_id: String,
    size: u64,
    proof: ProofView,
}

/// Reads every byte of all members, or only looks whether their files are there.
pub(super) fn run(
    backup: &Backup,
    volume: &Volume,
    how: &How<'_>,
    common: &Common,
) -> Result<Verification, Failure> {
    let How { is_quick, start, lines } = *how;
    let (mut members, mut damage, mut more) = (Vec::new(), Vec::new(), 0);
    let counts = if is_quick { Counts::default() } else { counted_apart(volume)? };
    // One for all members: a signal that comes between two of them is heard.
    let watch = Watch::of_runs(common, "verifying", &counts, 1);
    for (no, member) in (0..).zip(&backup.set.members) {
        let alone = volume.alone(MemberNo(no)).map_err(|e| Failure::Layout(e.into()))?;
        let report =
            if is_quick { Report::default() } else { read(&alone, common, lines, &watch)? };
        damage.extend(report.damage.iter().map(|damage| of(&damage.cause)));
        more += report.more_damage;
        members.push(MemberView::new(member, &alone, &report));
    }
    if is_quick {
        let missing = backup.set.damage();
        if let Some(lines) = lines {
            for error in &missing {
                lines.view(&of(error));
            }
        }
        damage.extend(missing.iter().map(of));
    }
    drop(watch);
    Ok(Verification {
        set_id: backup.set.id.clone(),
        content_id: None,
        mode: if is_quick { "quick" } else { "full" },
        members,
        damage,
        more,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn of(error: &ReadError) -> DamageView {
    DamageView::new(&error.path, &error.cause)
}

/// Goes on after damage, to find all of it.
fn read(
    volume: &Volume,
    common: &Common,
    lines: Option<&Lines>,
    watch: &Watch,
) -> Result<Report, Failure> {
    let tell = |damage: &Damage| {
        if let Some(lines) = lines {
            lines.view(&of(&damage.cause));
        }
    };
    let on_damage = OnDamage::Salvage { fill: 0 };
    let told = Some(Told(&tell));
    let options = Options { on_damage, told, ..Options::new(common.jobs()) };
    let result = engine::run(volume, 0..volume.size(), &NullSink, &options, watch.progress());
    result.map_err(|error| Failure::Run { error, terminated: watch.is_terminated() })
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
    pub(super) fn text(&self) -> String {
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
        if self.more > 0 {
            let _ = writeln!(out, "damage: {} more places", self.more);
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
