// SPDX-License-Identifier: GPL-2.0

//! Buffers: chunks that are put where they belong, and blocks of new inodes.

use super::{basic_blocks, Recovery, Replay};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        ag::{agf, agfl, agi},
        attr::{leaf, remote},
        btree::{self, Tree, TreeKind},
        crc, da,
        dir::{data, free, leaf as dir_leaf},
        fault::Fault,
        geometry::Geometry,
        inode::{self, cluster, RawInode},
        kind::Kind,
        log::{
            buffer::{
                BufferItem, Tag, FLAGS_QUOTA, FLAG_GROUP_QUOTA, FLAG_INODES, FLAG_USER_QUOTA,
            },
            icreate::InodeCreate,
            item::ItemKind,
        },
        quota::{self, QuotaType},
        rt::RtFile,
        sb, stamp, symlink,
        units::{AgInode, DiskAddr, Lsn},
    },
    store::Run,
};
use core::mem::offset_of;
use zerocopy::{byteorder::big_endian::U32, FromBytes};

const NAME: &str = ItemKind::Buffer.name();

/// What a block with that tag is, by its magic number; `None` when that does not fit the tag.
fn kind_of(geo: &Geometry, tag: Tag, bytes: &[u8]) -> Option<Kind> {
    let (magic, _) = U32::ref_from_prefix(bytes).ok()?;
    let magic = magic.get();
    let magic16 = (magic >> 16) as u16;
    let da_magic = da::magic_of(bytes);
    let has_rt_headers = geo.features.metadir();
    let is_dir = matches!(
        tag,
        Tag::DirBlock | Tag::DirData | Tag::DirFree | Tag::DirLeaf1 | Tag::DirLeafN
    );
    if is_dir && bytes.len() != geo.dir_block_size() as usize {
        // One of several pieces of a block, which lie apart. Where the others are it cannot tell.
        return (bytes.len() < geo.dir_block_size() as usize).then_some(Kind::Raw);
    }
    let (fits, kind) = match tag {
        // Pieces of a block that lie apart: the kernel's driver does not tell what they are of, and
        // the checksum is in what was logged.
        Tag::Unknown => return Some(Kind::Raw),
        Tag::UserQuota | Tag::ProjectQuota | Tag::GroupQuota => {
            (magic16 == quota::MAGIC, Kind::Dquots)
        }
        Tag::Btree => (true, Kind::Btree(tree_of(magic)?)),
        Tag::Agf => (magic == agf::MAGIC, Kind::Agf),
        Tag::Agfl => (magic == agfl::MAGIC, Kind::Agfl),
        Tag::Agi => (magic == agi::MAGIC, Kind::Agi),
        Tag::Inodes => (magic16 == inode::MAGIC, Kind::InodeCluster),
        Tag::Symlink => (magic == symlink::MAGIC, Kind::Symlink),
        Tag::DirBlock => (magic == data::BLOCK_MAGIC, Kind::DirBlock),
        Tag::DirData => (magic == data::DATA_MAGIC, Kind::DirData),
        Tag::DirFree => (magic == free::FREE_MAGIC, Kind::DirFree),
        Tag::DirLeaf1 => (da_magic == Some(dir_leaf::LEAF1_MAGIC), Kind::DirLeaf),
        Tag::DirLeafN => (da_magic == Some(dir_leaf::LEAFN_MAGIC), Kind::DirTree),
        // Of either kind of tree; a node's rules are those of both.
        Tag::DaNode => (
            da_magic == Some(da::NODE_MAGIC),
            if bytes.len() == geo.block_size as usize {
                Kind::AttrTree
            } else {
                Kind::DirTree
            },
        ),
        Tag::AttrLeaf => (da_magic == Some(leaf::LEAF_MAGIC), Kind::AttrTree),
        Tag::AttrRemote => (magic == remote::REMOTE_MAGIC, Kind::AttrRemote),
        Tag::Superblock => (magic == sb::MAGIC, Kind::Superblock),
        Tag::RtBitmap => (
            !has_rt_headers || stamp::is_rt_bitmap(magic),
            Kind::Rt(RtFile::Bitmap),
        ),
        Tag::RtSummary => (
            !has_rt_headers || stamp::is_rt_summary(magic),
            Kind::Rt(RtFile::Summary),
        ),
    };
    fits.then_some(kind)
}

/// The B+tree of a magic number.
fn tree_of(magic: u32) -> Option<TreeKind> {
    Some(match magic {
        btree::Bno::MAGIC => TreeKind::Bno,
        btree::Cnt::MAGIC => TreeKind::Cnt,
        btree::Ino::MAGIC => TreeKind::Ino,
        btree::Fino::MAGIC => TreeKind::Fino,
        btree::Rmap::MAGIC => TreeKind::Rmap,
        btree::Refcount::MAGIC => TreeKind::Refcount,
        btree::Bmap::MAGIC => TreeKind::Bmap,
        btree::RtRmap::MAGIC => TreeKind::RtRmap,
        btree::RtRefcount::MAGIC => TreeKind::RtRefcount,
        _ => return None,
    })
}

/// The kind of quota whose records a buffer has.
const fn quota_of(flags: u16) -> QuotaType {
    if flags & FLAG_USER_QUOTA != 0 {
        QuotaType::User
    } else if flags & FLAG_GROUP_QUOTA != 0 {
        QuotaType::Group
    } else {
        QuotaType::Project
    }
}

impl<R: Replay> Recovery<'_, R> {
    /// Replays a buffer that was not freed, unless it is newer or was freed later.
    pub(super) fn buffer(&mut self, item: &BufferItem<'_>) -> Result {
        let run = Run {
            at: item.at,
            len: item.len,
        };
        if self.is_freed(run.at, run.len) {
            return Ok(());
        }
        let is_quota = item.flags & FLAGS_QUOTA != 0;
        if is_quota && (!self.options.quota || self.survey.is_off(quota_of(item.flags))) {
            return Ok(());
        }
        let mut block = self.hold(run, NAME)?;
        let torn = self.is_torn(kind_of(&self.geo, item.tag, &block), run, &block);
        if !torn && self.is_newer(item.tag, &block) {
            // What is there will be used as it is.
            return match kind_of(&self.geo, item.tag, &block) {
                Some(kind) => self.verify(kind, run.at, &block),
                None => Ok(()),
            };
        }
        if item.flags & FLAG_INODES != 0 {
            self.unlinked(item, &mut block)?;
            return self.keep(block, run, Kind::InodeCluster, false);
        }
        for change in item.changes() {
            let (start, bytes) = change.map_err(|fault| Error::log(fault, self.lsn))?;
            let into = block
                .get_mut(start..)
                .and_then(|rest| rest.get_mut(..bytes.len()))
                .ok_or(self.corrupt(NAME, "blf_data_map"))?;
            into.copy_from_slice(bytes);
        }
        let kind = kind_of(&self.geo, item.tag, &block).ok_or(Error::replay(
            Fault::corrupt(NAME, "magic"),
            self.lsn,
            run.at,
        ))?;
        if kind == Kind::Superblock && run.at == DiskAddr(0) {
            self.superblock(&block)?;
        }
        match torn {
            true => self.keep_torn(block, run, kind, true),
            false => self.keep(block, run, kind, true),
        }
    }

    fn verify(&self, kind: Kind, at: DiskAddr, block: &[u8]) -> Result {
        kind.verify(&self.geo, at, block)
            .map_err(|fault| Error::replay(fault, self.lsn, at))
    }

    /// Whether what lies in a place is newer than the item. What is of no kind that has an LSN, or
    /// was left there by another file system, is not.
    fn is_newer(&self, tag: Tag, block: &[u8]) -> bool {
        // These may be bare words, which look like anything.
        if matches!(tag, Tag::RtBitmap | Tag::RtSummary) && !self.geo.features.metadir() {
            return false;
        }
        stamp::of_bytes(&self.geo, block)
            .and_then(|stamp| stamp.lsn(&self.geo, block))
            .is_some_and(|lsn| lsn != Lsn(0) && lsn != Lsn(u64::MAX) && lsn >= self.lsn)
    }

    /// Takes over the shape that a changed superblock says: what follows in the log may lie in
    /// groups that were added.
    fn superblock(&mut self, block: &[u8]) -> Result {
        let wrong = |field| {
            let fault = Fault::corrupt("superblock", field);
            Error::replay(fault, self.lsn, DiskAddr(0))
        };
        let (superblock, _) =
            sb::DiskSuperblock::read_from_prefix(block).map_err(|_| wrong("length"))?;
        let mut whole = kernel::alloc::KVVec::new();
        whole.extend_from_slice(block, kernel::alloc::flags::GFP_KERNEL)?;
        Kind::Superblock.seal(&self.geo, &mut whole, Some(self.lsn));
        let verified = sb::verify(&whole)
            .map_err(|refusal| Error::replay(refusal.fault(), self.lsn, DiskAddr(0)))?;
        let geo = Geometry::from_superblock(&verified);
        // Nothing that an open file system does changes these.
        let same = geo.block_size == self.geo.block_size
            && geo.sector_size == self.geo.sector_size
            && geo.inode_size == self.geo.inode_size
            && geo.ag_blocks == self.geo.ag_blocks
            && geo.log_start == self.geo.log_start
            && geo.log_blocks == self.geo.log_blocks;
        if !same {
            return Err(wrong("blocksize"));
        }
        if superblock.agcount.get() < self.geo.ag_count {
            return Err(wrong("agcount"));
        }
        if geo.rt_group_count < self.geo.rt_group_count {
            return Err(wrong("rgcount"));
        }
        self.geo = geo;
        Ok(())
    }

    /// Replays the pointers of lists of unlinked inodes, and nothing else of a cluster: inodes have
    /// items of their own.
    fn unlinked(&mut self, item: &BufferItem<'_>, cluster: &mut [u8]) -> Result {
        let size = (self.geo.inode_size as usize).max(1);
        let within = offset_of!(RawInode, next_unlinked);
        for change in item.changes() {
            let (start, bytes) = change.map_err(|fault| Error::log(fault, self.lsn))?;
            for (index, raw) in cluster.chunks_exact_mut(size).enumerate() {
                let field = index.saturating_mul(size).saturating_add(within);
                let Some(logged) = field
                    .checked_sub(start)
                    .and_then(|at| bytes.get(at..at.checked_add(4)?))
                else {
                    continue;
                };
                // A field that was logged before anything was put there.
                if logged == [0; 4] {
                    return Err(Error::replay(
                        Fault::corrupt(NAME, "di_next_unlinked"),
                        self.lsn,
                        item.at,
                    ));
                }
                // What else is wrong with it must not be hidden.
                let is_whole = crc::block_crc_is_good(raw, inode::CRC_OFFSET);
                if let Some(into) = raw.get_mut(within..).and_then(|raw| raw.get_mut(..4)) {
                    into.copy_from_slice(logged);
                }
                if is_whole {
                    inode::seal(raw);
                }
            }
        }
        Ok(())
    }

    /// Makes new inodes, unless their blocks were freed again.
    pub(super) fn icreate(&mut self, item: &InodeCreate) -> Result {
        const NAME: &str = ItemKind::Icreate.name();

        let lsn = self.lsn;
        item.check(&self.geo)
            .map_err(|fault| Error::log(fault, lsn))?;
        let per_cluster = self.geo.inode_cluster_blocks();
        let len = basic_blocks(&self.geo, per_cluster);
        let clusters = item.blocks.checked_div(per_cluster).unwrap_or(0);
        let place = |index: u32| {
            let block = item.block.checked_add(index.checked_mul(per_cluster)?)?;
            Some((block, self.geo.ag_block_addr(item.ag, block)?))
        };
        let wrong = Error::log(Fault::corrupt(NAME, "icl_agbno"), lsn);
        // All of them were, or none.
        for index in 0..clusters {
            let (_, at) = place(index).ok_or(wrong)?;
            if self.is_freed(at, len) {
                return Ok(());
            }
        }
        for index in 0..clusters {
            let block = index
                .checked_mul(per_cluster)
                .and_then(|blocks| item.block.checked_add(blocks))
                .ok_or(wrong)?;
            let at = self.geo.ag_block_addr(item.ag, block).ok_or(wrong)?;
            let run = Run { at, len };
            let mut cluster = self.hold(run, NAME)?;
            let first = block
                .0
                .checked_mul(self.geo.inodes_per_block)
                .ok_or(wrong)?;
            let first = (item.ag, AgInode(first));
            cluster::fill(&self.geo, first, item.generation, &mut cluster).ok_or(wrong)?;
            self.keep(cluster, run, Kind::InodeCluster, false)?;
        }
        Ok(())
    }
}
