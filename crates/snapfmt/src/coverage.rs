//! What the records of a file add up to, taken in order: which chunks they cover and the state they
//! make.

use crate::error::{Fault, FormatError, Result, Structure};
use crate::footer::Footer;
use crate::geometry::ChunkNo;
use crate::index::{Totals, check_order};
use crate::record::{Content, Record, RecordContext};
use crate::state::StateBuilder;

/// The records of a file so far.
pub(crate) struct Coverage {
    context: RecordContext,
    incremental: bool,
    state: StateBuilder,
    totals: Totals,
    before: Option<Record>,
}

impl Coverage {
    /// Before the first record. Those of an `incremental` file may leave chunks to its parent.
    pub(crate) fn new(context: RecordContext, incremental: bool) -> Self {
        let state = StateBuilder::new(context.geometry);
        Self { context, incremental, state, totals: Totals::default(), before: None }
    }

    /// What they cover, by kind.
    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    /// The first chunk that the records of a full file do not cover yet; `None` when they cover all.
    pub(crate) fn next(&self) -> Option<ChunkNo> {
        Some(self.state.len()).filter(|next| *next < self.context.geometry.chunks()).map(ChunkNo)
    }

    /// Takes the next record. Errors say that it stands at file offset `at`.
    pub(crate) fn add(&mut self, record: &Record, at: u64) -> Result<()> {
        let what = Structure::Record(record.first);
        self.totals.add(record);
        if let Some(before) = self.before.replace(*record) {
            check_order(what, at, record.first.0, before.end())?;
            if record.continues(&before, &self.context) {
                let (value, rule) = (record.first.0.into(), "a run that goes on is one record");
                return Err(what.fault(at, Fault::Rule { field: "first chunk", value, rule }));
            }
        }
        if !self.incremental && record.first.0 != self.state.len() {
            return Err(missing_record(ChunkNo(self.state.len()), at));
        }
        match record.content {
            Content::Data { digest, .. } => self.state.push(digest),
            Content::Zero { .. } | Content::Hole { .. } => self.state.push_zeros(record.count),
        }
        Ok(())
    }

    /// For a full file: all chunks are covered, and their state is the one in `footer`, which stands
    /// at `footer_at`.
    pub(crate) fn check_state(self, footer: &Footer, footer_at: u64) -> Result<()> {
        let next = ChunkNo(self.state.len());
        let found = self.state.finish().ok_or_else(|| missing_record(next, footer.root))?;
        if found == footer.state {
            return Ok(());
        }
        let fault = Fault::Digest { expected: footer.state.0, found: found.0 };
        Err(Structure::Footer.fault(footer_at, fault))
    }
}

/// The error for a chunk that a full snapshot has no record of, noticed at file offset `at`.
pub(crate) const fn missing_record(no: ChunkNo, at: u64) -> FormatError {
    Structure::Record(no).fault(at, Fault::Missing)
}
