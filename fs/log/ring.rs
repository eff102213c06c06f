// SPDX-License-Identifier: GPL-2.0

//! A queue in one piece of memory, which is got elsewhere: its users hold locks under which none can
//! be had.

use kernel::prelude::*;

/// A queue.
///
/// # Invariants
///
/// `slots` has a length that is 0 or a power of two; from `first` on, around its end, the next `len`
/// of them are filled, and no others.
pub(super) struct Ring<T> {
    slots: KVVec<Option<T>>,
    first: usize,
    len: usize,
}

impl<T> Ring<T> {
    /// The least memory that a queue has, in values.
    const LEAST: usize = 64;

    /// An empty queue, without memory.
    pub(super) const fn new() -> Self {
        Self {
            slots: KVVec::new(),
            first: 0,
            len: 0,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn slot(&self, index: usize) -> usize {
        self.first.wrapping_add(index) & self.slots.len().wrapping_sub(1)
    }

    /// Sees to it that there is room for one more: `None` where there is. Takes `room` for its
    /// memory if that is large enough, and leaves the old one there; else says how large it must be.
    pub(super) fn replace_memory(&mut self, room: &mut KVVec<Option<T>>) -> Option<usize> {
        if self.len < self.slots.len() {
            return None;
        }
        let wanted = self.slots.len().saturating_mul(2).max(Self::LEAST);
        if room.capacity() < wanted {
            return Some(wanted);
        }
        room.clear();
        while let Some(value) = self.pop_front() {
            let _ = room.push_within_capacity(Some(value));
        }
        let len = room.len();
        while room.len() < wanted {
            if room.push_within_capacity(None).is_err() {
                break;
            }
        }
        core::mem::swap(&mut self.slots, room);
        self.first = 0;
        self.len = len;
        None
    }

    /// Appends a value. There must be room: see [`replace_memory`](Self::replace_memory).
    pub(super) fn push_back(&mut self, value: T) {
        let at = self.slot(self.len);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(value);
            self.len = self.len.wrapping_add(1);
        }
    }

    /// Takes the first.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let value = self.slots.get_mut(self.first)?.take()?;
        self.first = self.slot(1);
        self.len = self.len.wrapping_sub(1);
        Some(value)
    }

    /// The first.
    pub(super) fn front(&self) -> Option<&T> {
        self.slots.get(self.first)?.as_ref()
    }

    /// The one at an index, counted from the first.
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match index < self.len {
            true => self.slots.get(self.slot(index))?.as_ref(),
            false => None,
        }
    }

    /// As [`get`](Self::get), to be changed.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        let at = self.slot(index);
        self.slots.get_mut(at)?.as_mut()
    }
}
