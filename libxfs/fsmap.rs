// SPDX-License-Identifier: GPL-2.0

//! Who owns each block of a device: what `GETFSMAP` tells.
//!
//! With reverse mappings that is known of every block; without, only what is free is known. A query
//! goes over one device, in order; what no record covers is told as a gap.
//!
//! Positions and lengths are in basic blocks of 512 bytes, as the query comes from outside.

use super::{
    ag,
    btree::Cursor,
    error::{Error, Result},
    format::{
        btree::{
            Bno, BnoKey, GroupBlock, Owner, RefcountKey, RefcountRecord, RmapFlags, RmapKey,
            RmapRecord, RtRmap, Tree,
        },
        geometry::Geometry,
        units::{div_up, AgBlock, AgNumber, DiskAddr, RtBlock, RtExtent, RtGroup, RtGroupBlock},
    },
    inode::Inode,
    refcount, rt,
    store::Store,
};
use core::ops::ControlFlow;

/// Who has some blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Free,
    /// Somebody: without reverse mappings there is no telling.
    Unknown,
    /// This one.
    Owner(Owner),
}

/// A part of a device with one holder. Where blocks are shared, parts overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where it lies.
    pub start: DiskAddr,
    /// Its length.
    pub len: u64,
    /// Who has it.
    pub holder: Holder,
    /// Where it lies in the holder's fork.
    pub offset: u64,
    /// What the holder uses it for.
    pub flags: RmapFlags,
    /// Whether other files have some of it too.
    pub shared: bool,
}

/// An end of a query.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Position on the device.
    pub start: u64,
    /// Of a low key: the length of the mapping that the last query ended with, behind which this
    /// one goes on; else 0.
    pub len: u64,
    /// Owner as reverse mappings encode it, see [`Owner::encode`].
    pub owner: u64,
    /// Position in the owner's fork.
    pub offset: u64,
    /// The owner's use of it. Of a high key: all set is beyond all.
    pub flags: RmapFlags,
}

impl Key {
    /// The start of a device.
    pub const LOWEST: Self = Self {
        start: 0,
        len: 0,
        owner: 0,
        offset: 0,
        flags: RmapFlags {
            attr_fork: false,
            bmbt_block: false,
            unwritten: false,
        },
    };

    /// The end of any device.
    pub const HIGHEST: Self = Self {
        start: u64::MAX,
        len: 0,
        owner: u64::MAX,
        offset: u64::MAX,
        flags: RmapFlags {
            attr_fork: true,
            bmbt_block: true,
            unwritten: true,
        },
    };
}

/// What to tell of a device.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// From here.
    pub low: Key,
    /// To here, included.
    pub high: Key,
    /// Whether owners may be told: the caller may see all, and there are reverse mappings.
    pub owners: bool,
    /// Whether to find out what is shared. Who only counts mappings need not.
    pub sharing: bool,
}

/// Collects mappings and puts gaps between them.
struct Teller<'q, F> {
    query: &'q Query,
    /// Where the next mapping is expected.
    next: u64,
    gap: Holder,
    visit: F,
}

impl<'q, F: FnMut(&Mapping) -> Result<ControlFlow<()>>> Teller<'q, F> {
    fn new(query: &'q Query, gap: Holder, visit: F) -> Self {
        Self {
            query,
            next: query.low.start.saturating_add(query.low.len),
            gap,
            visit,
        }
    }

    /// Tells of the gap before `start`, if there is one.
    fn gap_before(&mut self, start: u64) -> Result<ControlFlow<()>> {
        if start <= self.next {
            return Ok(ControlFlow::Continue(()));
        }
        let gap = Mapping {
            start: DiskAddr(self.next),
            len: start.saturating_sub(self.next),
            holder: self.gap,
            offset: 0,
            flags: RmapFlags::default(),
            shared: false,
        };
        (self.visit)(&gap)
    }

    fn skip(&mut self, start: DiskAddr, len: u64) {
        self.next = self.next.max(start.0.saturating_add(len));
    }

    /// Tells of a mapping, and the gap before it.
    fn tell(&mut self, mapping: &Mapping) -> Result<ControlFlow<()>> {
        if self.gap_before(mapping.start.0)?.is_break() || (self.visit)(mapping)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.skip(mapping.start, mapping.len);
        Ok(ControlFlow::Continue(()))
    }

    /// Tells of the gap at the end of the query, on a device of `size`.
    fn finish(&mut self, size: u64) -> Result<ControlFlow<()>> {
        let end = self.query.high.start.saturating_add(1).min(size);
        self.gap_before(end)
    }
}

/// Basic blocks of `blocks`.
fn basic_blocks(geo: &Geometry, blocks: u64) -> u64 {
    blocks.saturating_mul(u64::from(geo.basic_blocks_per_block()))
}

/// Whole blocks of some basic blocks.
fn whole_blocks(geo: &Geometry, len: u64) -> u64 {
    len.checked_div(u64::from(geo.basic_blocks_per_block()))
        .unwrap_or(0)
}

/// Where the first group is entered.
struct Entry {
    /// Position on the device, in blocks.
    block: u64,
    owner: u64,
    offset: u64,
    flags: RmapFlags,
    /// Whether mappings before this were told by the query before.
    resumed: bool,
}

/// Where a query enters the device: behind the mapping that the last one ended with. The same
/// blocks can have another mapping only where they hold a file's data.
fn entry(geo: &Geometry, low: &Key) -> Entry {
    let block = whole_blocks(geo, low.start);
    let len = whole_blocks(geo, low.len);
    let offset = whole_blocks(geo, low.offset);
    let inode = Owner::decode(low.owner).is_some_and(|owner| owner.inode().is_some());
    let shareable = geo.features.reflink() && inode && low.flags == RmapFlags::default();
    if len != 0 && !shareable {
        return Entry {
            block: block.saturating_add(len),
            owner: 0,
            offset: 0,
            flags: RmapFlags::default(),
            resumed: true,
        };
    }
    Entry {
        block,
        owner: low.owner,
        offset: offset.saturating_add(len),
        flags: low.flags,
        resumed: len != 0,
    }
}

/// The keys between which a group is asked.
struct Bounds<B> {
    low: RmapKey<B>,
    high: RmapKey<B>,
    /// Whether what sorts before `low` was told by the query before.
    resumed: bool,
}

impl<B: GroupBlock> Bounds<B> {
    /// All of a group.
    fn whole() -> Self {
        Self {
            low: RmapKey::lowest(B::from_raw(0)),
            high: RmapKey::highest(B::from_raw(u32::MAX)),
            resumed: false,
        }
    }

    fn enter(&mut self, block: B, entry: &Entry) {
        self.low = RmapKey::new(block, entry.owner, entry.offset, entry.flags);
        self.resumed = entry.resumed;
    }

    fn leave(&mut self, geo: &Geometry, block: B, high: &Key) {
        let offset = whole_blocks(geo, high.offset);
        self.high = RmapKey::new(block, high.owner, offset, high.flags);
    }
}

/// Tells of the mappings of one group from its reverse-mapping tree, and with its reference-count
/// tree which of them are shared.
fn tell_owners<S, T, R, B, F>(
    teller: &mut Teller<'_, F>,
    rmap: &mut Cursor<'_, S, T>,
    mut refcount: Option<&mut Cursor<'_, S, R>>,
    bounds: &Bounds<B>,
    address: impl Fn(B) -> Option<DiskAddr>,
) -> Result<ControlFlow<()>>
where
    S: Store,
    T: Tree<Key = RmapKey<B>, Record = RmapRecord<B>>,
    R: Tree<Key = RefcountKey<B>, Record = RefcountRecord<B>>,
    B: GroupBlock,
    F: FnMut(&Mapping) -> Result<ControlFlow<()>>,
{
    let store = rmap.store();
    let geo = store.geometry();
    let mut records = rmap.range(bounds.low, bounds.high);
    while let Some(record) = records.next()? {
        if store.interrupted() {
            return Err(Error::Interrupted);
        }
        let start = address(record.start).ok_or(Error::Invalid)?;
        let len = basic_blocks(geo, u64::from(record.count));
        if bounds.resumed && T::key(&record) < bounds.low {
            teller.skip(start, len);
            continue;
        }
        let file_data = record.owner.inode().is_some() && record.flags == RmapFlags::default();
        let shared = match refcount.as_deref_mut() {
            Some(cursor) if file_data => {
                refcount::first_shared(cursor, record.start, u64::from(record.count))?.is_some()
            }
            _ => false,
        };
        let mapping = Mapping {
            start,
            len,
            holder: Holder::Owner(record.owner),
            offset: basic_blocks(geo, record.offset.0),
            flags: record.flags,
            shared,
        };
        if teller.tell(&mapping)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Tells of the data device. `Break` when `visit` had enough.
///
/// # Errors
///
/// Those of reading and of corruption; `Interrupted`; those of `visit`.
pub fn data_device<S: Store>(
    store: &S,
    query: &Query,
    visit: impl FnMut(&Mapping) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let geo = store.geometry();
    let size = basic_blocks(geo, geo.data_blocks);
    let owners = query.owners && geo.features.rmapbt();
    let gap = if owners {
        Holder::Free
    } else {
        Holder::Unknown
    };
    let mut teller = Teller::new(query, gap, visit);
    let entry = entry(geo, &query.low);
    let first = DiskAddr(basic_blocks(geo, entry.block));
    let last = DiskAddr(query.high.start.min(size.saturating_sub(1)));
    let (Some((first_ag, first_block)), Some((last_ag, last_block))) =
        (geo.split_addr(first), geo.split_addr(last))
    else {
        return Ok(ControlFlow::Continue(()));
    };
    for ag in (first_ag.0..=last_ag.0).map(AgNumber) {
        let mut bounds = Bounds::<AgBlock>::whole();
        if ag == first_ag {
            bounds.enter(first_block, &entry);
        }
        if ag == last_ag {
            bounds.leave(geo, last_block, &query.high);
        }
        let agf = ag::read_agf(store, ag)?;
        let told = if owners {
            let mut refcount = if geo.features.reflink() && query.sharing {
                Some(ag::refcount(store, ag, &agf)?)
            } else {
                None
            };
            let mut rmap = ag::rmap(store, ag, &agf)?;
            tell_owners(
                &mut teller,
                &mut rmap,
                refcount.as_mut(),
                &bounds,
                |block| geo.ag_block_addr(ag, block),
            )?
        } else {
            let mut bno = ag::bno(store, ag, &agf)?;
            tell_free(&mut teller, &mut bno, &bounds, |block| {
                geo.ag_block_addr(ag, block)
            })?
        };
        if told.is_break() {
            return Ok(told);
        }
    }
    teller.finish(size)
}

/// Tells of what is free in one group.
fn tell_free<S: Store, F: FnMut(&Mapping) -> Result<ControlFlow<()>>>(
    teller: &mut Teller<'_, F>,
    bno: &mut Cursor<'_, S, Bno>,
    bounds: &Bounds<AgBlock>,
    address: impl Fn(AgBlock) -> Option<DiskAddr>,
) -> Result<ControlFlow<()>> {
    let store = bno.store();
    let mut records = bno.range(BnoKey::at(bounds.low.start), BnoKey::at(bounds.high.start));
    while let Some(free) = records.next()? {
        if store.interrupted() {
            return Err(Error::Interrupted);
        }
        let mapping = Mapping {
            start: address(free.start).ok_or(Error::Invalid)?,
            len: basic_blocks(store.geometry(), u64::from(free.count)),
            holder: Holder::Free,
            offset: 0,
            flags: RmapFlags::default(),
            shared: false,
        };
        if bounds.resumed && free.start < bounds.low.start {
            teller.skip(mapping.start, mapping.len);
            continue;
        }
        if teller.tell(&mapping)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Tells of the log's own device: one mapping.
///
/// # Errors
///
/// Those of `visit`.
pub fn log_device(
    geo: &Geometry,
    query: &Query,
    visit: impl FnMut(&Mapping) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let from = query.low.start.saturating_add(query.low.len);
    if whole_blocks(geo, from) > 0 {
        return Ok(ControlFlow::Continue(()));
    }
    let whole = Mapping {
        start: DiskAddr(0),
        len: basic_blocks(geo, u64::from(geo.log_blocks)),
        holder: Holder::Owner(Owner::Log),
        offset: 0,
        flags: RmapFlags::default(),
        shared: false,
    };
    Teller::new(query, Holder::Free, visit).tell(&whole)
}

/// What is done with the inodes that hold a realtime group's trees: the reverse-mapping tree's, and
/// the reference-count tree's, if there is one.
pub type UseRtTrees<'f> = dyn FnMut(&Inode, Option<&Inode>) -> Result<ControlFlow<()>> + 'f;

/// Finds the inodes that hold the trees of realtime groups.
pub trait RtTrees {
    /// Calls `use_inodes` with the inodes of a group.
    ///
    /// # Errors
    ///
    /// Those of finding the inodes, and those of `use_inodes`.
    fn with(&self, group: RtGroup, use_inodes: &mut UseRtTrees<'_>) -> Result<ControlFlow<()>>;
}

/// Tells of a realtime device with groups and reverse mappings. `Break` when `visit` had enough.
///
/// # Errors
///
/// `Invalid` without groups or reverse mappings; those of reading and of corruption; `Interrupted`;
/// those of `visit`.
pub fn rt_device<S: Store>(
    store: &S,
    query: &Query,
    trees: &impl RtTrees,
    visit: impl FnMut(&Mapping) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let geo = store.geometry();
    if !RtRmap::is_present(geo) {
        return Err(Error::Invalid);
    }
    let before = basic_blocks(geo, geo.rt_start);
    let length = basic_blocks(geo, geo.rt_blocks);
    let size = before.saturating_add(length);
    let mut teller = Teller::new(query, Holder::Free, visit);
    let mut entry = entry(geo, &query.low);
    if entry.block < geo.rt_start {
        // An internal section lies behind the data device's blocks, which are not its own.
        let data = Mapping {
            start: DiskAddr(0),
            len: before,
            holder: Holder::Owner(Owner::Fs),
            offset: 0,
            flags: RmapFlags::default(),
            shared: false,
        };
        if teller.tell(&data)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        entry = Entry {
            block: geo.rt_start,
            owner: 0,
            offset: 0,
            flags: RmapFlags::default(),
            resumed: false,
        };
    }
    let last = query.high.start.min(size.saturating_sub(1));
    let (Some((first_group, first_block)), Some((last_group, last_block))) = (
        rt_position(geo, entry.block),
        rt_position(geo, whole_blocks(geo, last)),
    ) else {
        return Ok(ControlFlow::Continue(()));
    };
    for group in (first_group.0..=last_group.0).map(RtGroup) {
        let mut bounds = Bounds::<RtGroupBlock>::whole();
        if group == first_group {
            bounds.enter(first_block, &entry);
        }
        if group == last_group {
            bounds.leave(geo, last_block, &query.high);
        }
        let told = trees.with(group, &mut |rmap, shared| {
            let mut refcount = match shared {
                Some(inode) if query.sharing => Some(rt::refcount(store, group, inode)?),
                _ => None,
            };
            let mut cursor = rt::rmap(store, group, rmap)?;
            tell_owners(
                &mut teller,
                &mut cursor,
                refcount.as_mut(),
                &bounds,
                |block| rt_address(geo, group, block),
            )
        })?;
        if told.is_break() {
            return Ok(told);
        }
    }
    // The C driver takes the section's length for its end here, so that an internal one has no
    // last gap; what it tells is the ABI.
    teller.finish(length)
}

/// Group, and block in it, of a position on the realtime device in blocks.
fn rt_position(geo: &Geometry, block: u64) -> Option<(RtGroup, RtGroupBlock)> {
    let size = rt_group_stride(geo);
    let block = block.checked_sub(geo.rt_start)?;
    let group = u32::try_from(block.checked_div(size)?).ok()?;
    // Blocks behind the last whole realtime extent are in no group; nothing is found there.
    let last = geo.rt_group_count.checked_sub(1)?;
    let within = block.checked_sub(u64::from(group.min(last)).checked_mul(size)?)?;
    Some((
        RtGroup(group.min(last)),
        RtGroupBlock(u32::try_from(within).ok()?),
    ))
}

/// Blocks of the device from one group's start to the next one's.
fn rt_group_stride(geo: &Geometry) -> u64 {
    if geo.features.zone_gaps() {
        1u64.checked_shl(u32::from(geo.rt_group_block_log))
            .unwrap_or(0)
    } else {
        geo.rt_group_blocks()
    }
}

fn rt_address(geo: &Geometry, group: RtGroup, block: RtGroupBlock) -> Option<DiskAddr> {
    let block: RtBlock = geo.rt_block(group, block)?;
    geo.rt_block_addr(block)
}

/// Tells of what is free on a realtime device, from the bitmaps, which `bitmap` opens: of a group,
/// or without groups the only one. `Break` when `visit` had enough.
///
/// # Errors
///
/// Those of reading and of corruption; `Interrupted`; those of `bitmap` and `visit`.
pub fn rt_device_free<S: Store>(
    store: &S,
    query: &Query,
    bitmap: impl Fn(Option<RtGroup>) -> Result<Inode>,
    visit: impl FnMut(&Mapping) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let geo = store.geometry();
    let size = basic_blocks(geo, geo.rt_blocks);
    let extent_size = u64::from(geo.rt_extent_size);
    let start = whole_blocks(geo, query.low.start.saturating_add(query.low.len));
    if query.low.start >= size || start >= geo.rt_blocks || extent_size == 0 {
        return Ok(ControlFlow::Continue(()));
    }
    // What begins before the block at which the walk is taken up was told by the query before.
    let told = match query.low.len {
        0 => 0,
        _ => basic_blocks(geo, start),
    };
    let end = whole_blocks(geo, query.high.start.min(size.saturating_sub(1)));
    let grouped = geo.rt_group_count != 0;
    let place = |block| match grouped {
        true => rt_position(geo, block).map(|(group, at)| (group.0, u64::from(at.0))),
        false => Some((0, block)),
    };
    let (Some((first, from)), Some((last, to))) = (place(start), place(end)) else {
        return Ok(ControlFlow::Continue(()));
    };
    let mut teller = Teller::new(query, Holder::Unknown, visit);
    for number in first..=last {
        let group = grouped.then_some(RtGroup(number));
        let low = match number == first {
            true => from.checked_div(extent_size).unwrap_or(0),
            false => 0,
        };
        let high = match number == last {
            // Rounded up, so that an extent that the range cuts is told whole.
            true => div_up(to, extent_size).map_or(u64::MAX, |last| last.saturating_add(1)),
            false => u64::MAX,
        };
        let base = u64::from(number).saturating_mul(match grouped {
            true => rt_group_stride(geo),
            false => 0,
        });
        let inode = bitmap(group)?;
        let mut runs = rt::free_runs(store, &inode, group, RtExtent(low), RtExtent(high))?;
        while let Some(run) = runs.next()? {
            if store.interrupted() {
                return Err(Error::Interrupted);
            }
            let block = base.saturating_add(run.start.0.saturating_mul(extent_size));
            let mapping = Mapping {
                start: DiskAddr(basic_blocks(geo, block)),
                len: basic_blocks(geo, run.len.saturating_mul(extent_size)),
                holder: Holder::Free,
                offset: 0,
                flags: RmapFlags::default(),
                shared: false,
            };
            if mapping.start.0 < told {
                teller.skip(mapping.start, mapping.len);
            } else if teller.tell(&mapping)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    teller.finish(size)
}
