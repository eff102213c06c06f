// SPDX-License-Identifier: GPL-2.0

//! Readers-writer semaphores.
//!
//! C header: [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)

use crate::rust::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomPinned,
    ops::{
        Deref,
        DerefMut, //
    },
    pin::Pin,
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::LockClassKey,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// A value under a `struct rw_semaphore`: many readers or one writer, sleeping.
#[pin_data]
pub struct RwSemaphore<T> {
    #[pin]
    raw: Opaque<bindings::rw_semaphore>,
    #[pin]
    _pin: PhantomPinned,
    value: UnsafeCell<T>,
}

// SAFETY: The value moves with the semaphore.
unsafe impl<T: Send> Send for RwSemaphore<T> {}
// SAFETY: Readers share the value between threads, and a writer may move it to its own.
unsafe impl<T: Send + Sync> Sync for RwSemaphore<T> {}

impl<T> RwSemaphore<T> {
    /// Initializer of a semaphore over `value`.
    pub fn new(
        value: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid for writing, name and key live forever.
            raw <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_rwsem(slot, name.as_char_ptr(), key.as_ptr())
            }),
            _pin: PhantomPinned,
            value: UnsafeCell::new(value),
        })
    }

    /// Takes it for reading.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: Initialized, by construction.
        unsafe { bindings::down_read(self.raw.get()) };
        ReadGuard {
            semaphore: self,
            _task: NotThreadSafe,
        }
    }

    /// Takes it for reading if that needs no sleep.
    #[inline]
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        // SAFETY: Initialized, by construction.
        let taken = unsafe { bindings::down_read_trylock(self.raw.get()) };
        (taken != 0).then_some(ReadGuard {
            semaphore: self,
            _task: NotThreadSafe,
        })
    }

    /// Takes it for writing.
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: Initialized, by construction.
        unsafe { bindings::down_write(self.raw.get()) };
        WriteGuard {
            semaphore: self,
            _task: NotThreadSafe,
        }
    }

    /// Takes it for writing, beside others of its class, in the course of writing to a file system:
    /// between `sb_start_intwrite` and `sb_end_intwrite`.
    ///
    /// # Safety
    ///
    /// The super block is alive.
    pub unsafe fn write_beside_others(&self, sb: *mut bindings::super_block) -> WriteGuard<'_, T> {
        // SAFETY: Initialized, by construction; the super block is alive by the caller.
        unsafe { bindings::down_write_of_writer(self.raw.get(), sb) };
        WriteGuard {
            semaphore: self,
            _task: NotThreadSafe,
        }
    }

    /// The value, with no one else about.
    pub fn get_mut(self: Pin<&mut Self>) -> &mut T {
        // SAFETY: The value is not pinned, and this borrow is exclusive.
        unsafe { self.get_unchecked_mut() }.value.get_mut()
    }
}

/// Held for reading.
#[must_use]
pub struct ReadGuard<'a, T> {
    semaphore: &'a RwSemaphore<T>,
    _task: NotThreadSafe,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: Held for reading, so no one writes.
        unsafe { &*self.semaphore.value.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: Held for reading.
        unsafe { bindings::up_read(self.semaphore.raw.get()) };
    }
}

/// Held for writing.
#[must_use]
pub struct WriteGuard<'a, T> {
    semaphore: &'a RwSemaphore<T>,
    _task: NotThreadSafe,
}

impl<'a, T> WriteGuard<'a, T> {
    /// Frees the guard of the borrow: for who keeps the semaphore alive otherwise.
    ///
    /// # Safety
    ///
    /// The semaphore lives for as long as the guard does.
    pub unsafe fn unbound(self) -> WriteGuard<'static, T>
    where
        T: 'static,
    {
        let semaphore: *const RwSemaphore<T> = self.semaphore;
        core::mem::forget(self);
        WriteGuard {
            // SAFETY: By the caller.
            semaphore: unsafe { &*semaphore },
            _task: NotThreadSafe,
        }
    }

    /// Becomes a reader, with no writer in between.
    pub fn downgrade(self) -> ReadGuard<'a, T> {
        let semaphore = self.semaphore;
        core::mem::forget(self);
        // SAFETY: Held for writing, and the guard that would release it so is forgotten.
        unsafe { bindings::downgrade_write(semaphore.raw.get()) };
        ReadGuard {
            semaphore,
            _task: NotThreadSafe,
        }
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: Held for writing.
        unsafe { &*self.semaphore.value.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: Held for writing, and this borrow is exclusive.
        unsafe { &mut *self.semaphore.value.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Held for writing.
        unsafe { bindings::up_write(self.semaphore.raw.get()) };
    }
}
