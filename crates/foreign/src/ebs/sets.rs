//! Snapshots → the sets they make, by what describe-snapshots says of them. A set is proposed where tags
//! tie its snapshots together; any other snapshot is a set of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use restore::set::GENERATION_TAG;
use restore::snapfmt::{SetId, VolumeId};

use super::agree::disagreements;
use super::describe::Described;
use super::dump::{Dump, Dumps, Faults, Line, Lost};
use super::gather::{DescribedIn, Snapshots};
use super::gib;
use super::lost::lost;
use crate::backup::{
    BackupMember, BackupSet, Backups, Fault, FileFault, Format, Missing, Name, Problem, Stored,
    Warning,
};
use crate::limits::Limits;

/// The tag that all snapshots of a set share.
const SET_TAG: &str = "datafy:snapshot:id";
/// The tag that names the logical volume.
const SOURCE_VOLUME_TAG: &str = "datafy:source-volume:id";
/// Tags that name the instance that a multi-volume snapshot was taken of. Data Lifecycle Manager sets
/// the first (EBS user guide, "Tagging" of lifecycle policies).
const INSTANCE_TAGS: [&str; 3] = ["instance-id", "InstanceId", "instance_id"];

/// The states of a snapshot that is whole, the last two of one in the recycle bin (EC2 API reference,
/// `Snapshot`).
const WHOLE: [&str; 3] = ["completed", "recoverable", "recovering"];

/// One snapshot that was dumped, described, or both.
struct Snapshot {
    described: Option<Described>,
    /// Where its description ends without being whole.
    unfinished: Option<Missing>,
    member: BackupMember,
    warnings: Vec<Warning>,
}

/// What ties snapshots together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Tie {
    /// The tag of their set.
    Tag(SetId),
    /// One instance, one instant, one account and one description.
    Instance { id: String, time: Timestamp, owner: Option<Box<str>>, description: Box<str> },
    /// Nothing: a snapshot by itself.
    Alone(Name),
}

/// Makes sets of all that was found.
pub(super) fn sets(
    found: Snapshots<'_>,
    mut unreadable: Vec<FileFault>,
    limits: &Limits,
) -> Backups {
    let Snapshots { roots, parts, described, mut warnings, evidence, unusable, .. } = found;
    let mut all = descriptions(described, limits);
    let mut dumps = Dumps::new();
    let mut unused = BTreeMap::new();
    for (id, mut parts) in parts {
        if parts.is_only_broken() && !all.contains_key(&id) {
            unreadable.append(&mut parts.broken);
        }
        unused.insert(id.clone(), std::mem::take(&mut parts.warnings));
        let size = all.get(&id).and_then(|known| known.size(limits));
        let alone = parts.list();
        match Dump::new(&id, parts, size, &roots, limits) {
            Some(dump) => drop(dumps.insert(id, dump.map(Arc::new))),
            None => warnings.extend(alone.map(|path| Warning::ListAlone { path })),
        }
    }
    let is_all = |(id, _): &(Name, FileFault)| !dumps.contains_key(id) && !all.contains_key(id);
    unreadable.extend(unusable.into_iter().filter(is_all).map(|(_, fault)| fault));
    let lost = lost(&dumps);
    let mut faults = Faults::new();
    let of_descriptions = all.iter().flat_map(|(id, known)| known.faults(id));
    for (id, problem) in of_descriptions.chain(disagreements(&dumps)) {
        faults.entry(id).or_default().push(problem);
    }
    let found = Found { dumps, lost, faults };
    let ids: BTreeSet<Name> = all.keys().chain(found.dumps.keys()).cloned().collect();
    let mut ties: BTreeMap<Tie, Vec<Snapshot>> = BTreeMap::new();
    for id in ids {
        let mut snapshot = Snapshot::new(&id, all.remove(&id), &found, limits);
        snapshot.warnings.extend(unused.remove(&id).into_iter().flatten());
        ties.entry(Tie::of(&id, snapshot.described.as_ref())).or_default().push(snapshot);
    }
    warnings.extend(unused.into_values().flatten());
    let mut sets = Vec::new();
    for (tie, snapshots) in split(ties) {
        sets.extend(tie.set(snapshots));
    }
    number(&mut sets);
    connect(&mut sets);
    drop_undumped(&mut sets);
    sets.sort_by(|a, b| {
        let key = |s: &BackupSet| (s.source_volume_id.clone(), s.generation, s.time);
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
    Backups { sets, unreadable, warnings, evidence }
}

/// What is known of a snapshot by its descriptions.
struct Known {
    described: Described,
    /// The first document that describes it.
    path: Arc<Path>,
    /// Where its description ends without being whole.
    unfinished: Option<Missing>,
    problems: Vec<Problem>,
}

impl Known {
    /// The size of its volume in bytes.
    fn size(&self, limits: &Limits) -> Option<u64> {
        gib(self.described.volume_size?, limits).ok()
    }

    /// What is wrong with it.
    fn faults(&self, id: &Name) -> Vec<(Name, Problem)> {
        let rest = is_unfinished(&self.described).then(|| {
            let state = self.described.state.clone().unwrap_or_default();
            Problem::from(Missing::Rest { snapshot: id.clone(), state })
        });
        self.problems.iter().cloned().chain(rest).map(|problem| (id.clone(), problem)).collect()
    }

    fn compare(&mut self, other: &DescribedIn) {
        let (found, id) = (&other.snapshot, &self.described.snapshot_id);
        if identity(&self.described) != identity(found) {
            let fault = Fault::Contradicts { other: self.path.to_path_buf(), about: id.clone() };
            self.problems.push(FileFault::new(&other.path, fault).into());
        }
        if let (Some(expected), Some(state)) = (&self.described.state, &found.state)
            && is_unfinished(&self.described) != is_unfinished(found)
        {
            let fault = Fault::OtherState {
                snapshot: id.clone(),
                found: state.clone(),
                expected: expected.clone(),
                other: self.path.to_path_buf(),
            };
            self.problems.push(FileFault::new(&other.path, fault).into());
        }
        // That it may not be whole is said once.
        if self.described.state.is_none() || is_unfinished(&self.described) {
            self.described.state = found.state.clone().or(self.described.state.take());
        }
    }
}

/// What was dumped, and what is wrong with it.
struct Found {
    dumps: Dumps,
    lost: BTreeMap<Name, Lost>,
    faults: Faults,
}

type Descriptions = BTreeMap<Name, Known>;

/// One description for each snapshot; a snapshot may be described in several documents.
fn descriptions(found: Vec<DescribedIn>, limits: &Limits) -> Descriptions {
    let mut all = Descriptions::new();
    for other in found {
        let id = other.snapshot.snapshot_id.clone();
        if let Some(known) = all.get_mut(&id) {
            known.compare(&other);
            if other.unfinished.is_none() {
                known.unfinished = None;
            }
            continue;
        }
        let DescribedIn { path, snapshot: described, unfinished } = other;
        let size = described.volume_size.map(|size| gib(size, limits));
        let fault = size.and_then(Result::err).map(|fault| FileFault::new(&path, fault).into());
        let unfinished = unfinished.map(|path| Missing::NextPage { path });
        let problems = fault.into_iter().collect();
        all.insert(id, Known { described, path, unfinished, problems });
    }
    all
}

/// What two descriptions of one snapshot must agree on.
fn identity(of: &Described) -> impl PartialEq {
    let tags =
        [SET_TAG, SOURCE_VOLUME_TAG, GENERATION_TAG].map(|tag| of.tag(tag).map(str::to_owned));
    (of.volume_id.clone(), of.volume_size, of.start_time.map(Timestamp::as_second), tags)
}

fn is_unfinished(of: &Described) -> bool {
    of.state.as_deref().is_some_and(|state| !WHOLE.contains(&state))
}

impl Snapshot {
    fn new(id: &Name, known: Option<Known>, found: &Found, limits: &Limits) -> Self {
        let Found { dumps, lost, faults } = found;
        let mut size = known.as_ref().and_then(|known| known.size(limits));
        let mut problems = faults.get(id).cloned().unwrap_or_default();
        let (described, unfinished) = match known {
            Some(Known { described, unfinished, .. }) => (Some(described), unfinished),
            None => (None, None),
        };
        let volume_id = described.as_ref().and_then(|d| d.volume_id.clone()).or_else(|| volume(id));
        let Some(volume_id) = volume_id else { unreachable!("a snapshot's id is short and plain") };
        let (mut warnings, mut path, mut stored, mut parent) = (vec![], None, None, None);
        match dumps.get(id) {
            Some(Ok(dump)) => {
                (path, size) = (Some(dump.path.clone()), Some(dump.size));
                parent = dump.parent().cloned();
                match Line::of(dump, dumps, faults, limits) {
                    Ok(line) => {
                        warnings.extend(line.warnings());
                        problems.extend(lost.get(id).and_then(|lost| line.without(*lost)));
                        stored = Some(Arc::new(line) as Arc<dyn Stored>);
                    }
                    Err(more) => problems.extend(more),
                }
            }
            Some(Err(more)) => problems.extend(more.iter().cloned()),
            None => {
                let (snapshot, volume_id) = (id.clone(), volume_id.clone());
                problems.push(Missing::Member { snapshot, volume_id }.into());
            }
        }
        let snapshot = id.clone();
        let member = BackupMember { volume_id, snapshot, size, parent, path, problems, stored };
        Self { described, unfinished, member, warnings }
    }

    fn tag(&self, key: &str) -> Option<&str> {
        self.described.as_ref()?.tag(key)
    }

    fn time(&self) -> Option<Timestamp> {
        self.described.as_ref()?.start_time
    }
}

/// The id of a volume that is known by its snapshot only.
fn volume(snapshot: &Name) -> Option<VolumeId> {
    snapshot.as_str().parse().ok()
}

impl Tie {
    fn of(id: &Name, described: Option<&Described>) -> Self {
        let alone = || Self::Alone(id.clone());
        let Some(described) = described else { return alone() };
        if let Some(set) = described.tag(SET_TAG).and_then(|id| id.parse().ok()) {
            return Self::Tag(set);
        }
        let instance = INSTANCE_TAGS.iter().find_map(|tag| described.tag(tag));
        let description = described.description.clone().filter(|text| !text.is_empty());
        match (instance, described.start_time, description) {
            (Some(instance), Some(time), Some(description)) if !instance.is_empty() => {
                let (id, owner) = (instance.to_owned(), described.owner_id.clone());
                Self::Instance { id, time, owner, description }
            }
            _ => alone(),
        }
    }

    fn set(self, mut snapshots: Vec<Snapshot>) -> Option<BackupSet> {
        snapshots.sort_by_key(|s| (s.time(), s.member.snapshot.clone()));
        let first = snapshots.first()?;
        let member_volume = first.member.volume_id.clone();
        let (id, source_volume_id) = match self {
            Self::Tag(id) => {
                let tagged = first.tag(SOURCE_VOLUME_TAG).and_then(|id| id.parse().ok());
                (id, tagged.unwrap_or(member_volume))
            }
            Self::Instance { id, time, .. } => {
                (format!("{id}@{time}").parse().ok()?, id.parse().ok()?)
            }
            Self::Alone(name) => (name.as_str().parse().ok()?, member_volume),
        };
        let generation_id = first.tag(GENERATION_TAG).map(str::to_owned);
        let problems = contradictions(&snapshots);
        let time = snapshots.iter().filter_map(Snapshot::time).max();
        let tags = shared_tags(&snapshots);
        let (mut warnings, mut members) = (Vec::new(), Vec::new());
        for mut snapshot in snapshots {
            warnings.append(&mut snapshot.warnings);
            members.push(snapshot.member);
        }
        Some(BackupSet {
            format: Format::Ebs,
            id,
            source_volume_id,
            generation: 0,
            generation_id,
            parents: Box::default(),
            time,
            tags,
            members,
            problems,
            warnings,
        })
    }
}

/// What is of one instance and one instant is a set only if it is of several volumes, each once.
fn split(ties: BTreeMap<Tie, Vec<Snapshot>>) -> Vec<(Tie, Vec<Snapshot>)> {
    let mut all = Vec::new();
    for (tie, snapshots) in ties {
        let volumes: BTreeSet<_> = snapshots.iter().map(|s| s.member.volume_id.clone()).collect();
        let is_one = matches!(tie, Tie::Instance { .. })
            && (snapshots.len() < 2 || volumes.len() < snapshots.len());
        if is_one {
            let alone = |s: Snapshot| (Tie::Alone(s.member.snapshot.clone()), vec![s]);
            all.extend(snapshots.into_iter().map(alone));
        } else {
            all.push((tie, snapshots));
        }
    }
    all
}

/// What members of one set must not disagree on.
fn contradictions(snapshots: &[Snapshot]) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(snapshots.iter().find_map(|s| s.unfinished.clone()).map(Problem::from));
    let Some(first) = snapshots.first() else { return problems };
    for tag in [SOURCE_VOLUME_TAG, GENERATION_TAG] {
        if let Some(other) = snapshots.iter().find(|s| s.tag(tag) != first.tag(tag)) {
            let (first, second) = (first.member.snapshot.clone(), other.member.snapshot.clone());
            problems.push(Problem::Tags { tag, first, second });
        }
    }
    let mut volumes = BTreeMap::new();
    for snapshot in snapshots {
        let (volume, id) = (&snapshot.member.volume_id, &snapshot.member.snapshot);
        if let Some(first) = volumes.insert(volume, id) {
            let (first, second): (&Name, &Name) = (first, id);
            problems.push(Problem::OneVolume { first: first.clone(), second: second.clone() });
        }
    }
    problems
}

fn shared_tags(snapshots: &[Snapshot]) -> BTreeMap<String, String> {
    let mut described = snapshots.iter().filter_map(|s| s.described.as_ref());
    let mut tags = described.next().map(|d| d.tags.0.clone()).unwrap_or_default();
    for other in described {
        tags.retain(|key, value| other.tag(key) == Some(value));
    }
    tags
}

/// Gives the generations of each source volume their numbers: those of their ids, where all of these
/// are numbers; otherwise they are counted from 0, by time.
fn number(sets: &mut [BackupSet]) {
    let mut volumes: BTreeMap<VolumeId, Vec<&mut BackupSet>> = BTreeMap::new();
    for set in sets {
        volumes.entry(set.source_volume_id.clone()).or_default().push(set);
    }
    for mut line in volumes.into_values() {
        let own = |set: &BackupSet| set.generation_id.as_deref()?.parse::<u64>().ok();
        if line.iter().all(|set| own(set).is_some()) {
            for set in line {
                set.generation = own(set).unwrap_or_default();
            }
            continue;
        }
        line.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
        for set in line {
            let id = set.generation_id.clone().unwrap_or_else(|| set.id.to_string());
            let next = numbers.len() as u64;
            set.generation = *numbers.entry(id).or_insert(next);
        }
    }
}

/// Tells each set which others it builds on. A snapshot that is not there stands for its set.
fn connect(sets: &mut [BackupSet]) {
    let member = |set: &BackupSet| {
        set.members.iter().map(|m| (m.snapshot.clone(), set.id.clone())).collect::<Vec<_>>()
    };
    let homes: BTreeMap<Name, SetId> = sets.iter().flat_map(member).collect();
    for set in sets {
        let absent = set.all_problems().filter_map(|problem| match problem {
            Problem::Missing(Missing::Parent { snapshot, .. }) => Some(snapshot),
            _ => None,
        });
        let parents = set.members.iter().filter_map(|member| member.parent.as_ref()).chain(absent);
        let home = |snapshot: &Name| {
            homes.get(snapshot).cloned().or_else(|| snapshot.as_str().parse().ok())
        };
        let parents: BTreeSet<SetId> =
            parents.filter_map(home).filter(|id| *id != set.id).collect();
        set.parents = parents.into_iter().collect();
    }
}

/// Descriptions may be of a whole account: only volumes are kept of which something was dumped.
fn drop_undumped(sets: &mut Vec<BackupSet>) {
    let is_dumped = |set: &&BackupSet| {
        let absent = |p: &Problem| matches!(p, Problem::Missing(Missing::Member { .. }));
        set.members.iter().any(|member| !member.problems.iter().any(absent))
    };
    let volumes: BTreeSet<VolumeId> =
        sets.iter().filter(is_dumped).map(|set| set.source_volume_id.clone()).collect();
    sets.retain(|set| volumes.contains(&set.source_volume_id));
}
