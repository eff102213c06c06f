// SPDX-License-Identifier: GPL-2.0

//! Fallible allocation: `KVec`, `KVVec`, `KBox` with the kernel crate's signatures.

use std::ops::{Deref, DerefMut};

/// An allocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError;

/// Allocation flags; on the host they choose nothing.
pub mod flags {
    /// What an allocation may do.
    #[derive(Clone, Copy)]
    pub struct Flags;
    /// May sleep and reclaim.
    pub const GFP_KERNEL: Flags = Flags;
}
pub use flags::Flags;

pub mod faults;

/// Why an element was not inserted; it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError<T> {
    /// The place lies past the end.
    IndexOutOfBounds(T),
    /// There is no room left.
    OutOfCapacity(T),
}

/// A vector whose growth can fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vec<T>(std::vec::Vec<T>);

/// Physically contiguous vector.
pub type KVec<T> = Vec<T>;
/// Virtually contiguous vector.
pub type KVVec<T> = Vec<T>;

impl<T> Default for Vec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Vec<T> {
    /// An empty vector.
    pub const fn new() -> Self {
        Self(std::vec::Vec::new())
    }

    /// An empty vector with room for `n`.
    pub fn with_capacity(n: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut v = Self::new();
        v.reserve(n, flags)?;
        Ok(v)
    }

    /// Makes room for `n` more.
    pub fn reserve(&mut self, n: usize, _: Flags) -> Result<(), AllocError> {
        if n <= self.0.capacity() - self.0.len() || size_of::<T>() == 0 {
            return Ok(());
        }
        faults::charge((self.0.len().saturating_add(n)).saturating_mul(size_of::<T>()))?;
        self.0.try_reserve(n).map_err(|_| AllocError)
    }

    /// How many elements fit without growing.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Appends `v`.
    pub fn push(&mut self, v: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(1, flags)?;
        self.0.push(v);
        Ok(())
    }

    /// Inserts `v` before the element at `index`.
    pub fn insert_within_capacity(&mut self, index: usize, v: T) -> Result<(), InsertError<T>> {
        if index > self.0.len() {
            return Err(InsertError::IndexOutOfBounds(v));
        }
        if self.0.len() >= self.0.capacity() {
            return Err(InsertError::OutOfCapacity(v));
        }
        self.0.insert(index, v);
        Ok(())
    }

    /// Removes the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps the first `n` elements.
    pub fn truncate(&mut self, n: usize) {
        self.0.truncate(n);
    }

    /// Keeps the elements for which `wanted` says so.
    pub fn retain(&mut self, wanted: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(wanted);
    }

    /// All elements.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// All elements.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Clone> Vec<T> {
    /// Appends all of `other`.
    pub fn extend_from_slice(&mut self, other: &[T], flags: Flags) -> Result<(), AllocError> {
        self.reserve(other.len(), flags)?;
        self.0.extend_from_slice(other);
        Ok(())
    }

    /// `n` times `value`.
    pub fn from_elem(value: T, n: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut v = Self::with_capacity(n, flags)?;
        v.0.resize(n, value);
        Ok(v)
    }

    /// Grows or shrinks to `n`.
    pub fn resize(&mut self, n: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(n.saturating_sub(self.0.len()), flags)?;
        self.0.resize(n, value);
        Ok(())
    }
}

impl<T> Deref for Vec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Vec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> IntoIterator for Vec<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Vec<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A box whose making can fail.
#[derive(Debug, PartialEq, Eq)]
pub struct KBox<T: ?Sized>(std::boxed::Box<T>);

impl<T> KBox<T> {
    /// Boxes `v`.
    pub fn new(v: T, _: Flags) -> Result<Self, AllocError> {
        faults::charge(size_of::<T>())?;
        Ok(Self(std::boxed::Box::new(v)))
    }

    pub fn into_inner(this: Self) -> T {
        *this.0
    }
}

impl<T: ?Sized> Deref for KBox<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
