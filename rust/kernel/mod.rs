// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions, one file a subject.

pub mod acl;
pub mod bio;
pub mod block_device;
pub mod crc32c;
pub mod dir;
pub mod export;
pub mod file;
pub mod idmap;
pub mod ioctl;
pub mod iomap;
pub mod lru;
pub mod message;
pub mod names;
pub mod node;
pub mod nofs;
pub mod operations;
pub mod path;
pub mod percpu_counter;
pub mod plug;
pub mod ratelimit;
pub mod rwsem;
pub mod security;
pub mod setattr;
pub mod share_lock;
pub mod stack;
pub mod stat;
pub mod symlink;
pub mod user;
pub mod wait;
pub mod workqueue;
pub mod xattr;
