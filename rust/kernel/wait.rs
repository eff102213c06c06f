// SPDX-License-Identifier: GPL-2.0

//! Sleeping on a word of memory.
//!
//! The kernel hashes the word's address to one of its wait queues, so a structure that is waited
//! for rarely needs no queue of its own.
//!
//! C header: [`include/linux/wait_bit.h`](srctree/include/linux/wait_bit.h)

use crate::rust::bindings;
use kernel::sync::atomic::Atomic;

/// Sleeps until none of `bits` is set in `word`. What was written before the bits were cleared
/// (with release) is seen after.
pub fn wait_while(word: &Atomic<u32>, bits: u32) {
    // SAFETY: The word is alive for the call, and all accesses to it are atomic.
    unsafe { bindings::wait_while_bits(word.as_ptr(), bits) };
}

/// Wakes who sleeps on the word at `word`, after it was changed.
///
/// Takes a pointer: whoever is woken may free the word at once, and only its address is used.
pub fn wake(word: *const Atomic<u32>) {
    // SAFETY: Only the address is used, as a key.
    unsafe { bindings::wake_word(word.cast_mut().cast()) };
}
