// SPDX-License-Identifier: GPL-2.0

//! The shape of a file system: what its superblock says, and the conversions between units.
//!
//! A [`Geometry`] exists only for a superblock that its verifier accepted, so shifts and sizes
//! here are known to be in range; positions that come from elsewhere on the disk are not, and
//! every conversion of one is checked.

use super::units::{
    AgBlock, AgInode, AgNumber, DiskAddr, FileBlock, FsBlock, InodeNumber, RtBlock, RtExtent,
    RtGroup, RtGroupBlock, BASIC_BLOCK_LOG,
};

/// Feature words of the superblock, with a name for each bit.
///
/// Source: `sb_features_*` in `fs/xfs/libxfs/xfs_format.h` of Linux 7.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `sb_features_compat`.
    pub compat: u32,
    /// `sb_features_ro_compat`.
    pub ro_compat: u32,
    /// `sb_features_incompat`.
    pub incompat: u32,
    /// `sb_features_log_incompat`.
    pub log_incompat: u32,
    /// `sb_versionnum`, for the bits that V5 still keeps there (quota, alignment, …).
    pub version: u16,
    /// `sb_features2`.
    pub features2: u32,
}

macro_rules! feature {
    ($($(#[$doc:meta])* $name:ident, $word:ident, $konst:ident = $bit:expr;)*) => {
        impl Features {
            $(
                #[doc = concat!("The bit behind [`Features::", stringify!($name), "`].")]
                pub const $konst: u32 = 1 << $bit;

                $(#[$doc])*
                #[inline]
                pub const fn $name(&self) -> bool {
                    self.$word & Self::$konst != 0
                }
            )*
        }
    };
}

feature! {
    /// Free-inode B+tree.
    finobt, ro_compat, FINOBT = 0;
    /// Reverse-mapping B+tree.
    rmapbt, ro_compat, RMAPBT = 1;
    /// Shared extents, with the reference-count B+tree.
    reflink, ro_compat, REFLINK = 2;
    /// AGI counts the blocks of the inode B+trees.
    inobtcount, ro_compat, INOBTCOUNT = 3;
    /// Directory entries carry the file's type. Always on in what this project mounts.
    ftype, incompat, FTYPE = 0;
    /// Inode chunks may have holes.
    sparse_inodes, incompat, SPARSE_INODES = 1;
    /// Metadata carries `sb_meta_uuid`, which may differ from the visible uuid.
    meta_uuid, incompat, META_UUID = 2;
    /// Times in 64-bit nanoseconds since 1901.
    bigtime, incompat, BIGTIME = 3;
    /// `xfs_repair` must run before the next mount.
    needs_repair, incompat, NEEDS_REPAIR = 4;
    /// 48-bit data and 32-bit attribute extent counters.
    nrext64, incompat, NREXT64 = 5;
    /// Exchange of extents between files.
    exchange_range, incompat, EXCHANGE_RANGE = 6;
    /// Parent pointers.
    parent, incompat, PARENT = 7;
    /// Metadata directory tree, and realtime groups with it.
    metadir, incompat, METADIR = 8;
    /// Zoned allocator on the realtime device.
    zoned, incompat, ZONED = 9;
    /// Gaps between the zones' ends and the next group.
    zone_gaps, incompat, ZONE_GAPS = 10;
    /// The log may hold changes of attributes.
    logged_attrs, log_incompat, LOGGED_ATTRS = 0;
}

impl Features {
    /// All ro_compat bits that Linux 7.3 knows.
    pub const RO_COMPAT_KNOWN: u32 = Self::FINOBT | Self::RMAPBT | Self::REFLINK | Self::INOBTCOUNT;
    /// All incompat bits that Linux 7.3 knows.
    pub const INCOMPAT_KNOWN: u32 = (1 << 11) - 1;
}

/// The shape of one file system, fixed while it is mounted (but for growing).
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Features.
    pub features: Features,
    /// The uuid that users see (`sb_uuid`).
    pub uuid: [u8; 16],
    /// The uuid that metadata blocks carry: `sb_meta_uuid` if that feature is on, else `sb_uuid`.
    pub meta_uuid: [u8; 16],
    /// Label, padded with zeroes.
    pub label: [u8; 12],
    /// Bytes in a block: 1024 to 65536.
    pub block_size: u32,
    /// log2 of `block_size`.
    pub block_log: u8,
    /// Bytes in a sector of the data device: 512 to 32768.
    pub sector_size: u32,
    /// log2 of `sector_size`.
    pub sector_log: u8,
    /// Bytes in an inode: 512 to 2048.
    pub inode_size: u32,
    /// log2 of `inode_size`.
    pub inode_log: u8,
    /// Inodes in a block.
    pub inodes_per_block: u32,
    /// log2 of `inodes_per_block`.
    pub inodes_per_block_log: u8,
    /// Blocks of the data device.
    pub data_blocks: u64,
    /// Allocation groups.
    pub ag_count: u32,
    /// Blocks in an allocation group (the last may be shorter).
    pub ag_blocks: u32,
    /// Bits of the block number within a group: log2 of `ag_blocks`, rounded up.
    pub ag_block_log: u8,
    /// Inode of the root directory.
    pub root_inode: InodeNumber,
    /// Root of the metadata directory tree, with `metadir`.
    pub metadir_inode: Option<InodeNumber>,
    /// Alignment of inode chunks, in blocks.
    pub inode_alignment: u32,
    /// Alignment of sparse inode chunks, in blocks.
    pub sparse_inode_alignment: u32,
    /// Share of the space that inodes may take, in percent; 0 is no limit.
    pub inode_max_percent: u8,
    /// log2 of blocks in a directory block.
    pub dir_block_log: u8,
    /// Stripe unit of the data device, in blocks; 0 if none.
    pub stripe_unit: u32,
    /// Stripe width of the data device, in blocks; 0 if none.
    pub stripe_width: u32,
    /// First block of the internal log, or `None` with a log on its own device.
    pub log_start: Option<FsBlock>,
    /// Blocks of the log.
    pub log_blocks: u32,
    /// Bytes in a sector of the log device.
    pub log_sector_size: u32,
    /// Stripe unit of the log in bytes; 0 or 1 mean none.
    pub log_stripe_unit: u32,
    /// Blocks of the realtime section; 0 if there is none.
    pub rt_blocks: u64,
    /// Realtime extents.
    pub rt_extents: u64,
    /// Blocks in a realtime extent.
    pub rt_extent_size: u32,
    /// `sb_rextslog`.
    pub rt_extents_log: u8,
    /// Blocks of the realtime bitmap (without groups).
    pub rt_bitmap_blocks: u32,
    /// Inode of the realtime bitmap (without groups).
    pub rt_bitmap_inode: Option<InodeNumber>,
    /// Inode of the realtime summary (without groups).
    pub rt_summary_inode: Option<InodeNumber>,
    /// Realtime groups; 0 without `metadir`.
    pub rt_group_count: u32,
    /// Realtime extents in a group.
    pub rt_group_extents: u32,
    /// Bits of the block number within a realtime group.
    pub rt_group_block_log: u8,
    /// First block of an internal realtime section on the data device; 0 if on its own device.
    pub rt_start: u64,
    /// Inode of user quota (without `metadir`), and what follows: group, project.
    pub quota_inodes: [Option<InodeNumber>; 3],
    /// `sb_qflags`.
    pub quota_flags: u16,
}

/// A shift that cannot overflow: out of range gives 0, as no verified geometry asks for it.
#[inline]
const fn shl(v: u64, by: u8) -> u64 {
    match v.checked_shl(by as u32) {
        Some(v) => v,
        None => 0,
    }
}

#[inline]
const fn shr(v: u64, by: u8) -> u64 {
    match v.checked_shr(by as u32) {
        Some(v) => v,
        None => 0,
    }
}

#[inline]
const fn low_bits(v: u64, bits: u8) -> u64 {
    v & shl(1, bits).wrapping_sub(1)
}

impl Geometry {
    /// Basic blocks (512 bytes) in a block.
    #[inline]
    pub const fn basic_blocks_per_block(&self) -> u32 {
        self.block_size >> BASIC_BLOCK_LOG
    }

    /// Bytes in a directory block.
    #[inline]
    pub const fn dir_block_size(&self) -> u32 {
        shl(self.block_size as u64, self.dir_block_log) as u32
    }

    /// Blocks of group `ag`; the last group may be short. `None` for a group that is not there.
    pub const fn ag_length(&self, ag: AgNumber) -> Option<u32> {
        if ag.0 >= self.ag_count {
            return None;
        }
        let start = match (ag.0 as u64).checked_mul(self.ag_blocks as u64) {
            Some(v) => v,
            None => return None,
        };
        match self.data_blocks.checked_sub(start) {
            Some(left) if left >= self.ag_blocks as u64 => Some(self.ag_blocks),
            Some(left) => Some(left as u32),
            None => None,
        }
    }

    /// Joins group and block; `None` outside the device.
    pub const fn fs_block(&self, ag: AgNumber, block: AgBlock) -> Option<FsBlock> {
        match self.ag_length(ag) {
            Some(len) if block.0 < len => Some(FsBlock(
                shl(ag.0 as u64, self.ag_block_log) | block.0 as u64,
            )),
            _ => None,
        }
    }

    /// Splits a block of the data device; `None` outside the device.
    pub const fn split_fs_block(&self, block: FsBlock) -> Option<(AgNumber, AgBlock)> {
        let ag = shr(block.0, self.ag_block_log);
        if ag > u32::MAX as u64 {
            return None;
        }
        let ag = AgNumber(ag as u32);
        let at = AgBlock(low_bits(block.0, self.ag_block_log) as u32);
        match self.ag_length(ag) {
            Some(len) if at.0 < len => Some((ag, at)),
            _ => None,
        }
    }

    /// Whether `len` blocks from `block` lie in one group of the data device.
    pub const fn fs_extent_is_valid(&self, block: FsBlock, len: u64) -> bool {
        match self.split_fs_block(block) {
            Some((ag, at)) => match (self.ag_length(ag), (at.0 as u64).checked_add(len)) {
                (Some(ag_len), Some(end)) => len > 0 && end <= ag_len as u64,
                _ => false,
            },
            None => false,
        }
    }

    /// Where a block of a group lies on the data device; `None` outside it.
    pub const fn ag_block_addr(&self, ag: AgNumber, block: AgBlock) -> Option<DiskAddr> {
        match self.ag_length(ag) {
            Some(len) if block.0 < len => {}
            _ => return None,
        }
        let linear = match (ag.0 as u64).checked_mul(self.ag_blocks as u64) {
            Some(v) => v,
            None => return None,
        };
        match linear.checked_add(block.0 as u64) {
            Some(v) => Some(DiskAddr(shl(
                v,
                self.block_log.saturating_sub(BASIC_BLOCK_LOG),
            ))),
            None => None,
        }
    }

    /// Where a block of the data device lies on it; `None` outside it.
    pub const fn fs_block_addr(&self, block: FsBlock) -> Option<DiskAddr> {
        match self.split_fs_block(block) {
            Some((ag, at)) => self.ag_block_addr(ag, at),
            None => None,
        }
    }

    /// Where the sector-sized header number `index` (superblock 0, AGF 1, AGI 2, AGFL 3) of a
    /// group lies; `None` for a group that is not there.
    pub const fn ag_header_addr(&self, ag: AgNumber, index: u32) -> Option<DiskAddr> {
        match self.ag_block_addr(ag, AgBlock(0)) {
            Some(start) => {
                let sector = shl(
                    index as u64,
                    self.sector_log.saturating_sub(BASIC_BLOCK_LOG),
                );
                start.checked_add(sector)
            }
            None => None,
        }
    }

    /// Group and block of the data device that hold the basic block `at`; `None` outside it.
    pub const fn split_addr(&self, at: DiskAddr) -> Option<(AgNumber, AgBlock)> {
        let linear = shr(at.0, self.block_log.saturating_sub(BASIC_BLOCK_LOG));
        match (
            linear.checked_div(self.ag_blocks as u64),
            linear.checked_rem(self.ag_blocks as u64),
        ) {
            (Some(ag), Some(block)) if linear < self.data_blocks => {
                Some((AgNumber(ag as u32), AgBlock(block as u32)))
            }
            _ => None,
        }
    }

    /// Whether a block of group `ag` can hold anything but the group's headers.
    pub const fn ag_block_is_valid(&self, ag: AgNumber, block: AgBlock) -> bool {
        match self.ag_length(ag) {
            Some(length) => block.0 >= self.ag_header_blocks() && block.0 < length,
            None => false,
        }
    }

    /// Whether `len` blocks from `block` lie in group `ag`, behind its headers.
    pub const fn ag_extent_is_valid(&self, ag: AgNumber, block: AgBlock, len: u32) -> bool {
        match (self.ag_length(ag), block.0.checked_add(len)) {
            (Some(length), Some(end)) => {
                len > 0 && block.0 >= self.ag_header_blocks() && end <= length
            }
            _ => false,
        }
    }

    /// The inodes that group `ag` could hold, as first and last number; `None` for a group that is
    /// not there. Chunks are aligned, so a few blocks at both ends cannot hold inodes.
    pub const fn ag_inode_range(&self, ag: AgNumber) -> Option<(AgInode, AgInode)> {
        let length = match self.ag_length(ag) {
            Some(length) => length,
            None => return None,
        };
        let align = self.inode_cluster_alignment();
        let first = match self.ag_header_blocks().checked_next_multiple_of(align) {
            Some(first) => first,
            None => return None,
        };
        let end = match length.checked_rem(align) {
            Some(rest) => length.saturating_sub(rest),
            None => return None,
        };
        let last = shl(end as u64, self.inodes_per_block_log).saturating_sub(1);
        let first = shl(first as u64, self.inodes_per_block_log);
        Some((AgInode(first as u32), AgInode(last as u32)))
    }

    /// Whether group `ag` could hold this inode.
    pub const fn ag_inode_is_valid(&self, ag: AgNumber, inode: AgInode) -> bool {
        match self.ag_inode_range(ag) {
            Some((first, last)) => inode.0 >= first.0 && inode.0 <= last.0,
            None => false,
        }
    }

    /// Bytes of an inode cluster, the unit in which inodes are read and written: 32 inodes where
    /// chunks are aligned to that, else 8 KiB.
    pub const fn inode_cluster_bytes(&self) -> u64 {
        let base = 8192;
        let scaled = shl((self.inode_size >> 8) as u64, 13);
        if self.inode_alignment as u64 >= shr(scaled, self.block_log) {
            scaled
        } else {
            base
        }
    }

    /// Blocks of an inode cluster, at least 1.
    pub const fn inode_cluster_blocks(&self) -> u32 {
        let bytes = self.inode_cluster_bytes();
        if bytes <= self.block_size as u64 {
            1
        } else {
            shr(bytes, self.block_log) as u32
        }
    }

    /// Blocks to which inode clusters are aligned, at least 1.
    pub const fn inode_cluster_alignment(&self) -> u32 {
        if self.inode_alignment >= self.inode_cluster_blocks() && self.inode_alignment != 0 {
            self.inode_alignment
        } else {
            1
        }
    }

    /// Bits of an inode number within a group.
    #[inline]
    pub const fn ag_inode_bits(&self) -> u8 {
        self.ag_block_log.saturating_add(self.inodes_per_block_log)
    }

    /// Joins group and inode in the group; `None` for a group that is not there.
    pub const fn inode_number(&self, ag: AgNumber, inode: AgInode) -> Option<InodeNumber> {
        if ag.0 >= self.ag_count {
            return None;
        }
        Some(InodeNumber(
            shl(ag.0 as u64, self.ag_inode_bits()) | inode.0 as u64,
        ))
    }

    /// Splits an inode number; `None` where no inode can be: outside the device, or in the blocks
    /// of the group's headers.
    pub const fn split_inode(&self, inode: InodeNumber) -> Option<(AgNumber, AgInode)> {
        let bits = self.ag_inode_bits();
        let ag = shr(inode.0, bits);
        if ag >= self.ag_count as u64 {
            return None;
        }
        let ag = AgNumber(ag as u32);
        let at = low_bits(inode.0, bits);
        let block = shr(at, self.inodes_per_block_log);
        // The four header sectors may share a block or take up to four.
        let first = self.ag_header_blocks() as u64;
        match self.ag_length(ag) {
            Some(len) if block >= first && block < len as u64 => Some((ag, AgInode(at as u32))),
            _ => None,
        }
    }

    /// Blocks that the four sector-sized headers at the start of each group take.
    pub const fn ag_header_blocks(&self) -> u32 {
        let bytes = shl(4, self.sector_log);
        let up = bytes.saturating_add((self.block_size as u64).saturating_sub(1));
        shr(up, self.block_log) as u32
    }

    /// Block of its group in which an inode lies, and its index in that block.
    pub const fn inode_block(&self, inode: AgInode) -> (AgBlock, u32) {
        (
            AgBlock(shr(inode.0 as u64, self.inodes_per_block_log) as u32),
            low_bits(inode.0 as u64, self.inodes_per_block_log) as u32,
        )
    }

    /// Blocks of a realtime group that is not the last; the whole section without groups.
    pub const fn rt_group_blocks(&self) -> u64 {
        if self.rt_group_count == 0 {
            return self.rt_blocks;
        }
        match (self.rt_group_extents as u64).checked_mul(self.rt_extent_size as u64) {
            Some(v) => v,
            None => 0,
        }
    }

    /// Blocks of realtime group `group`; the last may be short.
    pub const fn rt_group_length(&self, group: RtGroup) -> Option<u64> {
        if self.rt_group_count == 0 || group.0 >= self.rt_group_count {
            return None;
        }
        let size = self.rt_group_blocks();
        // Blocks past the last whole realtime extent belong to no group.
        let usable = match self.rt_extents.checked_mul(self.rt_extent_size as u64) {
            Some(v) => v,
            None => return None,
        };
        let start = match (group.0 as u64).checked_mul(size) {
            Some(v) => v,
            None => return None,
        };
        match usable.checked_sub(start) {
            Some(left) if left >= size => Some(size),
            other => other,
        }
    }

    /// Joins realtime group and block; `None` outside the device.
    pub const fn rt_block(&self, group: RtGroup, block: RtGroupBlock) -> Option<RtBlock> {
        match self.rt_group_length(group) {
            Some(len) if (block.0 as u64) < len => Some(RtBlock(
                shl(group.0 as u64, self.rt_group_block_log) | block.0 as u64,
            )),
            _ => None,
        }
    }

    /// Splits a block of a realtime device with groups; `None` outside it, or without groups.
    pub const fn split_rt_block(&self, block: RtBlock) -> Option<(RtGroup, RtGroupBlock)> {
        let group = shr(block.0, self.rt_group_block_log);
        let at = low_bits(block.0, self.rt_group_block_log);
        if group > u32::MAX as u64 || at > u32::MAX as u64 {
            return None;
        }
        let group = RtGroup(group as u32);
        match self.rt_group_length(group) {
            Some(len) if at < len => Some((group, RtGroupBlock(at as u32))),
            _ => None,
        }
    }

    /// Whether `len` blocks from `block` lie in the realtime section, and in one group of it.
    pub const fn rt_extent_is_valid(&self, block: RtBlock, len: u64) -> bool {
        if len == 0 {
            return false;
        }
        if self.rt_group_count == 0 {
            return match block.0.checked_add(len) {
                Some(end) => end <= self.rt_blocks,
                None => false,
            };
        }
        match self.split_rt_block(block) {
            Some((group, at)) => {
                match (self.rt_group_length(group), (at.0 as u64).checked_add(len)) {
                    (Some(group_len), Some(end)) => end <= group_len,
                    _ => false,
                }
            }
            None => false,
        }
    }

    /// Whether `len` blocks from `block` lie in realtime group `group`, behind the realtime
    /// superblock in the first one.
    pub const fn rt_group_extent_is_valid(
        &self,
        group: RtGroup,
        block: RtGroupBlock,
        len: u32,
    ) -> bool {
        // Zoned devices have no superblock of their own.
        let first = if group.0 == 0 && !self.features.zoned() {
            self.rt_extent_size
        } else {
            0
        };
        match (self.rt_group_length(group), block.0.checked_add(len)) {
            (Some(length), Some(end)) => len > 0 && block.0 >= first && end as u64 <= length,
            _ => false,
        }
    }

    /// Where a realtime block lies on the realtime device (or, with an internal realtime section,
    /// on the data device); `None` outside it.
    pub const fn rt_block_addr(&self, block: RtBlock) -> Option<DiskAddr> {
        let linear = if self.rt_group_count == 0 {
            if block.0 >= self.rt_blocks {
                return None;
            }
            block.0
        } else {
            match self.split_rt_block(block) {
                Some((group, at)) => {
                    // With zone gaps, a group starts where its number says, not where the last
                    // one's usable blocks end.
                    let start = if self.features.zone_gaps() {
                        shl(group.0 as u64, self.rt_group_block_log)
                    } else {
                        (group.0 as u64).saturating_mul(self.rt_group_blocks())
                    };
                    start.saturating_add(at.0 as u64)
                }
                None => return None,
            }
        };
        match linear.checked_add(self.rt_start) {
            Some(v) => Some(DiskAddr(shl(
                v,
                self.block_log.saturating_sub(BASIC_BLOCK_LOG),
            ))),
            None => None,
        }
    }

    /// Realtime extent, within its group where there are groups, that holds a block.
    pub const fn rt_extent_of(&self, block: RtBlock) -> Option<RtExtent> {
        let at = if self.rt_group_count == 0 {
            block.0
        } else {
            match self.split_rt_block(block) {
                Some((_, at)) => at.0 as u64,
                None => return None,
            }
        };
        match at.checked_div(self.rt_extent_size as u64) {
            Some(v) => Some(RtExtent(v)),
            None => None,
        }
    }

    /// File block that holds byte `offset`.
    #[inline]
    pub const fn file_block(&self, offset: u64) -> FileBlock {
        FileBlock(shr(offset, self.block_log))
    }

    /// Blocks that `bytes` take, rounded up.
    #[inline]
    pub const fn blocks_for(&self, bytes: u64) -> u64 {
        let whole = shr(bytes, self.block_log);
        if low_bits(bytes, self.block_log) != 0 {
            whole.saturating_add(1)
        } else {
            whole
        }
    }
}
