// SPDX-License-Identifier: GPL-2.0

//! Recovery's blocks: those of the cache, which no one else uses yet.

use crate::{
    fs::buf::{
        Cache,
        Locked,
        WriteList, //
    },
    libxfs::{
        error::Result,
        format::kind::Kind,
        log::recover::Replay,
        store::Run, //
    },
    rust::bindings,
};

/// Blocks under recovery.
///
/// They are cached as they are, and verified by recovery alone. When this is dropped, the cache
/// forgets them: blocks that were freed in the log may still be in it, beside others at their place.
pub(crate) struct CacheReplay<'a> {
    cache: &'a Cache,
    list: WriteList,
}

impl<'a> CacheReplay<'a> {
    /// Blocks of the data device.
    pub(crate) fn new(cache: &'a Cache) -> Self {
        Self {
            cache,
            list: WriteList::new(),
        }
    }
}

impl Replay for CacheReplay<'_> {
    type Block = Locked;

    fn hold(&mut self, run: Run) -> Result<Locked> {
        let mut block = self.cache.lock(&[run], Kind::Raw)?;
        // What it is recovery knows, and sets checksums itself.
        block.set_kind(Kind::Raw);
        Ok(block)
    }

    fn keep(&mut self, block: Locked) -> Result {
        // Its changes hold it in the cache.
        drop(block);
        Ok(())
    }

    fn write(&mut self, mut block: Locked) -> Result {
        self.list.add(&mut block).map(|_| ())
    }

    fn finish(&mut self) -> Result {
        self.list.submit_and_wait()
    }

    fn interrupted(&self) -> bool {
        // SAFETY: Looks at the current task.
        unsafe { bindings::fatal_signal_pending() }
    }
}

impl Drop for CacheReplay<'_> {
    fn drop(&mut self) {
        self.list = WriteList::new();
        self.cache.forget();
    }
}
