// SPDX-License-Identifier: GPL-2.0

//! `statfs`: how much there is, and how much of it is free.

use crate::{
    fs::{
        inode::Inode,
        mount::Mount, //
    },
    libxfs::format::{
        geometry::Geometry,
        inode::flags::Flags, //
    },
    rust::bindings,
};
use kernel::prelude::*;

/// `XFSB`.
pub(super) const MAGIC: c_ulong = 0x5846_5342;
/// Longest name, in bytes.
const NAME_MAX: c_long = 255;
/// Largest number of an inode, plus one: 56 bits of it are used.
const MAX_INODE_NUMBER: u64 = (1 << 56) - 1;
/// Inodes are allocated in chunks of this many.
const CHUNK: u32 = 64;

/// `super_operations.statfs`.
///
/// # Safety
///
/// Called by the VFS with a dentry of a mounted file system of ours.
pub(super) unsafe extern "C" fn statfs(
    dentry: *mut bindings::dentry,
    out: *mut kernel::bindings::kstatfs,
) -> c_int {
    // SAFETY: By the caller: the dentry has an inode, or it could not be asked.
    let (mount, inode, out) = unsafe {
        (
            Mount::of((*dentry).d_sb),
            Inode::from_vfs((*dentry).d_inode),
            &mut *out.cast::<bindings::kstatfs>(),
        )
    };
    if let Some(mount) = mount {
        fill(mount, inode, out);
    }
    0
}

fn fill(mount: &Mount, inode: &Inode, out: &mut bindings::kstatfs) {
    let geo = mount.geometry();
    let counters = mount.counters();
    let log = geo.log_start.map_or(0, |_| u64::from(geo.log_blocks));

    out.f_type = MAGIC as c_long;
    out.f_namelen = NAME_MAX;
    out.f_bsize = geo.block_size as c_long;
    let device = mount.block_device(crate::libxfs::store::Device::Data);
    // SAFETY: Encodes a number.
    let id = unsafe { bindings::huge_encode_dev(device.map_or(0, |device| device.number())) };
    out.f_fsid.val = [id as i32, (id >> 32) as i32];

    out.f_blocks = geo.data_blocks.saturating_sub(log);
    out.f_bfree = counters.free_blocks.saturating_sub(mount.unavailable());

    // Free space could all become inodes.
    let possible = out.f_bfree.saturating_mul(u64::from(geo.inodes_per_block));
    let mut files = counters
        .inodes
        .saturating_add(possible)
        .min(MAX_INODE_NUMBER);
    if let Some(most) = most_inodes(geo) {
        files = files.min(most);
    }
    out.f_files = files.max(counters.inodes);
    let used = counters.inodes.saturating_sub(counters.free_inodes);
    out.f_ffree = out.f_files.saturating_sub(used);

    let flags = inode.read().core.flags;
    if geo.rt_blocks != 0 && flags.has(Flags::RTINHERIT | Flags::REALTIME) {
        let extent = u64::from(geo.rt_extent_size);
        out.f_bfree = counters.free_rt_extents.saturating_mul(extent);
        out.f_blocks = geo.rt_blocks;
    }
    out.f_bavail = out.f_bfree;
}

/// The most inodes that `imaxpct` allows, in whole chunks; `None` without such a limit.
fn most_inodes(geo: &Geometry) -> Option<u64> {
    if geo.inode_max_percent == 0 {
        return None;
    }
    let chunk = u64::from(
        CHUNK
            .max(geo.inodes_per_block)
            .checked_div(geo.inodes_per_block)?,
    );
    let share = geo
        .data_blocks
        .wrapping_mul(u64::from(geo.inode_max_percent))
        / 100;
    let blocks = share.checked_div(chunk)?.saturating_mul(chunk);
    Some(blocks.saturating_mul(u64::from(geo.inodes_per_block)))
}
