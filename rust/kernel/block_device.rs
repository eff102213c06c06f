// SPDX-License-Identifier: GPL-2.0

//! Block devices.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::rust::bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    str::CStr, //
};

/// A block device that is open for as long as this is in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlockDevice(NonNull<bindings::block_device>);

// SAFETY: A block device may be used from any thread.
unsafe impl Send for BlockDevice {}
// SAFETY: As above; what is called here needs no exclusion.
unsafe impl Sync for BlockDevice {}

impl BlockDevice {
    /// Names a device.
    ///
    /// # Safety
    ///
    /// The device is open, and stays so for as long as the value or a copy of it is used.
    pub unsafe fn from_raw(raw: NonNull<bindings::block_device>) -> Self {
        Self(raw)
    }

    /// The device for C.
    pub fn as_ptr(self) -> *mut bindings::block_device {
        self.0.as_ptr()
    }

    /// Its length in units of 512 bytes.
    pub fn sectors(self) -> u64 {
        // SAFETY: Open, by the type's invariant.
        unsafe { bindings::bdev_nr_sectors(self.as_ptr()) }
    }

    /// Bytes in a logical sector, the least that can be read or written.
    pub fn logical_block_size(self) -> u32 {
        // SAFETY: As above.
        unsafe { bindings::bdev_logical_block_size(self.as_ptr()) }
    }

    /// Alignment in bytes that memory for direct I/O needs.
    pub fn dma_alignment(self) -> u32 {
        // SAFETY: As above.
        unsafe { bindings::bdev_dma_alignment(self.as_ptr()) }.saturating_add(1)
    }

    /// Whether it cannot be written.
    pub fn is_read_only(self) -> bool {
        // SAFETY: As above.
        unsafe { bindings::bdev_read_only(self.as_ptr()) }
    }

    /// Whether it can be told that blocks are free.
    pub fn can_discard(self) -> bool {
        // SAFETY: As above.
        unsafe { bindings::bdev_max_discard_sectors(self.as_ptr()) != 0 }
    }

    /// Its number, of major and minor.
    pub fn number(self) -> u32 {
        // SAFETY: As above; the field never changes.
        unsafe { (*self.as_ptr()).bd_dev }
    }

    /// Its number as user space knows it, in 32 bits.
    pub fn encoded_number(self) -> u32 {
        // SAFETY: As above; computes.
        unsafe { bindings::new_encode_dev(self.number()) }
    }

    /// Makes what others read through the device's own page cache come from the disk again.
    pub fn invalidate(self) {
        // SAFETY: As above.
        unsafe { bindings::invalidate_bdev(self.as_ptr()) };
    }

    /// Writes out what others have changed through the device's own page cache, so that requests
    /// see it.
    pub fn write_out(self) -> Result {
        // SAFETY: As above; sleeps.
        kernel::error::to_result(unsafe { bindings::sync_blockdev(self.as_ptr()) })
    }

    /// Freezes what is mounted on it: everything is in its place, until what is returned is dropped.
    pub fn freeze(self) -> Result<Frozen> {
        // SAFETY: As above; sleeps.
        kernel::error::to_result(unsafe { bindings::bdev_freeze(self.as_ptr()) })?;
        Ok(Frozen(self))
    }

    /// Has the device write out its cache.
    pub fn flush(self) -> Result {
        // SAFETY: As above; sleeps.
        kernel::error::to_result(unsafe { bindings::blkdev_issue_flush(self.as_ptr()) })
    }
}

/// A device beside the main one that a super block holds open for itself alone.
pub struct HeldDevice {
    file: NonNull<bindings::file>,
    super_block: NonNull<bindings::super_block>,
}

// SAFETY: The file may be released by any thread.
unsafe impl Send for HeldDevice {}
// SAFETY: A shared reference gives out the device alone.
unsafe impl Sync for HeldDevice {}

impl HeldDevice {
    /// Opens the device at `path`, in the manner (read-only or not) of the super block.
    ///
    /// # Safety
    ///
    /// The super block is alive, and stays so until the value is dropped.
    pub unsafe fn open(path: &CStr, super_block: NonNull<bindings::super_block>) -> Result<Self> {
        // SAFETY: Alive, by the caller.
        let flags = unsafe { (*super_block.as_ptr()).s_flags };
        let mut mode = bindings::BLK_OPEN_READ | bindings::BLK_OPEN_RESTRICT_WRITES;
        if flags & bindings::SB_RDONLY == 0 {
            mode |= bindings::BLK_OPEN_WRITE;
        }
        // SAFETY: The path is a string, the super block alive. It is its own holder, as for its
        // main device.
        let file = from_err_ptr(unsafe {
            bindings::fs_bdev_file_open_by_path(
                path.as_char_ptr(),
                mode,
                super_block.as_ptr().cast(),
                super_block.as_ptr(),
            )
        })?;
        let file = NonNull::new(file).ok_or(ENXIO)?;
        Ok(Self { file, super_block })
    }

    /// The device.
    pub fn device(&self) -> Result<BlockDevice> {
        // SAFETY: The file is an open block device.
        let raw = unsafe { bindings::file_bdev(self.file.as_ptr()) };
        let raw = NonNull::new(raw).ok_or(ENXIO)?;
        // SAFETY: Open until `self` is dropped, which its owner does after all users.
        Ok(unsafe { BlockDevice::from_raw(raw) })
    }
}

impl Drop for HeldDevice {
    fn drop(&mut self) {
        // SAFETY: Opened in `open` for the super block, which is alive by its contract.
        unsafe { bindings::fs_bdev_file_release(self.file.as_ptr(), self.super_block.as_ptr()) };
    }
}

/// A device that is [frozen](BlockDevice::freeze).
#[must_use]
pub struct Frozen(BlockDevice);

impl Drop for Frozen {
    fn drop(&mut self) {
        // SAFETY: Frozen by us, and open still. It fails where someone else has frozen it, too.
        unsafe { bindings::bdev_thaw(self.0.as_ptr()) };
    }
}
