// SPDX-License-Identifier: GPL-2.0

//! What is free in the realtime section.
//!
//! Functions here take a bitmap or a summary as [`open`](super::open) gives it: with its mappings
//! loaded.

use super::scan::{Bitmap, Scan};
use crate::libxfs::{
    bmap,
    error::{Error, Result},
    extents::{Mapping, State},
    format::{
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        rt::{self, RtFile, Words},
        units::{FileBlock, RtExtent, RtGroup},
    },
    inode::{Inode, WhichFork},
    store::{Device, Run, Store},
};

/// Free realtime extents in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeRun {
    /// First of them, in its group where there are groups.
    pub start: RtExtent,
    /// How many.
    pub len: u64,
}

/// A block of a bitmap or a summary and where it was read from.
struct RtBlockOf<S: Store> {
    block: S::Block,
    at: u64,
    run: Run,
}

/// The run of block `at` of a bitmap or a summary.
pub(super) fn run_of(geo: &Geometry, inode: &Inode, at: u64) -> Result<Run> {
    let written = inode
        .extents(WhichFork::Data)?
        .get(FileBlock(at))
        .and_then(|mapping: Mapping| mapping.trimmed(FileBlock(at), FileBlock(u64::MAX)))
        .filter(|mapping| mapping.state == State::Normal);
    written
        .and_then(|mapping| bmap::disk_addr(geo, Device::Data, mapping.start))
        .map(|start| Run {
            at: start,
            len: geo.basic_blocks_per_block(),
        })
        .ok_or(Error::inode(
            Fault::corrupt("data fork", "hole"),
            inode.number,
        ))
}

/// Reads block `at` of a bitmap or a summary.
fn read_block<S: Store>(store: &S, inode: &Inode, file: RtFile, at: u64) -> Result<RtBlockOf<S>> {
    let run = run_of(store.geometry(), inode, at)?;
    let block = store.read(Device::Data, run, Kind::Rt(file))?;
    Ok(RtBlockOf { block, at, run })
}

impl<S: Store> RtBlockOf<S> {
    fn words(&self, store: &S, inode: &Inode, file: RtFile) -> Result<Words<'_>> {
        Words::new(store.geometry(), &self.block, file, inode.number)
            .map_err(|fault| Error::block(fault, Device::Data, self.run.at))
    }
}

/// A bitmap in a store.
struct Reader<'a, S: Store> {
    store: &'a S,
    bitmap: &'a Inode,
    held: Option<RtBlockOf<S>>,
}

impl<S: Store> Bitmap for Reader<'_, S> {
    fn geometry(&self) -> &Geometry {
        self.store.geometry()
    }

    fn word(&mut self, block: u64, index: usize) -> Result<u32> {
        let held = match self.held.take().filter(|held| held.at == block) {
            Some(held) => held,
            None => {
                if self.store.interrupted() {
                    return Err(Error::Interrupted);
                }
                read_block(self.store, self.bitmap, RtFile::Bitmap, block)?
            }
        };
        let held = self.held.insert(held);
        held.words(self.store, self.bitmap, RtFile::Bitmap)?
            .get(index)
            .ok_or(Error::Invalid)
    }
}

/// Free runs of a range of a bitmap, in order; made by [`free_runs`].
pub struct FreeRuns<'a, S: Store> {
    bitmap: Reader<'a, S>,
    scan: Scan,
}

/// The free runs among the realtime extents `from..end` of a bitmap, each trimmed to them; what
/// lies past the bitmap's end is left out. `group` is the bitmap's group, where there are groups.
///
/// # Errors
///
/// `Invalid` for a group that is not there.
pub fn free_runs<'a, S: Store>(
    store: &'a S,
    bitmap: &'a Inode,
    group: Option<RtGroup>,
    from: RtExtent,
    end: RtExtent,
) -> Result<FreeRuns<'a, S>> {
    let extents = rt::extents_of(store.geometry(), group).ok_or(Error::Invalid)?;
    Ok(FreeRuns {
        bitmap: Reader {
            store,
            bitmap,
            held: None,
        },
        scan: Scan::new(from, end.min(RtExtent(extents))),
    })
}

impl<S: Store> FreeRuns<'_, S> {
    /// The next free run, `None` after the last.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `Io`, `NoMemory`, `Interrupted`; `Invalid` if the inode's mappings were not
    /// loaded.
    #[allow(clippy::should_implement_trait)] // An iterator cannot be driven through errors.
    pub fn next(&mut self) -> Result<Option<FreeRun>> {
        self.scan.next(&mut self.bitmap)
    }
}

/// Whether all realtime extents `from..end` are free.
///
/// # Errors
///
/// As [`free_runs`] and [`FreeRuns::next`].
pub fn is_free<S: Store>(
    store: &S,
    bitmap: &Inode,
    group: Option<RtGroup>,
    from: RtExtent,
    end: RtExtent,
) -> Result<bool> {
    let first = free_runs(store, bitmap, group, from, end)?.next()?;
    Ok(from >= end
        || first.is_some_and(|run| run.start == from && Some(run.len) == end.distance_from(from)))
}

/// Free runs of 2^`level` to 2^(`level` + 1) - 1 realtime extents that start in block `block` of
/// the bitmap, as the summary counts them.
///
/// # Errors
///
/// `Invalid` for a count that no summary has; `Corrupt`, `Io`, `NoMemory`.
pub fn summary<S: Store>(store: &S, summary: &Inode, level: u32, block: u64) -> Result<u32> {
    let (at, index) = rt::summary_position(store.geometry(), level, block).ok_or(Error::Invalid)?;
    read_block(store, summary, RtFile::Summary, at)?
        .words(store, summary, RtFile::Summary)?
        .get(index as usize)
        .ok_or(Error::Invalid)
}
