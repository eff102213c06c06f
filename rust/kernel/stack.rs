// SPDX-License-Identifier: GPL-2.0

//! Stacks without a lock: many push, and one takes all at once.
//!
//! Pushing is one compare-and-exchange. As what is on a stack is taken off together or not at all,
//! a pointer that is found at the top twice means the same both times.

use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::sync::{
    atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    },
    Arc, //
};

/// What makes a value fit for a stack.
pub struct Link<T> {
    next: Atomic<*mut T>,
    /// Whether it is on a stack.
    linked: Atomic<u32>,
}

impl<T: 'static> Link<T> {
    /// A link of a value that is on no stack.
    pub const fn new() -> Self {
        Self {
            next: Atomic::new(core::ptr::null_mut()),
            linked: Atomic::new(0),
        }
    }
}

/// A value that can be on a stack.
pub trait Stacked: Sized + Send + Sync + 'static {
    /// Its link, always the same.
    fn link(&self) -> &Link<Self>;
}

/// A stack.
pub struct Stack<T: Stacked> {
    // INVARIANT: The first of a chain of values, each of which is linked and has a count of ours.
    top: Atomic<*mut T>,
    _values: PhantomData<Arc<T>>,
}

// SAFETY: The values may be used and dropped by any thread.
unsafe impl<T: Stacked> Send for Stack<T> {}
// SAFETY: As above; what changes is atomic.
unsafe impl<T: Stacked> Sync for Stack<T> {}

impl<T: Stacked> Stack<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            top: Atomic::new(core::ptr::null_mut()),
            _values: PhantomData,
        }
    }

    /// Puts a value on top. Returns whether it did: not if the value is on a stack already.
    pub fn push(&self, value: Arc<T>) -> bool {
        if value.link().linked.xchg(1, Full) != 0 {
            return false;
        }
        let raw = Arc::into_raw(value).cast_mut();
        // SAFETY: The count that was taken over keeps it alive; once it is on the stack, it is not
        // used any more.
        let link = unsafe { (*raw).link() };
        let mut top = self.top.load(Relaxed);
        loop {
            link.next.store(top, Relaxed);
            match self.top.cmpxchg(top, raw, Release) {
                Ok(_) => return true,
                Err(now) => top = now,
            }
        }
    }

    /// Whether there is nothing on it.
    pub fn is_empty(&self) -> bool {
        self.top.load(Acquire).is_null()
    }

    /// Takes all off, the last first.
    pub fn take(&self) -> Taken<T> {
        Taken {
            next: self.top.xchg(core::ptr::null_mut(), Full),
            _values: PhantomData,
        }
    }
}

impl<T: Stacked> Drop for Stack<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// What was taken off a stack.
pub struct Taken<T: Stacked> {
    // INVARIANT: As of `Stack`, and ours alone.
    next: *mut T,
    _values: PhantomData<Arc<T>>,
}

impl<T: Stacked> Iterator for Taken<T> {
    type Item = Arc<T>;

    fn next(&mut self) -> Option<Arc<T>> {
        let first = NonNull::new(self.next)?;
        // SAFETY: By the invariant its count is ours, and goes to the caller.
        let value = unsafe { Arc::from_raw(first.as_ptr().cast_const()) };
        let link = value.link();
        self.next = link.next.load(Relaxed);
        // From here on it can be pushed again.
        link.linked.store(0, Release);
        Some(value)
    }
}

impl<T: Stacked> Drop for Taken<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
