// SPDX-License-Identifier: GPL-2.0

//! Who wants to know what became of a write.

use core::any::TypeId;
use kernel::sync::Arc;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The device has the block; its cache may have it alone.
    Written,
    /// The device failed, and may do better another time. The block has its changes still and is in
    /// no list; the watcher stays, and sees to it that it is written again.
    Failed,
    /// It will not be written: the file system is shut down.
    Lost,
}

/// The log's account of what a block still has to have written.
pub(crate) trait Watcher: Typed + Send + Sync {
    /// A write of the block has ended. It is still locked, by the write. May sleep, but not wait for
    /// a lock that someone who waits for a block can hold.
    fn ended(&self, outcome: Outcome);
}

/// What knows its own type. All do, and no one can say otherwise.
pub(crate) trait Typed {
    /// The type.
    fn what(&self) -> TypeId;
}

impl<T: 'static> Typed for T {
    fn what(&self) -> TypeId {
        TypeId::of::<T>()
    }
}

/// A watcher as what it is, if it is a `T`.
pub(super) fn downcast<T: Watcher + 'static>(watcher: &Arc<dyn Watcher>) -> Option<Arc<T>> {
    // Of what is in the `Arc`, which has a type of its own.
    let inner: &dyn Watcher = &**watcher;
    if inner.what() != TypeId::of::<T>() {
        return None;
    }
    let raw = Arc::into_raw(watcher.clone());
    // SAFETY: It is a `T`, by what it says itself, so this points to one in an `Arc`, and a count of
    // it goes over.
    Some(unsafe { Arc::from_raw(raw.cast::<T>()) })
}
