//! Orders that are worth trying.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// All orders of `count` members that begin with `first`.
pub(super) fn all(count: usize, first: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![vec![first]];
    for _ in 1..count {
        let longer = orders.iter().flat_map(|order| {
            let free = (0..count).filter(|n| !order.contains(n));
            free.map(|n| {
                let mut longer = order.clone();
                longer.push(n);
                longer
            })
        });
        orders = longer.collect();
    }
    orders
}

/// How much of the evidence fits with a member in a position.
#[derive(Default)]
pub(super) struct Votes(BTreeMap<(usize, usize), usize>);

impl Votes {
    pub(super) fn add(&mut self, position: usize, member: usize) {
        *self.0.entry((position, member)).or_default() += 1;
    }

    /// The order that most of it fits, and each in which two members are swapped: as good ones show
    /// what the evidence does not tell.
    pub(super) fn orders(&self, count: usize, first: usize) -> Vec<Vec<usize>> {
        let mut ranked: Vec<_> = self.0.iter().collect();
        ranked.sort_by_key(|(_, votes)| Reverse(**votes));
        let mut places = BTreeMap::from([(0, first)]);
        for ((position, member), _) in ranked {
            if !places.contains_key(position) && places.values().all(|placed| placed != member) {
                places.insert(*position, *member);
            }
        }
        let mut free = (0..count).filter(|n| places.values().all(|placed| placed != n));
        let order: Vec<usize> =
            (0..count).filter_map(|n| places.get(&n).copied().or_else(|| free.next())).collect();
        let mut orders = vec![order.clone()];
        for a in 1..count {
            for b in a + 1..count {
                let mut swapped = order.clone();
                swapped.swap(a, b);
                orders.push(swapped);
            }
        }
        orders
    }
}

#[cfg(test)]
mod tests {
    use super::{Votes, all};

    #[test]
    fn every_order_once() {
        let mut orders = all(4, 2);
        assert!(orders.iter().all(|order| order[0] == 2));
        orders.sort();
        orders.dedup();
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn most_votes_win_and_the_rest_is_filled() {
        let mut votes = Votes::default();
        for (position, member, count) in [(1, 0, 3), (2, 0, 1), (2, 3, 2), (3, 3, 1)] {
            (0..count).for_each(|_| votes.add(position, member));
        }
        let orders = votes.orders(5, 4);
        assert_eq!(orders[0], [4, 0, 3, 1, 2]);
        assert_eq!(orders.len(), 1 + 6);
        assert!(orders.contains(&vec![4, 0, 3, 2, 1]));
    }
}
