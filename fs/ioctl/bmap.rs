// SPDX-License-Identifier: GPL-2.0

//! `XFS_IOC_GETBMAP` and its kin: where a fork's blocks lie, in units of 512 bytes.

use super::abi::{
    self,
    bmap_in,
    bmap_out,
    GetBmap,
    GetBmapX, //
};
use crate::{
    fs::{
        inode::Inode,
        iomap, //
    },
    libxfs::{
        extents::{
            Mapping,
            State, //
        },
        format::{
            inode::{
                flags::Flags,
                ForkFormat, //
            },
            units::FileBlock, //
        },
        inode::WhichFork,
        store::Store, //
    },
    rust::kernel::{
        node::SharedLock,
        user::UserAddress, //
    },
};
use kernel::{
    alloc::KVec,
    prelude::*, //
};

/// Records that are collected before they are copied out. A longer answer takes several turns, so
/// that its size never is one of an allocation.
const BATCH: usize = 512;

/// An attribute fork's range: file blocks have 32 bits there, in any unit.
const ATTR_FORK_BYTES: u64 = 1 << 32;

/// Whether a walk goes on.
#[derive(PartialEq, Eq)]
enum Turn {
    Again,
    Done,
}

/// A request, and how far it got. Lengths and offsets are in basic blocks but where they have a
/// type.
struct Walk<'a> {
    node: &'a Inode,
    which: WhichFork,
    flags: i32,
    /// Bits that turn file blocks into basic blocks.
    shift: u32,
    /// Where the next record starts, as the head tells it to the caller.
    offset: i64,
    /// What is left of the range.
    length: i64,
    /// One past the range.
    end: i64,
    /// The next file block to look at.
    next: FileBlock,
    /// One past the range.
    last: FileBlock,
    /// Records that the caller still has room for.
    room: usize,
    /// Records that were found, in all.
    count: i32,
    batch: KVec<GetBmapX>,
}

impl Walk<'_> {
    fn is_full(&self) -> bool {
        self.length == 0 || self.room == 0
    }

    fn basic_blocks(&self, blocks: u64) -> i64 {
        // A file has fewer than 2^63 bytes.
        i64::try_from(blocks << self.shift).unwrap_or(i64::MAX)
    }

    fn add(&mut self, record: GetBmapX) -> Result {
        self.offset = record.offset.saturating_add(record.length);
        self.length = self.end.saturating_sub(self.offset).max(0);
        self.room = self.room.saturating_sub(1);
        self.count = self.count.saturating_add(1);
        self.batch.push(record, GFP_KERNEL)?;
        Ok(())
    }

    fn add_hole(&mut self, end: FileBlock) -> Result {
        let Some(len) = end.distance_from(self.next) else {
            return Ok(());
        };
        if self.flags & bmap_in::NO_HOLES != 0 || len == 0 {
            return Ok(());
        }
        self.add(GetBmapX {
            offset: self.basic_blocks(self.next.0),
            block: -1,
            length: self.basic_blocks(len),
            ..GetBmapX::ZERO
        })
    }

    fn add_mapping(&mut self, mapping: &Mapping, addr: u64, shared: bool) -> Result {
        let mut oflags = 0;
        if mapping.state == State::Unwritten && self.flags & bmap_in::PREALLOC != 0 {
            oflags |= bmap_out::PREALLOC;
        }
        if shared {
            oflags |= bmap_out::SHARED;
        }
        self.add(GetBmapX {
            offset: self.basic_blocks(mapping.offset.0),
            block: i64::try_from(addr).map_err(|_| EUCLEAN)?,
            length: self.basic_blocks(mapping.len),
            oflags,
            ..GetBmapX::ZERO
        })
    }

    /// Collects a batch from `next` on.
    fn turn(&mut self, file_end: FileBlock) -> Result<Turn> {
        let node = self.node;
        let inode = node.mapped(self.which)?;
        let extents = inode
            .extents(self.which)
            .map_err(|error| node.mount().errno(error))?;
        let mut mappings = extents.iter_from(self.next).peekable();
        if self.count == 0 && mappings.peek().is_none() {
            if self.flags & bmap_in::DELALLOC != 0 {
                self.add_hole(file_end)?;
            }
            return Ok(Turn::Done);
        }
        while let Some(whole) = mappings.next() {
            if self.is_full() {
                return Ok(Turn::Done);
            }
            // A hole is told whole, though it may reach past the range.
            if whole.offset > self.next {
                self.add_hole(whole.offset)?;
                self.next = whole.offset;
                if self.is_full() {
                    return Ok(Turn::Done);
                }
            }
            let Some(mut rest) = whole.trimmed(self.next, self.last) else {
                return Ok(Turn::Done);
            };
            // Each shared and each unshared part is a record.
            loop {
                let (part, shared) = iomap::trim_to_sharing(node.mount(), &inode, rest)?;
                let addr = iomap::disk_addr(node.mount(), &inode, self.which, part.start)?;
                self.add_mapping(&part, addr.0, shared)?;
                self.next = part.end();
                if self.is_full() {
                    return Ok(Turn::Done);
                }
                match rest.trimmed(part.end(), rest.end()) {
                    Some(left) => rest = left,
                    None => break,
                }
            }
            if mappings.peek().is_none() {
                if let Some(last) = self.batch.last_mut() {
                    last.oflags |= bmap_out::LAST;
                }
                if self.which == WhichFork::Data && self.next < file_end && !self.is_full() {
                    self.add_hole(file_end)?;
                }
                return Ok(Turn::Done);
            }
            if self.next >= self.last {
                return Ok(Turn::Done);
            }
            if self.batch.len() >= BATCH {
                return Ok(Turn::Again);
            }
        }
        Ok(Turn::Done)
    }
}

/// Answers a request.
pub(super) fn get_bmap(node: &Inode, command: u32, to: UserAddress) -> Result<usize> {
    let extended = command == abi::GET_BMAPX;
    let mut head = if extended {
        to.read::<GetBmapX>()?
    } else {
        let request: GetBmap = to.read()?;
        GetBmapX {
            offset: request.offset,
            length: request.length,
            count: request.count,
            iflags: if command == abi::GET_BMAP_ATTR {
                bmap_in::ATTR_FORK
            } else {
                0
            },
            ..GetBmapX::ZERO
        }
    };
    let record_size = if extended {
        size_of::<GetBmapX>()
    } else {
        size_of::<GetBmap>()
    };
    let count = usize::try_from(head.count).map_err(|_| EINVAL)?;
    if count < 2 {
        return Err(EINVAL);
    }
    let most = (i32::MAX as usize).checked_div(record_size);
    if most.is_none_or(|most| count >= most) {
        return Err(ENOMEM);
    }
    if head.iflags & !bmap_in::VALID != 0
        || head.iflags & bmap_in::COW_FORK != 0
        || head.length < -1
    {
        return Err(EINVAL);
    }
    head.entries = 0;
    if head.length != 0 {
        collect(node, &mut head, count, |index, records| {
            let start = to.offset(record_size.wrapping_mul(index.wrapping_add(1)));
            copy_out(start, records, extended)
        })?;
    }
    if extended {
        to.write(&head)?;
    } else {
        to.write(&shortened(&head))?;
    }
    Ok(0)
}

/// Walks the fork and hands out its records, batch by batch; then tells in the head where it got.
fn collect(
    node: &Inode,
    head: &mut GetBmapX,
    count: usize,
    mut emit: impl FnMut(usize, &[GetBmapX]) -> Result,
) -> Result {
    let geo = node.mount().geometry();
    let which = if head.iflags & bmap_in::ATTR_FORK != 0 {
        WhichFork::Attr
    } else {
        WhichFork::Data
    };
    let _layout = SharedLock::new(node);
    let (format, max_bytes, size) = {
        let inode = node.read();
        let size = inode.core.size;
        let hinted =
            inode.core.flags.has(Flags::PREALLOC) || iomap::extent_size_hint(geo, &inode.core) != 0;
        let bytes = match which {
            WhichFork::Attr => ATTR_FORK_BYTES,
            WhichFork::Data if hinted => node.mount().max_file_bytes(),
            WhichFork::Data => size,
        };
        (inode.fork(which).map(|fork| fork.format()), bytes, size)
    };
    match format {
        Some(ForkFormat::Extents | ForkFormat::Btree) => {}
        None | Some(ForkFormat::Local) => return Ok(()),
        Some(_) => return Err(EINVAL),
    }
    let shift = u32::from(geo.block_log.saturating_sub(9));
    if head.length == -1 {
        let whole = i64::try_from(geo.blocks_for(max_bytes) << shift).unwrap_or(i64::MAX);
        head.length = whole.saturating_sub(head.offset).max(0);
    }
    let Ok(first) = u64::try_from(head.offset) else {
        return Ok(());
    };
    // Not negative: checked by the caller, or set above.
    let basic = head.length as u64;
    let blocks = basic.div_ceil(1_u64.checked_shl(shift).ok_or(EINVAL)?);
    let next = FileBlock(first >> shift);
    let mut walk = Walk {
        node,
        which,
        flags: head.iflags,
        shift,
        offset: head.offset,
        length: head.length,
        end: head.offset.saturating_add(head.length),
        next,
        last: FileBlock(next.0.saturating_add(blocks)),
        // The head has the first place.
        room: count.saturating_sub(1),
        count: 0,
        batch: KVec::with_capacity(BATCH, GFP_KERNEL)?,
    };
    if walk.is_full() {
        return Ok(());
    }
    let file_end = FileBlock(geo.blocks_for(size));
    let mut emitted = 0_usize;
    loop {
        let turn = walk.turn(file_end)?;
        emit(emitted, &walk.batch)?;
        emitted = emitted.saturating_add(walk.batch.len());
        walk.batch.clear();
        if turn == Turn::Done {
            break;
        }
        if node.mount().interrupted() {
            return Err(EINTR);
        }
    }
    head.offset = walk.offset;
    head.length = walk.length;
    head.entries = walk.count;
    Ok(())
}

fn shortened(record: &GetBmapX) -> GetBmap {
    GetBmap {
        offset: record.offset,
        block: record.block,
        length: record.length,
        count: record.count,
        entries: record.entries,
    }
}

fn copy_out(to: UserAddress, records: &[GetBmapX], extended: bool) -> Result {
    if extended {
        return to.write(records);
    }
    for (index, record) in records.iter().enumerate() {
        to.offset(index.wrapping_mul(size_of::<GetBmap>()))
            .write(&shortened(record))?;
    }
    Ok(())
}
