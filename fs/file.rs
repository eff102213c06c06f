// SPDX-License-Identifier: GPL-2.0

//! Regular files.

use super::{
    inode::Inode,
    iomap, //
};
use crate::rust::kernel::{
    file::{
        ReadCall,
        Regular, //
    },
    node::SharedLock, //
};
use kernel::prelude::*;

impl Regular for Inode {
    type Read = iomap::Data;
    type Seek = iomap::Seek;
    type AttributeFork = iomap::AttributeFork;

    fn usable(&self) -> Result {
        self.mount().check_running()
    }

    fn sync(&self, _data_only: bool) -> Result {
        self.mount().force_inode(self)
    }

    fn read(&self, call: ReadCall<'_, Self>) -> Result<usize> {
        let direct = call.is_direct();
        if direct {
            if call.is_empty() {
                return Ok(0);
            }
            call.accessed();
        }
        let _lock = if call.is_nowait() {
            SharedLock::try_new(self).ok_or(EAGAIN)?
        } else {
            SharedLock::new(self)
        };
        if direct {
            call.direct()
        } else {
            call.buffered()
        }
    }

    fn with_layout<R>(&self, walk: impl FnOnce() -> R) -> R {
        let _lock = SharedLock::new(self);
        walk()
    }

    fn may_bmap(&self) -> bool {
        // Who asks may write to the block behind our back: not to one that others share, nor on
        // a device that the number does not name.
        let inode = self.read();
        !inode.core.is_reflink() && !inode.core.is_realtime()
    }
}
