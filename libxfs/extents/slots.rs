// SPDX-License-Identifier: GPL-2.0

//! A short array of fixed room.

/// Up to `N` values in a row. Values that are not in use are the default.
pub(super) struct Slots<T, const N: usize> {
    len: usize,
    room: [T; N],
}

impl<T: Default, const N: usize> Slots<T, N> {
    pub(super) fn new() -> Self {
        Self {
            len: 0,
            room: core::array::from_fn(|_| T::default()),
        }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[T] {
        self.room.get(..self.len).unwrap_or_default()
    }

    #[inline]
    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        self.room.get_mut(..self.len).unwrap_or_default()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len >= N
    }

    /// Puts `value` before the one at `at`. False, and nothing done, when full or past the end.
    pub(super) fn insert(&mut self, at: usize, value: T) -> bool {
        if self.is_full() {
            return false;
        }
        let Some(tail) = self.room.get_mut(at..=self.len) else {
            return false;
        };
        tail.rotate_right(1);
        match tail.first_mut() {
            Some(place) => *place = value,
            None => return false,
        }
        self.len = self.len.saturating_add(1);
        true
    }

    /// Puts `value` last. False, and nothing done, when full.
    #[inline]
    pub(super) fn push(&mut self, value: T) -> bool {
        match self.room.get_mut(self.len) {
            Some(place) => {
                *place = value;
                self.len = self.len.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// Takes out the value at `at`.
    pub(super) fn remove(&mut self, at: usize) -> Option<T> {
        let tail = self.as_mut_slice().get_mut(at..)?;
        let value = core::mem::take(tail.first_mut()?);
        tail.rotate_left(1);
        self.len = self.len.saturating_sub(1);
        Some(value)
    }

    /// Moves the values from `at` on to the end of `to`, as far as it has room.
    pub(super) fn move_tail(&mut self, at: usize, to: &mut Self) {
        let end = self.len;
        let mut moved = 0_usize;
        for value in self.room.get_mut(at..end).unwrap_or_default() {
            if to.is_full() {
                break;
            }
            to.push(core::mem::take(value));
            moved = moved.saturating_add(1);
        }
        // What found no room stays, in order.
        if let Some(rest) = self.room.get_mut(at..end) {
            if moved <= rest.len() {
                rest.rotate_left(moved);
            }
        }
        self.len = end.saturating_sub(moved);
    }

    /// Moves the first `count` values to the end of `to`, as far as it has room.
    pub(super) fn move_head(&mut self, count: usize, to: &mut Self) {
        for _ in 0..count {
            if to.is_full() {
                break;
            }
            match self.remove(0) {
                Some(value) => to.push(value),
                None => break,
            };
        }
    }

    /// Moves the last `count` values to the front of `to`, as far as it has room.
    pub(super) fn move_back(&mut self, count: usize, to: &mut Self) {
        for _ in 0..count {
            if to.is_full() {
                break;
            }
            match self.remove(self.len.saturating_sub(1)) {
                Some(value) => to.insert(0, value),
                None => break,
            };
        }
    }
}
