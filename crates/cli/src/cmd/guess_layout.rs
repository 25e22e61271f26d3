//! `guess-layout`: orders and stripe sizes of members that nothing tells any more.

use std::fmt::Write;

use disk::guess::{Guess, Shape, Sureness, guess};
use repository::member_bytes;
use restore::layout_file;
use restore::snapfmt::VolumeId;
use serde::Serialize;

use crate::args::GuessArgs;
use crate::exit::{Exit, Failure};
use crate::members;
use crate::output::{Output, name, size};
use crate::view::segment::{SegmentView, segments};

#[derive(Serialize)]
struct Guesses {
    guesses: Vec<GuessView>,
    #[serde(skip)]
    layout_text: Option<String>,
}

#[derive(Serialize)]
struct GuessView {
    sureness: &'static str,
    found: usize,
    checked: usize,
    filesystem: &'static str,
    kind: &'static str,
    stripe: Option<u64>,
    start: u64,
    order: Vec<VolumeId>,
    layout: Vec<SegmentView>,
}

/// Shows the best guesses.
pub(crate) fn run(args: &GuessArgs, output: Output) -> Result<Exit, Failure> {
    let given = members::raw(&args.paths, args.bytes)?.ok_or_else(|| Failure::Usage {
        message: "members are files and devices that can be read, and no snapshot files".into(),
        hint: "give the raw copy of each member",
    })?;
    let opened = members::open(&given, members::UNIT, args.bytes)?;
    let bytes = opened.iter().map(member_bytes).collect::<Result<Vec<_>, _>>();
    let found = guess(&bytes.map_err(Failure::System)?)?;
    let ids: Vec<VolumeId> = opened.iter().map(|member| member.volume_id.clone()).collect();
    let sizes = members::sizes(&opened);
    let lengths: Vec<u64> = opened.iter().map(|member| member.source.size()).collect();
    let mut shown = Guesses { guesses: Vec::new(), layout_text: None };
    for guess in found.iter().take(args.most) {
        let map = guess.map(&lengths).map_err(|e| Failure::Layout(e.into()))?;
        if shown.layout_text.is_none() {
            shown.layout_text = Some(layout_file::render(&map, &sizes));
        }
        shown.guesses.push(GuessView::new(guess, segments(&map, &ids), &ids));
    }
    output.result(&shown, Guesses::text)?;
    Ok(Exit::Done)
}

impl GuessView {
    fn new(guess: &Guess, layout: Vec<SegmentView>, ids: &[VolumeId]) -> Self {
        let (kind, stripe) = match guess.shape {
            Shape::Linear => ("linear", None),
            Shape::Striped { stripe } => ("striped", Some(stripe)),
            Shape::Pairs { stripe } => ("striped pairs", Some(stripe)),
        };
        Self {
            sureness: match guess.sureness {
                Sureness::Sure => "sure",
                Sureness::Possible => "possible",
                Sureness::Weak => "weak",
            },
            found: guess.found,
            checked: guess.checked,
            filesystem: guess.filesystem,
            kind,
            stripe,
            start: guess.start,
            order: guess.order.iter().filter_map(|n| ids.get(*n).cloned()).collect(),
            layout,
        }
    }

    fn text(&self) -> String {
        let order: Vec<String> = self.order.iter().map(|id| name(id.as_str())).collect();
        let stripe = self.stripe.map(|stripe| format!(" by {}", size(stripe))).unwrap_or_default();
        let start = match self.start {
            0 => String::new(),
            start => format!(", from {} on", size(start)),
        };
        format!(
            "{:<9} {}{stripe}: {}{start}  {} of {} places of {} fit",
            self.sureness,
            self.kind,
            order.join(", "),
            self.found,
            self.checked,
            self.filesystem
        )
    }
}

impl Guesses {
    fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        for guess in &self.guesses {
            let _ = writeln!(out, "{}", guess.text());
        }
        if let Some(text) = &self.layout_text {
            let _ = write!(out, "\nThe first as a file for --layout:\n\n{text}");
        }
        out
    }
}
