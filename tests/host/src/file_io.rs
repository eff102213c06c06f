// SPDX-License-Identifier: GPL-2.0

//! Content of files, read and written at once: what a kernel does in its page cache.
//!
//! Content reaches its device before the change of the map that shows it is committed. Whatever is
//! behind the end of a file is made zeroes before the file gets larger.

use crate::{
    libxfs::{
        bmap,
        error::{Error, Result},
        extents::{MappedBlock, State},
        format::units::{FileBlock, InodeNumber},
        inode::{Inode, Trust, WhichFork},
        journal::CommitSequence,
        ops::{self, Before, FileRange, Files, NewAttributes, Remap, WritePart},
        store::{Device, Run, Store},
    },
    log_journal::LogJournal,
};

/// Reads content.
pub struct FileIo<'j, 'v> {
    journal: &'j LogJournal<'v>,
}

impl<'j, 'v> FileIo<'j, 'v> {
    /// Of files of a file system.
    pub fn new(journal: &'j LogJournal<'v>) -> Self {
        Self { journal }
    }

    fn block_size(&self) -> u64 {
        self.journal.geometry().block_size.into()
    }

    fn run(&self, device: Device, start: MappedBlock, blocks: u64) -> Result<Run> {
        let geo = self.journal.geometry();
        let blocks = u32::try_from(blocks).map_err(|_| Error::Invalid)?;
        Ok(Run {
            at: bmap::disk_addr(geo, device, start).ok_or(Error::Invalid)?,
            len: blocks * geo.basic_blocks_per_block(),
        })
    }

    /// What blocks of a device hold.
    fn blocks(&self, device: Device, start: MappedBlock, blocks: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; (blocks * self.block_size()) as usize];
        let run = self.run(device, start, blocks)?;
        let disks = self.journal.volume().disks();
        disks.read(device, run.at, &mut bytes)?;
        Ok(bytes)
    }

    fn inode(&self, number: InodeNumber) -> Result<Inode> {
        let mut inode = Inode::read(self.journal, number, Trust::Trusted)?;
        inode.load_extents(self.journal, WhichFork::Data)?;
        Ok(inode)
    }

    /// All that a file holds.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn read_all(&self, number: InodeNumber) -> Result<Vec<u8>> {
        let inode = self.inode(number)?;
        let size = inode.core.size as usize;
        let mut content = vec![0; size];
        for mapping in inode.extents(WhichFork::Data)?.iter() {
            let at = (mapping.offset.0 * self.block_size()) as usize;
            if mapping.state != State::Normal || at >= size {
                continue;
            }
            let bytes = self.blocks(inode.device(WhichFork::Data), mapping.start, mapping.len)?;
            let len = bytes.len().min(size - at);
            content[at..at + len].copy_from_slice(&bytes[..len]);
        }
        Ok(content)
    }
}

/// Changes content.
pub struct FileChange<'f, 'v> {
    files: &'f Files<'f, LogJournal<'v>>,
    io: FileIo<'f, 'v>,
    number: InodeNumber,
    last: Option<CommitSequence>,
}

impl<'f, 'v> FileChange<'f, 'v> {
    /// Of one file.
    pub fn new(files: &'f Files<'f, LogJournal<'v>>, number: InodeNumber) -> Self {
        Self {
            files,
            io: FileIo::new(files.journal),
            number,
            last: None,
        }
    }

    /// The number of the last transaction, if there was any.
    pub fn last(&self) -> Option<CommitSequence> {
        self.last
    }

    fn note(&mut self, sequence: Option<CommitSequence>) {
        self.last = sequence.max(self.last);
    }

    fn size(&self) -> Result<u64> {
        Ok(self.io.inode(self.number)?.core.size)
    }

    /// What a part holds before it is written.
    fn before(&self, part: &WritePart) -> Result<Vec<u8>> {
        match part.before {
            Before::There => self.io.blocks(part.device, part.start, part.blocks),
            Before::Elsewhere(start) => self.io.blocks(part.device, start, part.blocks),
            Before::Zeroes => Ok(vec![0; (part.blocks * self.io.block_size()) as usize]),
        }
    }

    /// Writes to where the content is to lie. What is staged in vain is given up.
    fn put(&mut self, start: u64, bytes: &[u8], size: Option<u64>) -> Result {
        let range = FileRange::new(start, bytes.len() as u64)?;
        let written = self.put_blocks(range, bytes);
        if written.is_err() {
            let dropped = ops::drop_staged(self.files, self.number)?;
            self.note(dropped);
            return written;
        }
        let shown = ops::end_write(self.files, self.number, range, size)?;
        self.note(shown);
        Ok(())
    }

    fn put_blocks(&mut self, range: FileRange, bytes: &[u8]) -> Result {
        let journal = self.files.journal;
        let (mut at, end) = range.touched(journal.geometry());
        while at < end {
            let part = ops::prepare_write(self.files, self.number, at, end)?;
            let mut content = self.before(&part)?;
            let first = part.offset.0 * self.io.block_size();
            let from = range.start().max(first);
            let to = range.end().min(first + content.len() as u64);
            let source = &bytes[(from - range.start()) as usize..(to - range.start()) as usize];
            content[(from - first) as usize..(to - first) as usize].copy_from_slice(source);
            let run = self.io.run(part.device, part.start, part.blocks)?;
            journal.write_data(part.device, run, &content)?;
            at = FileBlock(part.offset.0 + part.blocks);
        }
        Ok(())
    }

    /// Notes that the content is about to change.
    fn touch(&mut self) -> Result {
        let new = NewAttributes {
            mtime: Some(self.files.now),
            ..NewAttributes::default()
        };
        let done = ops::setattr(self.files, self.number, &new)?.sequence;
        self.note(done);
        Ok(())
    }

    /// Makes zeroes of what is written from one byte to another; the size stays.
    fn clear(&mut self, from: u64, to: u64) -> Result {
        let block = self.io.block_size();
        let inode = self.io.inode(self.number)?;
        for mapping in inode.extents(WhichFork::Data)?.iter() {
            let (start, end) = (mapping.offset.0 * block, mapping.end().0 * block);
            let (start, end) = (start.max(from), end.min(to));
            if mapping.state == State::Normal && start < end {
                self.put(start, &vec![0; (end - start) as usize], None)?;
            }
        }
        Ok(())
    }

    /// Makes the file larger, if it is not.
    fn extend(&mut self, size: u64) -> Result {
        if size > self.size()? {
            self.truncate(size)?;
        }
        Ok(())
    }

    /// Writes.
    ///
    /// # Errors
    ///
    /// Those of the operations.
    pub fn write(&mut self, start: u64, bytes: &[u8]) -> Result {
        self.touch()?;
        let size = self.size()?;
        if start > size {
            self.clear(size, start)?;
        }
        self.put(start, bytes, Some(start + bytes.len() as u64))
    }

    /// Gives the file another size.
    ///
    /// # Errors
    ///
    /// Those of the operations.
    pub fn truncate(&mut self, size: u64) -> Result {
        let before = self.size()?;
        if size > before {
            self.clear(before, size)?;
        }
        let done = ops::truncate(self.files, self.number, size)?.sequence;
        self.note(done);
        Ok(())
    }

    /// Makes a hole; of blocks that hold other bytes too, zeroes.
    ///
    /// # Errors
    ///
    /// Those of the operations.
    pub fn punch(&mut self, range: FileRange) -> Result {
        let done = ops::punch(self.files, self.number, range)?;
        self.note(done);
        let end = range.end().min(self.size()?);
        self.clear(range.start(), end)
    }

    /// Allocates blocks; the file gets as large as that where `grow` says so.
    ///
    /// # Errors
    ///
    /// Those of the operations.
    pub fn preallocate(&mut self, range: FileRange, grow: bool) -> Result {
        let done = ops::preallocate(self.files, self.number, range)?;
        self.note(done);
        match grow {
            true => self.extend(range.end()),
            false => Ok(()),
        }
    }

    /// Makes zeroes, with blocks for them.
    ///
    /// # Errors
    ///
    /// Those of the operations.
    pub fn zero(&mut self, range: FileRange, grow: bool) -> Result {
        self.punch(range)?;
        self.preallocate(range, grow)
    }

    /// Takes a range out.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    pub fn collapse(&mut self, range: FileRange) -> Result {
        let done = ops::collapse(self.files, self.number, range)?.sequence;
        self.note(done);
        Ok(())
    }

    /// Makes room.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    pub fn insert(&mut self, range: FileRange) -> Result {
        let size = self.size()?;
        self.clear(size, size.saturating_add(range.len()))?;
        let done = ops::insert(self.files, self.number, range)?.sequence;
        self.note(done);
        Ok(())
    }

    /// Shares a range of another file, or of the same. Returns how many bytes that was.
    ///
    /// # Errors
    ///
    /// Those of the operations.
    pub fn clone_range(&mut self, remap: &Remap) -> Result<u64> {
        let size = self.size()?;
        if remap.to > size {
            self.clear(size, remap.to)?;
        }
        let done = ops::clone_range(self.files, remap);
        // Its transactions are not told one by one.
        self.touch()?;
        done
    }

    /// Has blocks that no one shares, and allocates those that are not there.
    ///
    /// # Errors
    ///
    /// Those of the operations.
    pub fn unshare(&mut self, range: FileRange, grow: bool) -> Result {
        let block = self.io.block_size();
        let (mut at, end) = range.touched(self.files.journal.geometry());
        while let Some((from, to)) = ops::next_shared(self.files, self.number, at, end)? {
            let inode = self.io.inode(self.number)?;
            let old = inode.extents(WhichFork::Data)?.get(from);
            let old = old.and_then(|old| old.trimmed(from, to));
            let old = old.ok_or(Error::Invalid)?;
            let device = inode.device(WhichFork::Data);
            let content = self.io.blocks(device, old.start, old.len)?;
            self.put(from.0 * block, &content, None)?;
            at = to;
        }
        let done = ops::forget_sharing(self.files, self.number)?;
        self.note(done);
        self.preallocate(range, grow)
    }
}
