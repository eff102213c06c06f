// SPDX-License-Identifier: GPL-2.0

//! The rules that a superblock holds by itself.

use super::{
    DiskSuperblock, Refusal, Superblock, CRC_OFFSET, MAGIC, VERSION_SECTOR, VERSION_STRIPE,
};
use crate::libxfs::format::{
    crc,
    fault::{self, Fault},
    geometry::Features,
    units::div_up,
};

/// Bits of `sb_versionnum` that V5 always has: link counts of 32 bits, aligned inode chunks, log
/// version 2, unwritten extents, directories version 2, and that `sb_features2` is in use.
const V5_VERSION_BITS: u16 = 0x0020 | 0x0080 | 0x0400 | 0x1000 | 0x2000 | 0x8000;
/// Bits of `sb_features2` that V5 always has: lazy counters, attributes version 2, project
/// numbers of 32 bits, checksums.
const V5_FEATURES2_BITS: u32 = 0x0002 | 0x0008 | 0x0080 | 0x0100;
/// Quota flags that only V4 uses, for group and project quota together.
const V4_QUOTA_FLAGS: u16 = 0x0010 | 0x0020;

const BLOCK_LOG: core::ops::RangeInclusive<u8> = 10..=16;
const SECTOR_LOG: core::ops::RangeInclusive<u8> = 9..=15;
const INODE_LOG: core::ops::RangeInclusive<u8> = 9..=11;
/// Bytes of an allocation group: 16 MiB to 1 TiB.
const AG_BYTES: core::ops::RangeInclusive<u64> = 1 << 24..=1 << 40;
/// The last group may be short, but not shorter than this.
pub(crate) const MIN_AG_BLOCKS: u32 = 64;
const MAX_LOG_BLOCKS: u32 = 1024 * 1024;
const MAX_LOG_BYTES: u64 = (2 << 30) - (10 << 20);
const MAX_LOG_RECORD: u32 = 256 * 1024;
/// Bytes of a realtime extent: 4 KiB to 1 GiB.
const RT_EXTENT_BYTES: core::ops::RangeInclusive<u64> = 4096..=1 << 30;
const MAX_RT_GROUP_BLOCKS: u32 = (1 << 31) - 1;
const RT_BITMAP_HEADER: u64 = 48;

fn ensure(holds: bool, field: &'static str) -> Result<(), Fault> {
    fault::ensure(holds, "superblock", field)
}

/// Whether `size` is 2 to the power of `log`.
fn is_power(size: u32, log: u8) -> bool {
    1u32.checked_shl(u32::from(log)) == Some(size)
}

/// Bits needed to count up to `n`: log2 rounded up.
fn log2_up(n: u64) -> u32 {
    match n.checked_sub(1) {
        None | Some(0) => 0,
        Some(last) => u64::BITS.saturating_sub(last.leading_zeros()),
    }
}

/// Holds the sector `bytes` to every rule that a superblock holds by itself.
///
/// # Errors
///
/// The first reason to refuse it. Features that only forbid writing, or that need a device, are
/// left to [`Superblock::admit`].
pub fn verify(bytes: &[u8]) -> Result<Superblock<'_>, Refusal> {
    let sb = DiskSuperblock::view(bytes).ok_or(Refusal::NotXfs)?;
    if sb.magicnum.get() != MAGIC {
        return Err(Refusal::NotXfs);
    }
    // A version of 4 with a checksum may be a V5 superblock that lost a bit.
    if sb.version() != 5 && (sb.version() > 5 || sb.crc == [0; 4]) {
        return Err(Refusal::Version(sb.version()));
    }
    let sector = usize::from(sb.sectsize.get());
    // A sector size beyond the bytes at hand is caught below; the checksum covers a whole sector.
    let covered = bytes.get(..sector).unwrap_or(bytes);
    if !crc::block_crc_is_good(covered, CRC_OFFSET) {
        return Err(Refusal::Corrupt(Fault::checksum("superblock")));
    }
    if sb.version() != 5 {
        return Err(Refusal::Version(sb.version()));
    }
    let unknown = sb.features_incompat.get() & !Features::INCOMPAT_KNOWN;
    if unknown != 0 {
        return Err(Refusal::UnknownIncompat(unknown));
    }
    check(sb).map_err(Refusal::Corrupt)?;
    if bytes.len() < sector {
        return Err(Refusal::Corrupt(Fault::corrupt("superblock", "sectsize")));
    }
    Ok(Superblock(sb))
}

fn check(sb: &DiskSuperblock) -> Result<(), Fault> {
    ensure(
        sb.versionnum.get() & V5_VERSION_BITS == V5_VERSION_BITS,
        "versionnum",
    )?;
    ensure(
        sb.features2.get() & V5_FEATURES2_BITS == V5_FEATURES2_BITS,
        "features2",
    )?;
    check_sizes(sb)?;
    check_groups(sb)?;
    check_inode_alignment(sb)?;
    check_log(sb)?;
    check_realtime(sb)?;
    check_stripe(sb)?;
    ensure(sb.qflags.get() & V4_QUOTA_FLAGS == 0, "qflags")?;
    ensure(sb.shared_vn == 0, "shared_vn")?;
    ensure(sb.imax_pct <= 100, "imax_pct")
}

fn check_sizes(sb: &DiskSuperblock) -> Result<(), Fault> {
    ensure(SECTOR_LOG.contains(&sb.sectlog), "sectlog")?;
    ensure(
        is_power(u32::from(sb.sectsize.get()), sb.sectlog),
        "sectsize",
    )?;
    ensure(BLOCK_LOG.contains(&sb.blocklog), "blocklog")?;
    ensure(is_power(sb.blocksize.get(), sb.blocklog), "blocksize")?;
    ensure(
        sb.dirblklog.saturating_add(sb.blocklog) <= *BLOCK_LOG.end(),
        "dirblklog",
    )?;
    ensure(INODE_LOG.contains(&sb.inodelog), "inodelog")?;
    ensure(
        is_power(u32::from(sb.inodesize.get()), sb.inodelog),
        "inodesize",
    )?;
    ensure(
        sb.blocklog.checked_sub(sb.inodelog) == Some(sb.inopblog),
        "inopblog",
    )?;
    ensure(
        is_power(u32::from(sb.inopblock.get()), sb.inopblog),
        "inopblock",
    )
}

fn check_groups(sb: &DiskSuperblock) -> Result<(), Fault> {
    let blocks = u64::from(sb.agblocks.get());
    let bytes = blocks.saturating_mul(u64::from(sb.blocksize.get()));
    ensure(AG_BYTES.contains(&bytes), "agblocks")?;
    ensure(u32::from(sb.agblklog) == log2_up(blocks), "agblklog")?;

    let count = u64::from(sb.agcount.get());
    let total = sb.dblocks.get();
    ensure(count != 0, "agcount")?;
    ensure(total != 0, "dblocks")?;
    ensure(total <= count.saturating_mul(blocks), "dblocks")?;
    let least = count
        .saturating_sub(1)
        .saturating_mul(blocks)
        .saturating_add(u64::from(MIN_AG_BLOCKS));
    ensure(total >= least, "dblocks")?;
    // A block number holds the group above the block in it, in 52 bits of a file's map.
    let bits = log2_up(count).saturating_add(u32::from(sb.agblklog));
    ensure(bits <= 52, "agcount")?;
    // Within a group inodes are numbered in 32 bits.
    ensure(sb.agblklog.saturating_add(sb.inopblog) <= 32, "inopblog")
}

fn check_inode_alignment(sb: &DiskSuperblock) -> Result<(), Fault> {
    let align = sb.inoalignmt.get();
    let sparse = sb.spino_align.get();
    if !sb.features().sparse_inodes() {
        return ensure(sparse == 0, "spino_align");
    }
    // Sparse chunks are found by rounding down to the chunk's size, so all must be so aligned.
    let chunk = u32::from(sb.inodesize.get())
        .saturating_mul(64)
        .checked_shr(u32::from(sb.blocklog))
        .unwrap_or(0);
    ensure(align == chunk, "inoalignmt")?;
    ensure(
        sparse == 0 || (sparse <= align && align.checked_rem(sparse) == Some(0)),
        "spino_align",
    )
}

fn check_log(sb: &DiskSuperblock) -> Result<(), Fault> {
    let blocks = sb.logblocks.get();
    ensure(blocks <= MAX_LOG_BLOCKS, "logblocks")?;
    let bytes = u64::from(blocks).saturating_mul(u64::from(sb.blocksize.get()));
    ensure(bytes <= MAX_LOG_BYTES, "logblocks")?;
    if sb.versionnum.get() & VERSION_SECTOR != 0 {
        ensure(
            is_power(u32::from(sb.logsectsize.get()), sb.logsectlog),
            "logsectsize",
        )?;
        // Below the basic block, or above the largest sector, no log could be addressed.
        ensure(SECTOR_LOG.contains(&sb.logsectlog), "logsectlog")?;
    } else {
        ensure(sb.logsectsize.get() == 0, "logsectsize")?;
        ensure(sb.logsectlog == 0, "logsectlog")?;
    }
    let unit = sb.logsunit.get();
    ensure(
        unit <= 1 || (unit <= MAX_LOG_RECORD && unit.checked_rem(sb.blocksize.get()) == Some(0)),
        "logsunit",
    )?;
    check_log_place(sb)
}

/// An internal log lies within one group.
fn check_log_place(sb: &DiskSuperblock) -> Result<(), Fault> {
    let start = sb.logstart.get();
    if start == 0 {
        return Ok(());
    }
    let bits = u32::from(sb.agblklog);
    let group = start.checked_shr(bits).unwrap_or(0);
    let first = start & 1u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1);
    ensure(group < u64::from(sb.agcount.get()), "logstart")?;
    let length = sb
        .dblocks
        .get()
        .saturating_sub(group.saturating_mul(u64::from(sb.agblocks.get())))
        .min(u64::from(sb.agblocks.get()));
    ensure(
        first.saturating_add(u64::from(sb.logblocks.get())) <= length,
        "logblocks",
    )
}

fn check_realtime(sb: &DiskSuperblock) -> Result<(), Fault> {
    let features = sb.features();
    let extent = sb.rextsize.get();
    let bytes = u64::from(extent).saturating_mul(u64::from(sb.blocksize.get()));
    if features.zoned() {
        ensure(extent == 1, "rextsize")?;
    } else {
        ensure(RT_EXTENT_BYTES.contains(&bytes), "rextsize")?;
    }
    if features.metadir() {
        check_realtime_groups(sb)?;
    }
    if features.zoned() {
        check_zones(sb)?;
    }

    let blocks = sb.rblocks.get();
    let extents = sb.rextents.get();
    if blocks == 0 {
        ensure(extents == 0, "rextents")?;
        ensure(sb.rbmblocks.get() == 0, "rbmblocks")?;
        ensure(sb.rextslog == 0, "rextslog")?;
        return ensure(sb.frextents.get() == 0, "frextents");
    }
    ensure(
        extents != 0 && blocks.checked_div(u64::from(extent)) == Some(extents),
        "rextents",
    )?;
    ensure(
        extents.checked_ilog2() == Some(u32::from(sb.rextslog)),
        "rextslog",
    )?;
    let (covered, payload) = if features.metadir() {
        (
            u64::from(sb.rgextents.get()),
            u64::from(sb.blocksize.get()).saturating_sub(RT_BITMAP_HEADER),
        )
    } else {
        (extents, u64::from(sb.blocksize.get()))
    };
    let bitmap = if features.zoned() {
        0
    } else {
        div_up(covered, payload.saturating_mul(8)).unwrap_or(u64::MAX)
    };
    ensure(u64::from(sb.rbmblocks.get()) == bitmap, "rbmblocks")?;
    ensure(
        !features.zoned() || extents.checked_rem(u64::from(sb.rgextents.get())) == Some(0),
        "rgextents",
    )
}

fn check_realtime_groups(sb: &DiskSuperblock) -> Result<(), Fault> {
    ensure(sb.pad == [0; 7], "pad")?;
    let extent = sb.rextsize.get();
    let group = sb.rgextents.get();
    ensure(extent != 0, "rextsize")?;
    ensure(
        group >= 2
            && MAX_RT_GROUP_BLOCKS
                .checked_div(extent)
                .is_some_and(|most| group <= most),
        "rgextents",
    )?;
    let groups = div_up(sb.rextents.get(), u64::from(group));
    ensure(Some(u64::from(sb.rgcount.get())) == groups, "rgcount")?;
    ensure(sb.rgcount.get() != u32::MAX, "rgcount")?;
    ensure(sb.features().exchange_range(), "features_incompat")?;
    let blocks = u64::from(group).saturating_mul(u64::from(extent));
    ensure(u32::from(sb.rgblklog) == log2_up(blocks), "rgblklog")
}

fn check_zones(sb: &DiskSuperblock) -> Result<(), Fault> {
    ensure(sb.frextents.get() == 0, "frextents")?;
    let start = sb.rtstart.get();
    ensure(start == 0 || start >= sb.dblocks.get(), "rtstart")?;
    let reserved = sb.rtreserved.get();
    ensure(reserved == 0 || reserved < sb.rblocks.get(), "rtreserved")
}

fn check_stripe(sb: &DiskSuperblock) -> Result<(), Fault> {
    let unit = u64::from(sb.unit.get());
    let width = u64::from(sb.width.get());
    ensure(
        (unit != 0) == (sb.versionnum.get() & VERSION_STRIPE != 0),
        "unit",
    )?;
    if unit == 0 {
        return ensure(width == 0, "width");
    }
    let bytes = width.saturating_mul(u64::from(sb.blocksize.get()));
    ensure(
        bytes <= i32::MAX as u64 && width >= unit && width.checked_rem(unit) == Some(0),
        "width",
    )
}
