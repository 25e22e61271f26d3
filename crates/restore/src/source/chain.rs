//! A snapshot and the ancestors it needs, as one source without `Inherit`.

use std::ops::Range;

use super::{ChunkRef, Extent, ExtentKind, Proof, ReadCause, ReadError, Scratch, Source};
use crate::ranges::clip;

/// Sources laid over each other, newest first: what one inherits is the next one's.
pub struct Chain {
    layers: Vec<Layer>,
    largest_chunk: u32,
}

struct Layer {
    source: Box<dyn Source>,
    path: std::path::PathBuf,
    /// How many bytes from the start may be left to the next layer.
    inheritable: u64,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

impl Chain {
    /// Lays `layers` over each other, newest first; each comes with the path for messages about it.
    /// `None` when there are none.
    pub fn new(layers: Vec<(std::path::PathBuf, Box<dyn Source>)>) -> Option<Self> {
        let sizes: Vec<u64> = layers.iter().map(|(_, s)| s.size()).collect();
        let largest_chunk = layers.iter().map(|(_, s)| s.largest_chunk()).max()?;
        let parents = sizes.iter().skip(1).map(|s| Some(*s)).chain([None]);
        let layers = layers.into_iter().zip(parents).map(|((path, source), parent)| {
            let inheritable = match parent {
                Some(parent) if parent == source.size() => parent,
                // The chunk that straddles the smaller size is stored anew.
                Some(parent) => {
                    let common = parent.min(source.size());
                    common - common % u64::from(source.largest_chunk().max(1))
                }
                None => 0,
            };
            Layer { source, path, inheritable }
        });
        Some(Self { layers: layers.collect(), largest_chunk })
    }

    /// Appends what layer `number` and those below it have at `range`.
    fn resolve(
        &self,
        number: usize,
        range: &Range<u64>,
        out: &mut Vec<Extent>,
    ) -> Result<(), ReadError> {
        let Some(layer) = self.layers.get(number) else { return Ok(()) };
        let first = out.len();
        layer.source.extents(range.clone(), out)?;
        let listed = out.len();
        let mut inherits = false;
        for extent in &mut out[first..] {
            match &mut extent.kind {
                ExtentKind::Data(chunk) => chunk.layer = u32::try_from(number).unwrap_or(u32::MAX),
                ExtentKind::Inherit => inherits = true,
                ExtentKind::Zero | ExtentKind::Hole => {}
            }
        }
        if inherits {
            // Behind what the layer listed, which then gives way: no layer needs a list of its own.
            for place in first..listed {
                let extent = out[place].clone();
                match extent.kind {
                    ExtentKind::Inherit => self.inherited(number, &extent.range, range, out)?,
                    _ => out.push(extent),
                }
            }
            out.drain(first..listed);
        }
        Ok(())
    }

    /// Appends what the layer below `number` has of `run`, at least where that is in `asked`.
    fn inherited(
        &self,
        number: usize,
        run: &Range<u64>,
        asked: &Range<u64>,
        out: &mut Vec<Extent>,
    ) -> Result<(), ReadError> {
        let Some(layer) = self.layers.get(number) else { return Ok(()) };
        let Range { start, end } = clip(run, asked);
        if number + 1 == self.layers.len() {
            return Err(ReadError::new(&layer.path, ReadCause::NoParent { start }));
        }
        let parent = layer.inheritable;
        if end > parent {
            return Err(ReadError::new(
                &layer.path,
                ReadCause::BeyondParent { start, end, parent },
            ));
        }
        let from = out.len();
        self.resolve(number + 1, &(start..end), out)?;
        // What the parent says beyond the run is not the child's.
        let lent = run.start..run.end.min(parent);
        for extent in out.iter_mut().skip(from) {
            extent.range = clip(&extent.range, &lent);
        }
        Ok(())
    }
}

impl Source for Chain {
    fn size(&self) -> u64 {
        self.layers.first().map_or(0, |l| l.source.size())
    }

    fn largest_chunk(&self) -> u32 {
        self.largest_chunk
    }

    fn largest_kept(&self) -> u32 {
        self.layers.iter().map(|layer| layer.source.largest_kept()).max().unwrap_or(0)
    }

    fn extents(&self, range: Range<u64>, out: &mut Vec<Extent>) -> Result<(), ReadError> {
        self.resolve(0, &range, out)
    }

    fn will_need(&self, chunk: &ChunkRef) {
        if let Some(layer) = self.layers.get(chunk.layer as usize) {
            layer.source.will_need(chunk);
        }
    }

    fn read(
        &self,
        chunk: &ChunkRef,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Proof, ReadError> {
        let Some(layer) = self.layers.get(chunk.layer as usize) else {
            let path = self.layers.first().map(|layer| layer.path.clone()).unwrap_or_default();
            return Err(ReadError::new(&path, ReadCause::NoSuchChunk));
        };
        layer.source.read(chunk, out, scratch)
    }

    fn sector(&self, chunk: &ChunkRef) -> Option<u32> {
        self.layers.get(chunk.layer as usize)?.source.sector(chunk)
    }

    fn read_part(
        &self,
        chunk: &ChunkRef,
        part: Range<u64>,
        out: &mut [u8],
    ) -> Result<(), ReadError> {
        match self.layers.get(chunk.layer as usize) {
            Some(layer) => layer.source.read_part(chunk, part, out),
            None => unreachable!("a chunk is read from the chain that named it"),
        }
    }
}
