// SPDX-License-Identifier: GPL-2.0

//! What a mount does before it writes, and when it has done writing.
//!
//! The log's engine is started the first time that something is to be written, be it by recovery,
//! and stays until the file system is unmounted. While nothing is to be written it rests, and what
//! the log says is that the file system was unmounted.

use super::{
    icache::Want,
    inactive::Inactive,
    log::{
        self,
        Log,
        LogDevice,
        Opened,
        Parts, //
    },
    mount::Mount, //
};
use crate::{
    libxfs::{
        error::{
            Error,
            Result, //
        },
        format::units::RtGroup,
        log::{
            head::Head,
            intent::Intent,
            read,
            recover, //
        },
        recovery,
        rt::{
            self,
            GroupFile, //
        },
        space::{
            self,
            Groups, //
        },
        store::Device,
    },
    rust::kernel::message::Level,
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::Arc, //
};

/// What a mount that writes has. They go in this order.
pub(super) struct Writer {
    inactive: Arc<Inactive>,
    log: Log,
}

impl Writer {
    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn inactive(&self) -> &Arc<Inactive> {
        &self.inactive
    }
}

impl Mount {
    fn log_device(&self) -> LogDevice<'_> {
        LogDevice {
            data: self.data_cache(),
            log: self.own_log_cache(),
        }
    }

    /// Where the log ends. Reads only.
    ///
    /// # Errors
    ///
    /// Those of reading, and of corruption.
    pub(super) fn log_head(&self) -> Result<Head> {
        read::head(&self.log_device(), self.geometry())
    }

    /// Opens the log, and puts into its place what is in it.
    ///
    /// # Errors
    ///
    /// As [`log::open`].
    pub(super) fn open_log(&self) -> Result<Opened> {
        log::open(
            &self.log_device(),
            self.geometry(),
            recover::Options::default(),
        )
    }

    /// Starts the log's engine, behind a head. `name` is for its threads.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a log to which no records can be written; `ENOMEM`.
    pub(super) fn start_log(&self, head: Head, name: &CStr) -> kernel::error::Result {
        let inactive = Inactive::new(self, name)?;
        let log = Log::start(Parts {
            geometry: self.shared_geometry(),
            health: self.shared_health(),
            data: self.data_cache().clone(),
            log_device: self.own_log_cache().map(|cache| cache.block_device()),
            head,
            buffer_size: self.in_force().log_buf_size,
            buffers: self.in_force().log_bufs,
            client: self.space().clone(),
            name,
        })?;
        match self.set_writer(Writer { inactive, log }) {
            true => Ok(()),
            false => Err(EBUSY),
        }
    }

    /// Has every group keep what its trees may need, before anything is changed.
    ///
    /// # Errors
    ///
    /// Those of reading and of corruption.
    pub(super) fn reserve_space(&self) -> Result {
        let all = space::reserve(self).inspect_err(|_| space::release(self))?;
        if !all {
            self.print(
                Level::Warning,
                format_args!("some groups have not enough free space for their own trees"),
            );
        }
        Ok(())
    }

    /// Begins to write behind a log that was opened: what it has left to do is kept in it.
    ///
    /// # Errors
    ///
    /// Those of reading what trees may need; `Shutdown` without a log.
    #[inline(never)]
    pub(super) fn begin(&self, intents: &[Intent]) -> Result {
        let log = self.log().ok_or(Error::Shutdown)?;
        log.take_over(intents.iter().map(|intent| (intent.id, intent.lsn)))?;
        self.keep_inodes()?;
        self.reserve_space()
    }

    /// Does what a log that was replayed has left: intents, inodes without a name, staged extents.
    ///
    /// # Errors
    ///
    /// Those of the work; the file system may be shut down then.
    pub(super) fn finish_recovery(&self, intents: KVVec<Intent>) -> Result {
        let mut work = KVec::new();
        for intent in intents {
            work.push((intent.id, intent.work), GFP_KERNEL)?;
        }
        recovery::finish_intents(self, work, &mut Groups)?;
        recovery::free_unlinked(self, |number| {
            let node = self.find(number, Want::Any)?;
            self.free_inode(&node)
        })?;
        recovery::free_staged(self, &mut Groups)?;
        Ok(())
    }

    /// From here on there are changes that users ask for.
    ///
    /// # Errors
    ///
    /// Those of the log.
    pub(super) fn serve_changes(&self) -> Result {
        if self.geometry().quota_flags != 0 {
            // What is changed from here on is not counted.
            self.log().ok_or(Error::Shutdown)?.log_superblock()?;
        }
        self.space().keep();
        Ok(())
    }

    /// Opens the files of the realtime section, in the order in which they are found again.
    fn keep_inodes(&self) -> Result {
        let geo = self.geometry();
        if geo.rt_blocks == 0 {
            return Ok(());
        }
        if !geo.features.metadir() {
            self.keep_file(None, GroupFile::Bitmap)?;
            return self.keep_file(None, GroupFile::Summary);
        }
        for group in (0..geo.rt_group_count).map(RtGroup) {
            for file in GroupFile::ALL {
                self.keep_file(Some(group), file)?;
            }
        }
        Ok(())
    }

    /// Opens a file of the realtime section, if there is one. Of those that root a tree the inode is
    /// kept in use, too: it is locked when its group is.
    fn keep_file(&self, group: Option<RtGroup>, file: GroupFile) -> Result {
        if !file.is_present(self.geometry()) {
            return Ok(());
        }
        let opened = Arc::new(rt::open(self, group, file)?, GFP_KERNEL)?;
        if matches!(file, GroupFile::Rmap | GroupFile::Refcount) {
            let node = self.find(opened.number, Want::Any)?;
            self.kept_inodes().lock().push(node, GFP_KERNEL)?;
        }
        let mut files = self.rt_files().lock();
        files.push(((group, file), opened), GFP_KERNEL)?;
        Ok(())
    }

    /// Lets go of what is kept in memory for writing, before the mount goes.
    pub(super) fn let_go_of_inodes(&self) {
        let kept = core::mem::take(&mut *self.kept_inodes().lock());
        drop(kept);
    }

    /// Ends writing: all that was committed is in its place, and the log says that the file system
    /// was unmounted. No one may write meanwhile.
    ///
    /// # Errors
    ///
    /// `Shutdown`, `Io`.
    pub(super) fn end_writing(&self) -> Result {
        let Some(log) = self.log() else {
            return Ok(());
        };
        self.flush_inactive();
        self.space().let_go();
        space::release(self);
        log.unmount()
    }

    /// Begins to write on a mount that did not, whose log is clean.
    ///
    /// # Errors
    ///
    /// Those of reading the log and of [`reserve_space`](Self::reserve_space).
    pub(super) fn resume_writing(&self, name: &CStr) -> Result {
        if let Some(log) = self.log() {
            log.wake();
            self.reserve_space()?;
            self.space().keep();
            return Ok(());
        }
        let opened = self.open_log()?;
        if opened.transactions.is_some() {
            // Someone else has written to it meanwhile.
            return Err(Error::Invalid);
        }
        self.start_log(opened.head, name).map_err(|error| {
            if error == ENOMEM {
                Error::NoMemory
            } else {
                Error::Invalid
            }
        })?;
        self.begin(&opened.intents)?;
        self.serve_changes()
    }

    /// Waits until all inodes that lost their last name and their last user are freed.
    pub(super) fn flush_inactive(&self) {
        if let Some(inactive) = self.inactive() {
            inactive.flush();
        }
    }

    /// The block device behind the log.
    pub(super) fn log_is_read_only(&self) -> bool {
        [Device::Data, Device::Log]
            .into_iter()
            .filter_map(|device| self.block_device(device))
            .any(|device| device.is_read_only())
    }
}
