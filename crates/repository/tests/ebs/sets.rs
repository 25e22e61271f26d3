//! What ties snapshots to sets, and what does not.

use foreign::backup::{BackupSet, Missing, Problem};
use serde_json::{Value, json};
use snaprestore::catalog::SetState;

use crate::tree::{A, B, C, Tree, described};
use crate::{found, missing};

const TIME: &str = "2026-01-01T00:00:00Z";

/// Dumps of A and B, described like this.
fn tree(snapshots: &[Value]) -> Tree {
    let tree = Tree::new();
    tree.full(A, 1, &[(0, 1)]);
    tree.full(B, 1, &[(0, 2)]);
    tree.describe(snapshots);
    tree
}

fn sets(tree: &Tree) -> Vec<BackupSet> {
    found(tree.path()).sets
}

fn datafy<'t>(set: &'t str, volume: &'t str, generation: &'t str) -> [(&'static str, &'t str); 3] {
    [
        ("datafy:snapshot:id", set),
        ("datafy:source-volume:id", volume),
        ("datafy:snapshot:generation-id", generation),
    ]
}

#[test]
fn snapshots_of_one_instance_and_instant_are_a_set() {
    let tags = [("instance-id", "i-1")];
    let tree = tree(&[described(A, "vol-1", TIME, &tags), described(B, "vol-2", TIME, &tags)]);
    let sets = sets(&tree);
    let [set] = sets.as_slice() else { panic!("{} sets", sets.len()) };
    assert_eq!(set.id.as_str(), "i-1@2026-01-01T00:00:00Z");
    assert_eq!((set.source_volume_id.as_str(), set.members.len()), ("i-1", 2));
    assert_eq!(set.state(), SetState::Complete);
}

#[test]
fn whatever_differs_keeps_snapshots_apart() {
    let tags = [("instance-id", "i-1")];
    let one = described(A, "vol-1", TIME, &tags);
    let mut others = vec![
        described(B, "vol-2", "2026-01-01T00:00:01Z", &tags),
        described(B, "vol-2", TIME, &[("instance-id", "i-2")]),
        described(B, "vol-2", TIME, &[]),
        // The same volume twice is no set.
        described(B, "vol-1", TIME, &tags),
    ];
    for (key, value) in [("Description", "weekly"), ("OwnerId", "2")] {
        let mut other = described(B, "vol-2", TIME, &tags);
        other[key] = json!(value);
        others.push(other);
    }
    for other in others {
        let tree = tree(&[one.clone(), other.clone()]);
        assert_eq!(sets(&tree).len(), 2, "{other}");
    }
}

#[test]
fn tags_of_one_set_must_agree() {
    let one = described(A, "vol-1", TIME, &datafy("dsnap-1", "vol-x", "1"));
    for (volume, generation) in [("vol-y", "1"), ("vol-x", "2")] {
        let other = described(B, "vol-2", TIME, &datafy("dsnap-1", volume, generation));
        let sets = sets(&tree(&[one.clone(), other]));
        let problems: Vec<_> = sets[0].all_problems().collect();
        assert!(matches!(problems.as_slice(), [Problem::Tags { .. }]), "{problems:?}");
        assert_eq!(sets[0].state(), SetState::Damaged);
    }
    let twin = described(B, "vol-1", TIME, &datafy("dsnap-1", "vol-x", "1"));
    let sets = sets(&tree(&[one, twin]));
    let problems: Vec<_> = sets[0].all_problems().collect();
    assert!(matches!(problems.as_slice(), [Problem::OneVolume { .. }]), "{problems:?}");
}

#[test]
fn generations_that_are_numbers_are_taken_as_they_are() {
    let both = |first, second| {
        tree(&[
            described(A, "vol-1", TIME, &datafy("dsnap-1", "vol-x", first)),
            described(B, "vol-1", "2026-01-02T00:00:00Z", &datafy("dsnap-2", "vol-x", second)),
        ])
    };
    let numbers = |tree: Tree| sets(&tree).iter().map(|s| s.generation).collect::<Vec<_>>();
    assert_eq!(numbers(both("7", "9")), [7, 9]);
    assert_eq!(numbers(both("7", "g9")), [0, 1]);
    assert_eq!(numbers(both("g9", "g9")), [0, 0]);
}

#[test]
fn a_snapshot_that_is_being_made_is_not_whole() {
    for (state, whole) in [("completed", true), ("pending", false), ("error", false)] {
        let mut described = described(A, "vol-1", TIME, &[]);
        described["State"] = json!(state);
        let backups = found(tree(&[described]).path());
        let set = backups.sets.iter().find(|set| set.id.as_str() == A).unwrap();
        assert_eq!(set.state() == SetState::Complete, whole, "{state}");
    }
}

#[test]
fn descriptions_that_go_on_may_lack_members() {
    let snapshots = [described(A, "vol-1", TIME, &datafy("dsnap-1", "vol-x", "1"))];
    let tree = tree(&snapshots);
    let page = json!({"Snapshots": snapshots, "NextToken": "more"});
    let path = tree.json("describe-snapshots.json", &page);
    assert_eq!(missing(&found(tree.path()), "dsnap-1"), [Missing::NextPage { path }]);
    let rest = [described(C, "vol-2", TIME, &datafy("dsnap-1", "vol-x", "1"))];
    tree.json("more.json", &json!({"Snapshots": rest}));
    let named = missing(&found(tree.path()), "dsnap-1");
    assert!(
        matches!(named.as_slice(), [Missing::Member { snapshot, .. }] if snapshot.as_str() == C)
    );
}

#[test]
fn what_is_described_but_of_no_volume_here_is_left_out() {
    let other = described(C, "vol-other", TIME, &[]);
    let same = described(C, "vol-1", "2026-01-02T00:00:00Z", &[]);
    let one = described(A, "vol-1", TIME, &[]);
    assert_eq!(sets(&tree(&[one.clone(), other])).len(), 2);
    let sets = sets(&tree(&[one, same]));
    assert_eq!(sets.len(), 3, "a later snapshot of the same volume matters");
}

#[test]
fn two_descriptions_must_agree() {
    let one = described(A, "vol-1", TIME, &datafy("dsnap-1", "vol-x", "1"));
    let tree = tree(std::slice::from_ref(&one));
    tree.json(&format!("{A}/describe-snapshots.json"), &json!({"Snapshots": [one]}));
    assert!(sets(&tree).iter().all(|set| set.state() == SetState::Complete));
    let other = described(A, "vol-1", TIME, &datafy("dsnap-1", "vol-x", "2"));
    tree.json(&format!("{A}/describe-snapshots.json"), &json!({"Snapshots": [other]}));
    assert!(sets(&tree).iter().any(|set| set.state() == SetState::Damaged));
}
