// SPDX-License-Identifier: GPL-2.0

//! Operations on the content of files.

use super::Workload;
use crate::{
    file_io::{FileChange, FileIo},
    libxfs::{
        error::{Error, Result},
        format::units::InodeNumber,
        ops::FileRange,
        store::Store,
    },
};

/// Bytes of a range of a file's content.
fn span(range: FileRange, len: usize) -> std::ops::Range<usize> {
    (range.start() as usize).min(len)..(range.end() as usize).min(len)
}

impl Workload<'_, '_> {
    /// A range that begins below the limit: often whole blocks, often short.
    fn range(&mut self) -> FileRange {
        let limit = self.limit() as u32;
        let block = self.journal.geometry().block_size;
        let start = self.random.below(limit);
        let most = if self.random.once_in(2) {
            limit / 16
        } else {
            limit / 2
        };
        let len = 1 + self.random.below(most.min(limit - start));
        let (start, len) = match self.random.once_in(3) {
            true => (start, len),
            false => (start / block * block, len.next_multiple_of(block)),
        };
        FileRange::new(start.into(), len.into()).expect("it is far from what a file can have")
    }

    /// Bytes that are like no others.
    fn content(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len as usize + 6);
        while (bytes.len() as u64) < len {
            bytes.extend_from_slice(&self.random.number().to_le_bytes()[..6]);
        }
        bytes.truncate(len as usize);
        bytes
    }

    /// Changes a file as `change` does, after which it should hold `wanted`.
    pub(super) fn change(
        &mut self,
        number: InodeNumber,
        wanted: Vec<u8>,
        change: impl FnOnce(&mut FileChange<'_, '_>) -> Result,
    ) -> Result<bool> {
        let (done, last) = self.files(|files| {
            let mut file = FileChange::new(files, number);
            let done = change(&mut file);
            (done, file.last())
        });
        self.last = last.max(self.last);
        match done {
            Ok(()) => {
                self.model.contents.insert(number, wanted);
                Ok(true)
            }
            Err(Error::NoSpace) => {
                let found = FileIo::new(self.journal).read_all(number)?;
                self.model.settle(number, &wanted, found);
                Err(Error::NoSpace)
            }
            Err(error) => Err(error),
        }
    }

    /// A file, and what it holds.
    fn file(&mut self) -> Result<Option<(InodeNumber, Vec<u8>)>> {
        let file = self.any_file()?;
        Ok(file.map(|number| (number, self.model.contents[&number].clone())))
    }

    pub(super) fn write(&mut self) -> Result<bool> {
        let range = self.range();
        let Some((number, mut content)) = self.file()? else {
            return Ok(false);
        };
        let bytes = self.content(range.len());
        let size = content.len().max(range.end() as usize);
        content.resize(size, 0);
        content[span(range, size)].copy_from_slice(&bytes);
        self.change(number, content, |file| file.write(range.start(), &bytes))
    }

    pub(super) fn truncate(&mut self) -> Result<bool> {
        let range = self.range();
        let Some((number, mut content)) = self.file()? else {
            return Ok(false);
        };
        let size = match self.random.once_in(4) {
            true => 0,
            false => range.start(),
        };
        content.resize(size as usize, 0);
        self.change(number, content, |file| file.truncate(size))
    }

    pub(super) fn punch(&mut self) -> Result<bool> {
        let range = self.range();
        let Some((number, mut content)) = self.file()? else {
            return Ok(false);
        };
        let size = content.len();
        content[span(range, size)].fill(0);
        self.change(number, content, |file| file.punch(range))
    }

    /// A file, what it holds, and whether what is done makes it larger.
    fn growing(&mut self, range: FileRange) -> Result<Option<(InodeNumber, Vec<u8>, bool)>> {
        let grow = self.random.once_in(2);
        Ok(self.file()?.map(|(number, mut content)| {
            if grow {
                content.resize(content.len().max(range.end() as usize), 0);
            }
            (number, content, grow)
        }))
    }

    pub(super) fn zero(&mut self) -> Result<bool> {
        let range = self.range();
        let Some((number, mut content, grow)) = self.growing(range)? else {
            return Ok(false);
        };
        let size = content.len();
        content[span(range, size)].fill(0);
        self.change(number, content, |file| file.zero(range, grow))
    }

    pub(super) fn preallocate(&mut self) -> Result<bool> {
        let range = self.range();
        let Some((number, content, grow)) = self.growing(range)? else {
            return Ok(false);
        };
        self.change(number, content, |file| file.preallocate(range, grow))
    }

    pub(super) fn unshare(&mut self) -> Result<bool> {
        let range = self.range();
        let Some((number, content, grow)) = self.growing(range)? else {
            return Ok(false);
        };
        self.change(number, content, |file| file.unshare(range, grow))
    }

    /// Changes a file that way if its content can move so, else sees that it is refused.
    fn shift(
        &mut self,
        number: InodeNumber,
        wanted: Option<Vec<u8>>,
        change: impl FnOnce(&mut FileChange<'_, '_>) -> Result,
    ) -> Result<bool> {
        if let Some(wanted) = wanted {
            return self.change(number, wanted, change);
        }
        match self.files(|files| change(&mut FileChange::new(files, number))) {
            Err(Error::Invalid) => Ok(false),
            Err(error) => Err(error),
            // It should have been refused.
            Ok(()) => Err(Error::Invalid),
        }
    }

    pub(super) fn collapse(&mut self) -> Result<bool> {
        let range = self.range();
        let Some((number, mut content)) = self.file()? else {
            return Ok(false);
        };
        let unit = self.unit(number)?;
        let aligned = range.start() % unit == 0 && range.end() % unit == 0;
        let wanted = (aligned && range.end() < content.len() as u64).then(|| {
            content.drain(range.start() as usize..range.end() as usize);
            content
        });
        self.shift(number, wanted, |file| file.collapse(range))
    }

    pub(super) fn insert(&mut self) -> Result<bool> {
        let range = self.range();
        let Some((number, mut content)) = self.file()? else {
            return Ok(false);
        };
        let unit = self.unit(number)?;
        let aligned = range.start() % unit == 0 && range.end() % unit == 0;
        let inside = range.start() < content.len() as u64;
        if content.len() as u64 + range.len() > self.limit() * 2 {
            return Ok(false);
        }
        let wanted = (aligned && inside).then(|| {
            let start = range.start() as usize;
            content.splice(start..start, vec![0; range.len() as usize]);
            content
        });
        self.shift(number, wanted, |file| file.insert(range))
    }
}
