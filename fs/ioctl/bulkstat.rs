// SPDX-License-Identifier: GPL-2.0

//! Bulkstat and inumbers: inodes and chunks of them in the order of their numbers.

use super::{
    abi::{
        self,
        bulk_flag,
        BulkRequest,
        BulkRequestV1, //
    },
    compat,
    privileged,
    Caller, //
};
use crate::{
    fs::{
        fileattr,
        icache::Want,
        inode::Inode,
        mount::Mount, //
    },
    libxfs::{
        error,
        format::{
            inode::{
                cluster,
                flags::Flags2,
                ForkFormat,
                MODE_TYPE, //
            },
            kind::Kind,
            units::{
                AgInode,
                AgNumber,
                InodeNumber, //
            },
        },
        ialloc,
        inode::{
            cluster_run,
            Fork,
            Trust, //
        },
        store::{
            Device,
            Store, //
        }, //
    },
    rust::kernel::user::UserAddress,
};
use core::ops::ControlFlow;
use kernel::{
    alloc::KVec,
    prelude::*,
    sync::aref::ARef, //
};
use zerocopy::{
    Immutable,
    IntoBytes, //
};

/// Inodes in a chunk.
const CHUNK: u64 = 64;
/// Largest extent count that a 32-bit counter is used for.
const MAX_EXTENTS32: u64 = i32::MAX as u64;
/// Preferred I/O size of special files: a page.
const SPECIAL_IO_SIZE: u32 = kernel::page::PAGE_SIZE as u32;
/// Version of the records.
const VERSION: u16 = 5;
/// Chunks that are taken from the tree at a time, so that no tree block is held while inodes are
/// read and user space is written.
const CHUNKS_AT_A_TIME: usize = 32;

/// How records of the first version are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Native,
    Compat,
}

/// How the caller wants its records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Current,
    Version1(Layout),
}

/// A walk over inodes: where it is, and what it has told.
struct Bulk {
    /// The next inode to look at.
    next: u64,
    to: UserAddress,
    room: u32,
    count: u32,
    /// Stop at the end of the group that the walk starts in.
    one_ag: bool,
    nrext64: bool,
    metadir: bool,
    form: Form,
}

impl Bulk {
    /// Writes a record; `Break` once the caller has no more room.
    fn put<V: IntoBytes + Immutable>(&mut self, record: &V) -> Result<ControlFlow<()>> {
        self.to.write(record)?;
        self.to = self.to.offset(size_of::<V>());
        self.count = self.count.saturating_add(1);
        Ok(if self.count >= self.room {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn put_stat(&mut self, mount: &Mount, stat: &abi::Bulkstat) -> Result<ControlFlow<()>> {
        match self.form {
            Form::Current => self.put(stat),
            Form::Version1(layout) => {
                let old = version1_of(mount, stat);
                match layout {
                    Layout::Native => self.put(&old),
                    Layout::Compat => self.put(&compat::BstatV1::from(&old)),
                }
            }
        }
    }

    fn put_chunk(&mut self, chunk: &abi::Inumbers) -> Result<ControlFlow<()>> {
        match self.form {
            Form::Current => self.put(chunk),
            Form::Version1(layout) => {
                let old = abi::InodeGroupV1 {
                    start: chunk.start,
                    allocated: chunk.allocated.into(),
                    pad: 0,
                    mask: chunk.mask,
                };
                match layout {
                    Layout::Native => self.put(&old),
                    Layout::Compat => self.put(&compat::InodeGroupV1::from(&old)),
                }
            }
        }
    }

    /// The inode of a number; one of the file system's own where the caller wants these too.
    fn find(&self, mount: &Mount, ino: InodeNumber) -> Result<ARef<Inode>> {
        match mount.inode(ino, Want::File(Trust::Untrusted)) {
            Err(error) if error == EINVAL && self.metadir => mount.inode(ino, Want::Metadata),
            found => found,
        }
    }

    /// Tells of one inode. The position moves past it unless reading it failed in a way that the
    /// caller should see when it comes back.
    fn stat_one(&mut self, mount: &Mount, ino: InodeNumber) -> Result<ControlFlow<()>> {
        let past = ino.0.wrapping_add(1);
        let node = match self.find(mount, ino) {
            Ok(node) => node,
            Err(error) if error == ENOENT || error == EINVAL => {
                self.next = past;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let stat = if self.metadir && node.read().core.is_metadata() {
            abi::Bulkstat {
                ino: ino.0,
                generation: node.generation(),
                mode: node.read().core.mode & MODE_TYPE,
                version: VERSION,
                ..abi::Bulkstat::ZERO
            }
        } else if node.is_private() {
            self.next = past;
            return Err(EINVAL);
        } else {
            stat_of(mount, &node, self.nrext64)
        };
        drop(node);
        let flow = self.put_stat(mount, &stat)?;
        self.next = past;
        Ok(flow)
    }

    /// Whether the start lies past all inodes, or names none.
    fn is_done(&self, mount: &Mount) -> bool {
        split(mount, self.next).is_none()
    }

    /// Tells of all inodes in use from the position on.
    fn stat_all(&mut self, mount: &Mount) -> Result {
        self.walk(mount, |bulk, mount, start, chunk| {
            if chunk.mask == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            read_ahead(mount, chunk);
            for index in 0..CHUNK {
                let ino = chunk.start.wrapping_add(index);
                if chunk.mask >> index & 1 == 0 || ino < start {
                    continue;
                }
                match bulk.stat_one(mount, InodeNumber(ino)) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
                    // Freed meanwhile, or not for show.
                    Err(error) if error == EINVAL => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Tells of all chunks from the position on.
    fn number_all(&mut self, mount: &Mount) -> Result {
        self.walk(mount, |bulk, _, _, chunk| {
            let flow = bulk.put_chunk(chunk)?;
            bulk.next = chunk.start.wrapping_add(CHUNK);
            Ok(flow)
        })
    }

    /// Calls `visit` for each chunk that reaches to the position or past it.
    fn walk(
        &mut self,
        mount: &Mount,
        mut visit: impl FnMut(&mut Self, &Mount, u64, &abi::Inumbers) -> Result<ControlFlow<()>>,
    ) -> Result {
        let geo = mount.geometry();
        let mut chunks = KVec::with_capacity(CHUNKS_AT_A_TIME, GFP_KERNEL)?;
        let Some((first_ag, mut from)) = split(mount, self.next) else {
            return Ok(());
        };
        let start = self.next;
        let last_ag = if self.one_ag {
            first_ag.0
        } else {
            geo.ag_count.saturating_sub(1)
        };
        for ag in first_ag.0..=last_ag {
            let ag = AgNumber(ag);
            loop {
                chunks.clear();
                ialloc::visit_chunks(mount, ag, from, |chunk| -> error::Result<_> {
                    chunks.push(chunk, GFP_KERNEL)?;
                    Ok(if chunks.len() < CHUNKS_AT_A_TIME {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    })
                })
                .map_err(|error| mount.errno(error))?;
                for chunk in &chunks {
                    let Some(number) = geo.inode_number(ag, chunk.start) else {
                        return Err(EUCLEAN);
                    };
                    let record = abi::Inumbers {
                        start: number.0,
                        mask: chunk.allocated_mask(),
                        allocated: chunk.allocated_count(),
                        version: VERSION as u8,
                        pad: [0; 6],
                    };
                    if visit(self, mount, start, &record)?.is_break() {
                        return Ok(());
                    }
                }
                if mount.interrupted() {
                    return Err(EINTR);
                }
                match chunks.last() {
                    Some(last) if chunks.len() >= CHUNKS_AT_A_TIME => {
                        from = AgInode(last.start.0.saturating_add(CHUNK as u32));
                    }
                    _ => break,
                }
            }
            from = AgInode(0);
        }
        Ok(())
    }
}

/// Splits a position, which need not be an inode's; `None` past the last group.
fn split(mount: &Mount, position: u64) -> Option<(AgNumber, AgInode)> {
    let geo = mount.geometry();
    let bits = u32::from(geo.ag_inode_bits());
    let ag = u32::try_from(position >> bits).ok()?;
    if ag >= geo.ag_count {
        return None;
    }
    let low = position.checked_rem(1_u64.checked_shl(bits)?)?;
    Some((AgNumber(ag), AgInode(u32::try_from(low).ok()?)))
}

/// All that bulkstat tells of an inode.
fn stat_of(mount: &Mount, node: &Inode, nrext64: bool) -> abi::Bulkstat {
    let inode = node.read();
    let core = &inode.core;
    let (block_size, rdev, blocks) = match core.format {
        ForkFormat::Dev => (SPECIAL_IO_SIZE, device_number(&inode.data), 0),
        ForkFormat::Local => (mount.geometry().block_size, 0, 0),
        _ => (mount.geometry().block_size, 0, core.nblocks),
    };
    let (extents, extents64) = if nrext64 {
        (0, core.nextents)
    } else {
        (core.nextents.min(MAX_EXTENTS32) as u32, 0)
    };
    abi::Bulkstat {
        ino: node.number().0,
        size: core.size,
        blocks,
        xflags: fileattr::xflags(mount, &inode).into(),
        atime: core.atime.sec,
        mtime: core.mtime.sec,
        ctime: core.ctime.sec,
        btime: core.crtime.sec,
        generation: core.generation,
        uid: core.uid,
        gid: core.gid,
        project: core.projid,
        atime_nsec: core.atime.nsec,
        mtime_nsec: core.mtime.nsec,
        ctime_nsec: core.ctime.nsec,
        btime_nsec: core.crtime.nsec,
        block_size,
        rdev,
        cow_extent_size: if core.flags2.has(Flags2::COWEXTSIZE) {
            core.cowextsize
        } else {
            0
        },
        extent_size: core.extsize,
        nlink: core.nlink,
        extents,
        attr_extents: core.anextents,
        version: VERSION,
        // In units of 8 bytes on disk.
        fork_offset: u16::from(core.forkoff) << 3,
        mode: core.mode,
        extents64,
        ..abi::Bulkstat::ZERO
    }
}

/// The number that a special file's fork holds, in the form of System V.
fn device_number(fork: &Fork) -> u32 {
    match fork {
        Fork::Dev(number) => number.to_disk(),
        _ => 0,
    }
}

/// Asks for the clusters of a chunk that hold inodes in use.
fn read_ahead(mount: &Mount, chunk: &abi::Inumbers) {
    let geo = mount.geometry();
    let per_cluster = u64::from(geo.inode_cluster_blocks())
        .wrapping_shl(geo.inodes_per_block_log.into())
        .clamp(1, CHUNK);
    for first in (0..CHUNK).step_by(per_cluster as usize) {
        let in_cluster =
            (u64::MAX >> CHUNK.saturating_sub(per_cluster).min(63)).wrapping_shl(first as u32);
        if chunk.mask & in_cluster == 0 {
            continue;
        }
        let place = cluster::place(geo, InodeNumber(chunk.start.wrapping_add(first)));
        if let Some(run) = place.and_then(|place| cluster_run(mount, place)) {
            mount.read_ahead(Device::Data, run, Kind::InodeCluster);
        }
    }
}

fn version1_of(mount: &Mount, stat: &abi::Bulkstat) -> abi::BstatV1 {
    let bytes = |blocks: u32| blocks.wrapping_shl(mount.geometry().block_log.into());
    let time = |seconds, nanoseconds: u32| abi::BsTime {
        seconds,
        nanoseconds: nanoseconds as i32,
        pad: 0,
    };
    abi::BstatV1 {
        ino: stat.ino,
        mode: stat.mode,
        nlink: stat.nlink as u16,
        uid: stat.uid,
        gid: stat.gid,
        rdev: stat.rdev,
        block_size: stat.block_size as i32,
        size: stat.size as i64,
        atime: time(stat.atime, stat.atime_nsec),
        mtime: time(stat.mtime, stat.mtime_nsec),
        ctime: time(stat.ctime, stat.ctime_nsec),
        blocks: stat.blocks as i64,
        xflags: stat.xflags as u32,
        extent_size: bytes(stat.extent_size) as i32,
        extents: stat.extents as i32,
        generation: stat.generation,
        project_low: stat.project as u16,
        project_high: (stat.project >> 16) as u16,
        fork_offset: stat.fork_offset,
        sick: stat.sick,
        checked: stat.checked,
        cow_extent_size: bytes(stat.cow_extent_size),
        attr_extents: stat.attr_extents as u16,
        ..abi::BstatV1::ZERO
    }
}

/// Errors after the first record wait until the caller comes back for more.
fn forgive(count: u32, result: Result) -> Result {
    if count > 0 {
        Ok(())
    } else {
        result
    }
}

/// Bulkstat does not map users, so it would tell an idmapped mount wrong ones.
fn check_idmap(file: &Caller<'_>) -> Result {
    if file.is_idmapped() {
        return Err(EINVAL);
    }
    Ok(())
}

/// `XFS_IOC_BULKSTAT` and `XFS_IOC_INUMBERS`.
pub(super) fn current(file: &Caller<'_>, command: u32, to: UserAddress) -> Result<usize> {
    privileged()?;
    let mount = file.node().mount();
    mount.check_running()?;
    let mut head: BulkRequest = to.read()?;
    let numbers = command == abi::INUMBERS;
    if head.flags & !bulk_flag::ALL != 0
        || numbers && head.flags & bulk_flag::METADIR != 0
        || head.count == 0
        || head.reserved != [0; 5]
    {
        return Err(EINVAL);
    }
    let mut bulk = Bulk {
        next: head.ino,
        to: to.offset(size_of::<BulkRequest>()),
        room: head.count,
        count: 0,
        one_ag: head.flags & bulk_flag::AG != 0,
        nrext64: head.flags & bulk_flag::NREXT64 != 0,
        metadir: head.flags & bulk_flag::METADIR != 0,
        form: Form::Current,
    };
    if set_start(mount, &head, &mut bulk)? && !bulk.is_done(mount) {
        let result = if numbers {
            bulk.number_all(mount)
        } else {
            check_idmap(file)?;
            bulk.stat_all(mount)
        };
        forgive(bulk.count, result)?;
    }
    head.ino = bulk.next;
    head.out_count = bulk.count;
    to.write(&head)?;
    Ok(0)
}

/// Takes the start and the bounds from a request; false where nothing lies between them.
fn set_start(mount: &Mount, head: &BulkRequest, bulk: &mut Bulk) -> Result<bool> {
    let geo = mount.geometry();
    if head.flags & bulk_flag::SPECIAL != 0 {
        if bulk.one_ag || head.ino != bulk_flag::SPECIAL_ROOT {
            return Err(EINVAL);
        }
        bulk.next = geo.root_inode.0;
        bulk.room = 1;
    }
    let bits = u32::from(geo.ag_inode_bits());
    if bulk.one_ag {
        if head.ag >= geo.ag_count {
            return Err(EINVAL);
        }
        let wanted = u64::from(head.ag);
        if bulk.next == 0 {
            bulk.next = wanted << bits;
        } else if bulk.next >> bits < wanted {
            return Err(EINVAL);
        }
        return Ok(bulk.next >> bits == wanted);
    }
    if head.ag != 0 {
        return Err(EINVAL);
    }
    Ok(bulk.next >> bits < u64::from(geo.ag_count))
}

/// `XFS_IOC_FSBULKSTAT`, `XFS_IOC_FSBULKSTAT_SINGLE` and `XFS_IOC_FSINUMBERS`, whose position is
/// the last inode that was told, or 0.
pub(super) fn version1(
    file: &Caller<'_>,
    command: u32,
    request: &BulkRequestV1,
    layout: Layout,
) -> Result<usize> {
    let mount = file.node().mount();
    mount.check_running()?;
    let mut last: u64 = UserAddress(request.last).read()?;
    let room = u32::try_from(request.count).map_err(|_| EINVAL)?;
    let to = UserAddress(request.buffer);
    if room == 0 || to.is_null() {
        return Err(EINVAL);
    }
    let mut bulk = Bulk {
        next: if last == 0 { 0 } else { last.wrapping_add(1) },
        to,
        room,
        count: 0,
        one_ag: false,
        nrext64: false,
        metadir: false,
        form: Form::Version1(layout),
    };
    match command {
        abi::BULKSTAT_SINGLE => {
            check_idmap(file)?;
            bulk.next = last;
            bulk.room = 1;
            let _ = bulk.stat_one(mount, InodeNumber(last))?;
            if layout == Layout::Compat {
                last = bulk.next;
            }
        }
        abi::INUMBERS_V1 => {
            if !bulk.is_done(mount) {
                let result = bulk.number_all(mount);
                forgive(bulk.count, result)?;
            }
            last = bulk.next.wrapping_sub(1);
        }
        _ => {
            check_idmap(file)?;
            if !bulk.is_done(mount) {
                let result = bulk.stat_all(mount);
                forgive(bulk.count, result)?;
            }
            last = bulk.next.wrapping_sub(1);
        }
    }
    UserAddress(request.last).write(&last)?;
    let out_count = UserAddress(request.out_count);
    if !out_count.is_null() {
        out_count.write(&bulk.count)?;
    }
    Ok(0)
}
