// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions, one file a subject.

pub mod bio;
pub mod block_device;
pub mod crc32c;
pub mod lru;
pub mod message;
pub mod nofs;
pub mod ratelimit;
pub mod rwsem;
pub mod share_lock;
pub mod wait;
pub mod workqueue;
