// SPDX-License-Identifier: GPL-2.0

//! Requests to block devices.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::block_device::BlockDevice;
use crate::rust::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A read that someone waits for. Making the request sleeps where it must, and does not fail.
    Needed,
    /// A read of what someone may want soon. Making the request may fail, and so may the device
    /// when it is busy.
    Ahead,
    /// A write. Making the request sleeps where it must, and does not fail.
    Write(Durability),
    /// A write of the log, which others wait for: it is not held back behind other writes.
    Log(Durability),
}

/// What is on stable storage, and not in a cache of the device alone, when a write has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing more than before.
    Cached,
    /// What the request wrote (FUA).
    Stable,
    /// All that was written by requests which had ended when this one was sent, from before this
    /// one is begun (a flush).
    Flushed,
    /// All that was written by requests which had ended when this one was sent, and from before
    /// this one is begun; then what it wrote (a flush, and FUA).
    Ordered,
}

impl Purpose {
    fn operation(self) -> bindings::blk_opf_t {
        let read = bindings::req_op_REQ_OP_READ | bindings::REQ_META;
        let write = bindings::req_op_REQ_OP_WRITE | bindings::REQ_META;
        match self {
            Self::Needed => read,
            Self::Ahead => read | bindings::REQ_RAHEAD,
            Self::Write(durability) => write | durability.flags(),
            Self::Log(durability) => {
                write | bindings::REQ_SYNC | bindings::REQ_IDLE | durability.flags()
            }
        }
    }

    fn flags(self) -> bindings::gfp_t {
        match self {
            Self::Ahead => bindings::GFP_READ_AHEAD,
            Self::Needed | Self::Write(_) | Self::Log(_) => bindings::GFP_NOFS,
        }
    }
}

impl Durability {
    /// Whether what was written before is to be stable first.
    pub fn flushes(self) -> bool {
        matches!(self, Self::Flushed | Self::Ordered)
    }

    fn flags(self) -> bindings::blk_opf_t {
        match self {
            Self::Cached => 0,
            Self::Stable => bindings::REQ_FUA,
            Self::Flushed => bindings::REQ_PREFLUSH,
            Self::Ordered => bindings::REQ_PREFLUSH | bindings::REQ_FUA,
        }
    }
}

/// Whoever is told that a request has ended.
///
/// # Safety
///
/// [`ended`](Completion::ended) must be fit for interrupt context.
pub unsafe trait Completion {
    /// The request has ended, well or with the device's error.
    ///
    /// # Safety
    ///
    /// `this` is what [`Bio::submit`] was given; this is called once for that.
    unsafe fn ended(this: NonNull<Self>, result: Result);
}

/// A request to read or write metadata that is not yet under way.
pub struct Bio(NonNull<bindings::bio>);

impl Bio {
    /// The most pages that a request can have.
    pub const MAX_SEGMENTS: u16 = bindings::BIO_MAX_VECS as u16;

    /// A request for memory in up to `segments` pages (at most
    /// [`MAX_SEGMENTS`](Self::MAX_SEGMENTS)), from `sector` (of 512 bytes) on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, if it is a read ahead.
    pub fn new(device: BlockDevice, sector: u64, segments: u16, purpose: Purpose) -> Result<Self> {
        let (operation, flags) = (purpose.operation(), purpose.flags());
        // SAFETY: The device is open.
        let raw = unsafe { bindings::bio_alloc(device.as_ptr(), segments, operation, flags) };
        let raw = NonNull::new(raw).ok_or(ENOMEM)?;
        // SAFETY: The request is ours.
        unsafe { (*raw.as_ptr()).bi_iter.bi_sector = sector };
        Ok(Self(raw))
    }

    /// Adds memory to read into or write from; false if it does not fit any more, and then nothing was added.
    ///
    /// # Safety
    ///
    /// `memory` is `len` bytes from kmalloc, the page allocator or vmalloc, that no one else touches
    /// until the request has ended; for a write it is initialized.
    #[must_use]
    pub unsafe fn add(&mut self, memory: NonNull<u8>, len: u32) -> bool {
        // SAFETY: The request is ours; the memory is by the caller.
        unsafe { bindings::bio_add_memory(self.0.as_ptr(), memory.as_ptr().cast(), len) }
    }

    /// Sends it off.
    ///
    /// # Safety
    ///
    /// `completion` may be used from any thread until it has been told of the end.
    pub unsafe fn submit<C: Completion>(self, completion: NonNull<C>) {
        let raw = self.0.as_ptr();
        core::mem::forget(self);
        // SAFETY: The request is ours until it is submitted, and from then on `end_io`'s.
        unsafe {
            (*raw).bi_private = completion.as_ptr().cast();
            (*raw).bi_end_io = Some(end_io::<C>);
            bindings::submit_bio(raw);
        }
    }
}

/// Reads `len` bytes from `sector` (of 512 bytes) on, and waits for them.
///
/// # Errors
///
/// `ENOMEM`, `EIO` and what else the device says; `EINVAL` for more than 64 KiB.
pub fn read_now(device: BlockDevice, sector: u64, len: usize) -> Result<KVVec<u8>> {
    let mut memory = KVVec::from_elem(0, len, GFP_KERNEL)?;
    let bytes = u32::try_from(len)
        .ok()
        .filter(|len| *len <= 1 << 16)
        .ok_or(EINVAL)?;
    let mut bio = Bio::new(device, sector, 17, Purpose::Needed)?;
    let start = NonNull::new(memory.as_mut_ptr()).ok_or(EINVAL)?;
    // SAFETY: The memory is ours, and stays until the request has ended below.
    if !unsafe { bio.add(start, bytes) } {
        return Err(EIO);
    }
    // SAFETY: The request is ours, before and after.
    kernel::error::to_result(unsafe { bindings::submit_bio_wait(bio.0.as_ptr()) })?;
    Ok(memory)
}

impl Drop for Bio {
    fn drop(&mut self) {
        // SAFETY: Not submitted, so it is ours to put.
        unsafe { bindings::bio_put(self.0.as_ptr()) };
    }
}

/// `bio.bi_end_io`.
///
/// # Safety
///
/// Called by the block layer, with a request that [`Bio::submit`] sent.
unsafe extern "C" fn end_io<C: Completion>(bio: *mut bindings::bio) {
    // SAFETY: By the caller; the request is ours again.
    let (status, completion) = unsafe { ((*bio).bi_status, (*bio).bi_private) };
    // SAFETY: As above.
    unsafe { bindings::bio_put(bio) };
    // SAFETY: Translates a status, any.
    let result = kernel::error::to_result(unsafe { bindings::blk_status_to_errno(status) });
    if let Some(completion) = NonNull::new(completion.cast::<C>()) {
        // SAFETY: It is what `submit` was given, and a request ends once.
        unsafe { C::ended(completion, result) };
    }
}
