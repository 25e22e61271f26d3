//! Orders, stripe sizes and starts, and what each of them has where it must be.

use std::collections::HashMap;
use std::sync::Arc;

use crate::partitions::Table;
use snapfmt::ReadAt;

use super::directories::directories;
use super::evidence::{Evidence, Further};
use super::orders::{self, Votes};
use super::place::{Place, Verdict};
use super::scan::Scan;
use super::{Guess, MAX_ALL_ORDERS, MAX_MEMBERS, NoGuess, STARTS, STRIPES, Shape, Sureness};
use crate::pieces::{PieceBytes, Pieces, Spot};

/// Guesses, the best first; none of them may be right. Reads some MiB of each member.
pub fn guess(members: &[Arc<dyn ReadAt>]) -> Result<Vec<Guess>, NoGuess> {
    if members.len() > MAX_MEMBERS {
        return Err(NoGuess::TooMany { found: members.len() });
    }
    let search = Search {
        members: members.to_vec(),
        sizes: members.iter().map(|member| member.len()).collect(),
    };
    let mut guesses = Vec::new();
    let mut has_start = false;
    for start in STARTS {
        let scan = Scan { members: &search.members, start };
        for first in 0..members.len() {
            for evidence in search.evidence(first, start) {
                has_start = true;
                search.rank(first, start, &evidence.look_further(&scan), &mut guesses);
            }
        }
        if !has_start && let Some(evidence) = Evidence::of_short_stripes(&scan) {
            has_start = true;
            let evidence = evidence.look_further(&scan);
            (0..members.len()).for_each(|first| search.rank(first, start, &evidence, &mut guesses));
        }
    }
    if !has_start {
        return Err(NoGuess::NoStart);
    }
    guesses.sort_by(|a, b| share(b).total_cmp(&share(a)).then(b.found.cmp(&a.found)));
    judge(&mut guesses);
    Ok(guesses)
}

/// How much of what was looked for is there.
#[expect(clippy::cast_precision_loss, reason = "there are less than a hundred places")]
fn share(guess: &Guess) -> f64 {
    guess.found as f64 / guess.checked.max(1) as f64
}

/// Sure is only what has everything in its place, where whatever else was tried lacks some of it.
fn judge(guesses: &mut [Guess]) {
    /// Fewer places than this may fit by chance.
    const ENOUGH: usize = 6;
    let found: Vec<usize> = guesses.iter().map(|guess| guess.found).collect();
    for (n, guess) in guesses.iter_mut().enumerate() {
        let others = found.iter().enumerate().filter(|(other, _)| *other != n);
        let best_other = others.map(|(_, found)| *found).max().unwrap_or(0);
        let is_whole = guess.found == guess.checked && guess.found >= ENOUGH;
        guess.sureness = if is_whole && best_other < guess.found {
            Sureness::Sure
        } else if share(guess) >= 0.7 {
            Sureness::Possible
        } else {
            Sureness::Weak
        };
    }
}

/// What is at which place of the evidence, by member and offset.
type Known = HashMap<(usize, usize, u64), Verdict>;

/// Most filesystems in partitions that are looked at.
const MOST_FILESYSTEMS: usize = 8;

struct Search {
    members: Vec<Arc<dyn ReadAt>>,
    sizes: Vec<u64>,
}

impl Search {
    /// What a volume that begins on this member must have elsewhere: by a filesystem there, or by
    /// those in the partitions of a table there.
    fn evidence(&self, first: usize, start: u64) -> Vec<Evidence> {
        let (Some(bytes), Some(size)) = (self.members.get(first), self.sizes.get(first)) else {
            return Vec::new();
        };
        let Ok(head) = Pieces::part(first, &(start..(*size).max(start))) else {
            return Vec::new();
        };
        // Zeros stand for the members that follow: a table may reach as far.
        let mut all = head;
        let rest: u64 = self.sizes.iter().sum();
        if all.size() == 0 || all.push_zeros(rest).is_err() {
            return Vec::new();
        }
        let mut devices: Vec<_> = (0..self.members.len()).map(|_| None).collect();
        if let Some(device) = devices.get_mut(first) {
            *device = Some(Arc::clone(bytes));
        }
        let head = PieceBytes::new(all, devices);
        if let Some(found) = Evidence::of(&head, 0) {
            return vec![found];
        }
        match Table::read(&head, 512) {
            Ok(Some(table)) => {
                let found =
                    table.partitions.iter().filter_map(|p| Evidence::of(&head, p.range.start));
                found.take(MOST_FILESYSTEMS).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Tries orders that begin with `first`, in all shapes.
    fn rank(&self, first: usize, start: u64, evidence: &Evidence, out: &mut Vec<Guess>) {
        let mut known = Known::new();
        let mut most = 0;
        let from = out.len();
        for shape in shapes(self.members.len()) {
            for order in self.orders(first, start, shape, evidence, &mut known) {
                let Ok(pieces) = shape.pieces(&order, &self.sizes, start) else { continue };
                if pieces.size() < evidence.size {
                    continue;
                }
                let places = (0..).zip(&evidence.places);
                let verdicts = places.map(|(n, place)| self.verdict(n, place, &pieces, &mut known));
                let (mut found, mut differs) = (0, 0);
                for verdict in verdicts {
                    found += usize::from(verdict == Verdict::Fits);
                    differs += usize::from(verdict == Verdict::Differs);
                }
                most = most.max(found + differs);
                if found > 0 {
                    out.push(Guess {
                        order,
                        shape,
                        start,
                        filesystem: evidence.filesystem,
                        checked: 0,
                        found,
                        sureness: Sureness::Weak,
                        pieces,
                    });
                }
            }
        }
        // What is nothing in one order counts where another has something there.
        out.iter_mut().skip(from).for_each(|guess| guess.checked = most);
        if let Some(own) = out.get_mut(from..) {
            self.compare_directories(own, evidence);
        }
        out.sort_by_key(|guess| std::cmp::Reverse(guess.found));
        out.truncate(256);
    }

    /// The orders that are tried in a shape: all of few members; of more, in which position most of the
    /// evidence has each. Where a stripe is on its member does not depend on the order.
    fn orders(
        &self,
        first: usize,
        start: u64,
        shape: Shape,
        evidence: &Evidence,
        known: &mut Known,
    ) -> Vec<Vec<usize>> {
        let count = self.members.len();
        if count <= MAX_ALL_ORDERS {
            return orders::all(count, first);
        }
        let is_even = self.sizes.iter().all(|size| self.sizes.first() == Some(size));
        let any: Vec<usize> = (0..count).collect();
        let pieces = match shape {
            Shape::Linear | Shape::Pairs { .. } if !is_even => return Vec::new(),
            _ => shape.pieces(&any, &self.sizes, start),
        };
        let mut votes = Votes::default();
        for (number, place) in evidence.places.iter().enumerate() {
            let spot = pieces.as_ref().ok().and_then(|pieces| pieces.spot(place.offset));
            let Some((spot, run)) = spot else { continue };
            for device in (0..count).filter(|_| run >= place.len as u64) {
                let there = Spot { device, offset: spot.offset };
                if self.verdict_at(number, place, there, known) == Verdict::Fits {
                    votes.add(spot.device, device);
                }
            }
        }
        votes.orders(count, first)
    }

    /// Looks at directories where nothing else tells the best guesses apart.
    fn compare_directories(&self, guesses: &mut [Guess], evidence: &Evidence) {
        /// Most guesses for which that is done.
        const MOST: usize = 64;
        let Further::Ext(fs) = &evidence.further else { return };
        let best = guesses.iter().map(|guess| guess.found).max().unwrap_or(0);
        let mut most = 0;
        for guess in guesses.iter_mut().filter(|guess| guess.found == best).take(MOST) {
            let devices = self.members.iter().map(|member| Some(Arc::clone(member))).collect();
            let volume = PieceBytes::new(guess.pieces.clone(), devices);
            let (checked, found) = directories(&volume, fs);
            guess.found += found;
            most = most.max(checked);
        }
        for guess in guesses {
            guess.checked += most;
        }
    }

    /// What is at a place. In many orders it is on the same bytes of a member, which are looked at
    /// once.
    fn verdict(&self, number: usize, place: &Place, pieces: &Pieces, known: &mut Known) -> Verdict {
        let Some((spot, run)) = pieces.spot(place.offset) else { return Verdict::Differs };
        if run < place.len as u64 {
            // It is cut by the end of a stripe: only where stripes are smaller than blocks.
            return Verdict::Differs;
        }
        self.verdict_at(number, place, spot, known)
    }

    fn verdict_at(&self, number: usize, place: &Place, spot: Spot, known: &mut Known) -> Verdict {
        *known.entry((number, spot.device, spot.offset)).or_insert_with(|| {
            let mut bytes = vec![0; place.len];
            let member = self.members.get(spot.device);
            let read = member.map(|member| member.read_exact_at(&mut bytes, spot.offset));
            match read {
                Some(Ok(())) => place.test.verdict(&bytes),
                _ => Verdict::Differs,
            }
        })
    }
}

fn shapes(members: usize) -> Vec<Shape> {
    let mut shapes = vec![Shape::Linear];
    if members > 1 {
        shapes.extend(STRIPES.map(|stripe| Shape::Striped { stripe }));
    }
    if members > 2 && members.is_multiple_of(2) {
        shapes.extend(STRIPES.map(|stripe| Shape::Pairs { stripe }));
    }
    shapes
}
