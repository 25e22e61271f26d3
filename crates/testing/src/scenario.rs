//! Volumes and their generations at random.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use repository::capture::Form;

use super::check::Reading;
use super::lineage::{Act, Change, Piece, Step, Way};

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Keep),
        3 => any::<u64>().prop_map(Act::Fresh),
        2 => any::<u64>().prop_map(Act::Common),
        2 => any::<u16>().prop_map(|at| Act::Patch(at.into())),
        2 => Just(Act::Zero),
        2 => Just(Act::Hole),
        1 => Just(Act::ZeroData),
    ]
}

fn change(chunks: usize, chunk: usize) -> impl Strategy<Value = Change> {
    let count = prop_oneof![1 => Just(0), 5 => 1..=chunks];
    let short = prop_oneof![Just(0), 0..chunk];
    let acts = prop::collection::vec(act(), 1..12);
    (count, short, acts).prop_map(|(chunks, short, acts)| Change { chunks, short, acts })
}

fn piece(chunk: usize) -> impl Strategy<Value = Piece> {
    let most = u32::try_from(chunk * 2).unwrap();
    let stripe = prop_oneof![
        Just(4096),
        Just(most / 2),
        // Neither powers of two nor multiples of a sector.
        512..=most.max(512),
        512..2000_u32,
    ];
    let length = prop_oneof![1..4_u64, 1..=4 * chunk as u64];
    let skip = prop_oneof![Just(0), 0..chunk as u64];
    (0..=5_usize, 0..5_usize, stripe, length, skip).prop_map(
        |(width, member, stripe, length, skip)| Piece { width, member, stripe, length, skip },
    )
}

fn way(chunk: usize) -> impl Strategy<Value = Way> {
    let most = u32::try_from(chunk * 2).unwrap();
    prop_oneof![
        1 => (4096..=most).prop_map(Way::Raw),
        2 => (1000..=most).prop_map(Way::Memory),
        2 => Just(Way::Hand),
    ]
}

fn step(chunks: usize, chunk: usize) -> impl Strategy<Value = Step> {
    let form = (any::<bool>(), any::<bool>());
    let form = form.prop_map(|(compact_zeros, dedup)| Form { compact_zeros, dedup });
    (
        prop::collection::vec(change(chunks, chunk), 1..=5),
        prop::collection::vec(piece(chunk), 0..6),
        way(chunk),
        prop::bool::weighted(0.1),
        form,
        0..5_usize,
        1..=4_usize,
    )
        .prop_map(|(changes, layout, way, restart, form, rotate, jobs)| Step {
            changes,
            layout,
            way,
            restart,
            form,
            rotate,
            jobs,
        })
}

/// Chunk size and generations: many small chunks, or few that are larger than a window's row.
pub fn steps() -> impl Strategy<Value = (usize, Vec<Step>)> {
    let scale = prop_oneof![
        6 => (12..=14_u32, Just(10_usize)),
        2 => (15..=17_u32, Just(8)),
        1 => (18..=20_u32, Just(4)),
    ];
    scale.prop_flat_map(|(log, chunks)| {
        let chunk = 1 << log;
        let steps = prop::collection::vec(step(chunks, chunk), 1..=5);
        (Just(chunk), steps)
    })
}

pub fn reading() -> impl Strategy<Value = Reading> {
    let ranges = prop::collection::vec(any::<(u64, u64)>(), 3);
    (1..=4_usize, ranges).prop_map(|(jobs, ranges)| Reading { jobs, ranges })
}
