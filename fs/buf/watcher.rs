// SPDX-License-Identifier: GPL-2.0

//! Who wants to know what became of a write.

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
pub(crate) trait Watcher: Send + Sync {
    /// A write of the block has ended. It is still locked, by the write. May sleep, but not wait for
    /// a lock that someone who waits for a block can hold.
    fn ended(&self, outcome: Outcome);
}
