// SPDX-License-Identifier: GPL-2.0

//! A file system reduced to what deferred work is about: trees of owners and counts for one group of
//! each device, files that are a flag a block, and how often each block was freed. All of it lies in
//! blocks of a disk and is changed in transactions.

use crate::btree_changes::held::start;
use xfs_host::{
    journal::SyncJournal,
    libxfs::{
        btree::{Cursor, Hook, Root},
        defer::{Deferred, Structures},
        error::{Error, Result},
        format::{
            btree::{
                Header, Owner, Pointer, Refcount, RefcountRecord, Rmap, RmapFlags, RmapRecord,
                RtRefcount, RtRmap, Tree,
            },
            kind::Kind,
            units::{AgBlock, AgNumber, InodeNumber, RtGroup, RtGroupBlock},
        },
        items::{
            BmapUpdate, BmapUpdateKind, ExtentFree, RefcountUpdate, RefcountUpdateKind, RmapUpdate,
            RmapUpdateKind,
        },
        journal::Journal,
        store::{Device, Run, Store},
        trans::{BlockId, Trans},
    },
};

/// The blocks of a group that are used, and those of them that files map; the others stage copies.
pub const FIRST: u32 = 2000;
pub const BLOCKS: usize = 1000;
pub const MAPPED: usize = 800;
/// Files of a device, and the blocks of each.
pub const FILES: usize = 3;
pub const FILE_BLOCKS: usize = 300;
/// The group of the realtime device.
pub const GROUP: RtGroup = RtGroup(1);

const AG: AgNumber = AgNumber(0);
const RMAP_INODE: InodeNumber = InodeNumber(300);
const REFCOUNT_INODE: InodeNumber = InodeNumber(301);
/// Blocks with what is no tree.
const HEADER: u32 = 40;
const FREED: u32 = 41;
const FILE_MAP: u32 = 43;
/// Where the header has the roots.
const RMAP: usize = 8;
const REFCOUNT: usize = 16;
const RT_RMAP: usize = 32;
const RT_REFCOUNT: usize = 192;
const FORK_SIZE: usize = 156;

fn run(journal: &impl Store, block: u32) -> Run {
    journal.ag_block_run(AG, AgBlock(block)).unwrap()
}

/// Which of two blocks, one a device.
fn of(device: Device, block: u32) -> u32 {
    block + u32::from(device == Device::Realtime)
}

/// The number of a used block, as its device counts.
pub fn number(device: Device, index: usize) -> u64 {
    let group = match device {
        Device::Realtime => u64::from(GROUP.0) << 28,
        _ => 0,
    };
    group + u64::from(FIRST) + index as u64
}

fn index(device: Device, number: u64) -> usize {
    (number - self::number(device, 0)) as usize
}

/// The inode of a file.
pub fn inode(device: Device, file: usize) -> InodeNumber {
    InodeNumber(4096 + file as u64 + if device == Device::Realtime { 100 } else { 0 })
}

/// A tree with its root in the header.
pub struct InHeader {
    header: BlockId,
    at: usize,
}

impl<J: Journal, T: Tree> Hook<J, T> for InHeader {
    fn root<'r>(&'r self, trans: &'r Trans<'_, J>) -> Result<Root<'r, T::Pointer>> {
        let bytes = &trans.bytes(self.header)[self.at..];
        if T::Pointer::SIZE == 8 {
            return Ok(Root::Fork(&bytes[..FORK_SIZE]));
        }
        let levels = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
        Ok(Root::Block(
            T::Pointer::decode(&bytes[..4]).unwrap(),
            levels,
        ))
    }

    fn set_root(&mut self, trans: &mut Trans<'_, J>, root: T::Pointer, levels: u32) -> Result {
        let bytes = trans.change(self.header, self.at..self.at + 8)?;
        root.encode(&mut bytes[..4]).unwrap();
        bytes[4..].copy_from_slice(&levels.to_be_bytes());
        Ok(())
    }

    fn change_fork<'r>(&'r mut self, trans: &'r mut Trans<'_, J>) -> Result<&'r mut [u8]> {
        trans.change(self.header, self.at..self.at + FORK_SIZE)
    }

    fn allocate(&mut self, trans: &mut Trans<'_, J>, _: Option<T::Pointer>) -> Result<T::Pointer> {
        let next = trans.change(self.header, 0..4)?;
        let block = u32::from_be_bytes((&*next).try_into().unwrap());
        next.copy_from_slice(&(block + 1).to_be_bytes());
        Ok(T::Pointer::decode(&u64::from(block).to_be_bytes()[8 - T::Pointer::SIZE..]).unwrap())
    }

    fn free(&mut self, _: &mut Trans<'_, J>, _: T::Pointer) -> Result {
        Ok(())
    }
}

fn hook<J: Journal>(trans: &mut Trans<'_, J>, at: usize) -> Result<InHeader> {
    let run = run(trans.journal(), HEADER);
    let header = trans.read(Device::Data, run, Kind::Raw)?;
    Ok(InHeader { header, at })
}

/// Bytes of one of the blocks that are no tree, to be changed.
fn bytes<'t, J: Journal>(
    trans: &'t mut Trans<'_, J>,
    block: u32,
    first: usize,
    count: u32,
) -> Result<&'t mut [u8]> {
    let run = run(trans.journal(), block);
    let id = trans.read(Device::Data, run, Kind::Raw)?;
    trans.change(id, first..first + count as usize)
}

/// What work changes.
pub struct World;

impl<J: Journal> Structures<J> for World {
    type Rmap<'h, 'd>
        = InHeader
    where
        J: 'd,
        'd: 'h;
    type Refcount<'h, 'd>
        = InHeader
    where
        J: 'd,
        'd: 'h;
    type RtRmap<'h, 'd>
        = InHeader
    where
        J: 'd,
        'd: 'h;
    type RtRefcount<'h, 'd>
        = InHeader
    where
        J: 'd,
        'd: 'h;

    fn rmap<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        _: &'h mut Deferred<'d, J>,
        ag: AgNumber,
    ) -> Result<InHeader> {
        assert_eq!(ag, AG);
        hook(trans, RMAP)
    }

    fn refcount<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        _: &'h mut Deferred<'d, J>,
        ag: AgNumber,
    ) -> Result<InHeader> {
        assert_eq!(ag, AG);
        hook(trans, REFCOUNT)
    }

    fn rt_rmap<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        _: &'h mut Deferred<'d, J>,
        group: RtGroup,
    ) -> Result<(InodeNumber, InHeader)> {
        assert_eq!(group, GROUP);
        Ok((RMAP_INODE, hook(trans, RT_RMAP)?))
    }

    fn rt_refcount<'h, 'd>(
        &'h mut self,
        trans: &mut Trans<'_, J>,
        _: &'h mut Deferred<'d, J>,
        group: RtGroup,
    ) -> Result<(InodeNumber, InHeader)> {
        assert_eq!(group, GROUP);
        Ok((REFCOUNT_INODE, hook(trans, RT_REFCOUNT)?))
    }

    fn free_extent(
        &mut self,
        trans: &mut Trans<'_, J>,
        _: &mut Deferred<'_, J>,
        (device, extent): (Device, ExtentFree),
        begun: bool,
    ) -> Result<u32> {
        if begun && extent.start % 3 == 0 {
            return Ok(0);
        }
        let done = extent.count.min(9);
        let first = index(device, extent.start);
        for freed in bytes(trans, of(device, FREED), first, done)? {
            *freed += 1;
        }
        Ok(done)
    }

    /// Blocks that are mapped as unwritten had no owner before.
    fn update_bmap(
        &mut self,
        trans: &mut Trans<'_, J>,
        deferred: &mut Deferred<'_, J>,
        update: &BmapUpdate,
        _: bool,
    ) -> Result<u32> {
        let device = if update.realtime {
            Device::Realtime
        } else {
            Device::Data
        };
        let count = update.count.min(7);
        let file = (0..FILES)
            .find(|&file| inode(device, file) == update.inode)
            .unwrap();
        let first = file * FILE_BLOCKS + update.offset.0 as usize;
        let (before, after) = match update.kind {
            BmapUpdateKind::Map => (0, 1),
            BmapUpdateKind::Unmap => (1, 0),
        };
        for mapped in bytes(trans, of(device, FILE_MAP), first, count)? {
            if *mapped != before {
                return Err(Error::Invalid);
            }
            *mapped = after;
        }
        let (kind, refcount) = match update.kind {
            BmapUpdateKind::Map => (RmapUpdateKind::MapShared, RefcountUpdateKind::Increase),
            BmapUpdateKind::Unmap => (RmapUpdateKind::UnmapShared, RefcountUpdateKind::Decrease),
        };
        let start = update.start;
        let rmap = RmapUpdate {
            kind,
            owner: Owner::Inode(update.inode),
            start,
            offset: update.offset,
            count,
            flags: RmapFlags::default(),
        };
        deferred.update_rmap(device, rmap)?;
        if !update.unwritten {
            let kind = refcount;
            deferred.update_refcount(device, RefcountUpdate { kind, start, count })?;
        }
        Ok(count)
    }
}

/// Makes the empty file system.
pub fn format(journal: &SyncJournal) {
    let geo = journal.geometry();
    let mut trans = start(journal);
    let size = geo.block_size as usize;
    let mut roots = Vec::new();
    for (block, magic, kind) in [
        (50, Rmap::MAGIC, Rmap::KIND),
        (51, Refcount::MAGIC, Refcount::KIND),
    ] {
        let run = run(journal, block);
        let id = trans.fresh(Device::Data, run, Kind::Btree(kind)).unwrap();
        let header = Header {
            magic,
            level: 0,
            count: 0,
            left: None,
            right: None,
            address: run.at,
            uuid: geo.meta_uuid,
            owner: AG.0.into(),
        };
        AgBlock::write_header(&header, trans.change(id, 0..size).unwrap()).unwrap();
        roots.extend(block.to_be_bytes());
        roots.extend(1u32.to_be_bytes());
    }
    for block in [HEADER, FREED, FREED + 1, FILE_MAP, FILE_MAP + 1] {
        let id = trans
            .fresh(Device::Data, run(journal, block), Kind::Raw)
            .unwrap();
        let bytes = trans.change(id, 0..size).unwrap();
        if block == HEADER {
            bytes[..4].copy_from_slice(&100u32.to_be_bytes());
            bytes[RMAP..RMAP + roots.len()].copy_from_slice(&roots);
        }
    }
    trans.commit().unwrap();
}

/// All that there is on one device.
#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    pub rmap: Vec<RmapRecord<AgBlock>>,
    pub refcount: Vec<RefcountRecord<AgBlock>>,
    pub freed: Vec<u8>,
    pub file_map: Vec<u8>,
}

fn all<T: Tree>(mut cursor: Cursor<'_, SyncJournal, T>) -> Vec<T::Record> {
    let mut records = Vec::new();
    let mut record = cursor.seek_first().unwrap();
    while let Some(here) = record {
        records.push(here);
        record = cursor.next().unwrap();
    }
    records
}

fn plain_rmap(record: RmapRecord<RtGroupBlock>) -> RmapRecord<AgBlock> {
    RmapRecord {
        start: AgBlock(record.start.0),
        count: record.count,
        owner: record.owner,
        offset: record.offset,
        flags: record.flags,
    }
}

fn plain_refcount(record: RefcountRecord<RtGroupBlock>) -> RefcountRecord<AgBlock> {
    RefcountRecord {
        domain: record.domain,
        start: AgBlock(record.start.0),
        count: record.count,
        references: record.references,
    }
}

/// Reads all that there is on a device.
pub fn content(journal: &SyncJournal, device: Device) -> Content {
    let read = |block| {
        journal
            .read(Device::Data, run(journal, block), Kind::Raw)
            .unwrap()
    };
    let header = read(HEADER);
    let root = |at: usize| {
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        (AgBlock(word(at)), word(at + 4))
    };
    let fork = |at: usize| &header[at..at + FORK_SIZE];
    let (rmap, refcount) = match device {
        Device::Realtime => {
            let rmap = Cursor::<_, RtRmap>::in_fork(journal, RMAP_INODE, GROUP, fork(RT_RMAP));
            let refcount =
                Cursor::<_, RtRefcount>::in_fork(journal, REFCOUNT_INODE, GROUP, fork(RT_REFCOUNT));
            (
                all(rmap.unwrap()).into_iter().map(plain_rmap).collect(),
                all(refcount.unwrap())
                    .into_iter()
                    .map(plain_refcount)
                    .collect(),
            )
        }
        _ => (
            all(Cursor::<_, Rmap>::in_group(journal, AG, root(RMAP)).unwrap()),
            all(Cursor::<_, Refcount>::in_group(journal, AG, root(REFCOUNT)).unwrap()),
        ),
    };
    Content {
        rmap,
        refcount,
        freed: read(of(device, FREED))[..BLOCKS].to_vec(),
        file_map: read(of(device, FILE_MAP))[..FILES * FILE_BLOCKS].to_vec(),
    }
}
