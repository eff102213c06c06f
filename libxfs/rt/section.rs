// SPDX-License-Identifier: GPL-2.0

//! The bitmap and the summary of a group in a transaction, or those of a section without groups.

use super::{
    free::run_of,
    scan::{run_start, Bitmap, Scan},
    GroupFile,
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        rt::{self, RtFile, Words, WORD_BITS, WORD_BITS_LOG},
        units::{RtExtent, RtGroup},
    },
    journal::Journal,
    store::{Device, Run},
    trans::{BlockId, Trans},
};

/// Bitmap and summary, locked.
///
/// The first block of the summary stands for both files: whoever looks at them or changes them has
/// it locked, for as long as the transaction lives or until it rolls, if anything was changed.
pub(crate) struct Section<'t, 'a, J: Journal> {
    trans: &'t mut Trans<'a, J>,
    pub(super) group: Option<RtGroup>,
    bitmap: J::RtFile,
    summary: J::RtFile,
    lock: BlockId,
    /// The block that was looked at last.
    held: Option<(RtFile, u64, BlockId)>,
}

/// The run of block `at` of a file.
fn run<J: Journal>(trans: &Trans<'_, J>, file: &J::RtFile, at: u64) -> Result<Run> {
    run_of(trans.geometry(), file, at)
}

impl<'t, 'a, J: Journal> Section<'t, 'a, J> {
    /// Locks those of a group, or without one those of the section. `None` where that takes waiting
    /// and `wait` forbids it.
    pub(crate) fn lock(
        trans: &'t mut Trans<'a, J>,
        group: Option<RtGroup>,
        wait: bool,
    ) -> Result<Option<Self>> {
        let journal = trans.journal();
        let bitmap = journal.rt_file(group, GroupFile::Bitmap)?;
        let summary = journal.rt_file(group, GroupFile::Summary)?;
        let first = run(trans, &summary, 0)?;
        let kind = Kind::Rt(RtFile::Summary);
        let lock = if wait {
            trans.read(Device::Data, first, kind)?
        } else {
            match trans.try_read(Device::Data, first, kind)? {
                Some(lock) => lock,
                None => return Ok(None),
            }
        };
        Ok(Some(Self {
            trans,
            group,
            bitmap,
            summary,
            lock,
            held: None,
        }))
    }

    /// The transaction.
    pub(crate) fn trans(&mut self) -> &mut Trans<'a, J> {
        self.trans
    }

    /// The group.
    pub(crate) const fn group(&self) -> Option<RtGroup> {
        self.group
    }

    /// Realtime extents that the bitmap tells of.
    pub(super) fn extents(&self) -> Result<u64> {
        rt::extents_of(self.trans.geometry(), self.group).ok_or(Error::Invalid)
    }

    /// Unlocks it, unless it was changed.
    pub(crate) fn unlock(mut self) {
        self.let_go();
        self.trans.release(self.lock);
    }

    fn let_go(&mut self) {
        if let Some((_, _, block)) = self.held.take() {
            self.trans.release(block);
        }
    }

    fn corrupt(&self, field: &'static str) -> Error {
        Error::inode(Fault::corrupt("rtbitmap", field), self.bitmap.number)
    }

    const fn file(&self, file: RtFile) -> &J::RtFile {
        match file {
            RtFile::Bitmap => &self.bitmap,
            RtFile::Summary => &self.summary,
        }
    }

    /// Block `at` of a file, held until another one is asked for.
    fn block(&mut self, file: RtFile, at: u64) -> Result<BlockId> {
        match self.held {
            Some((held, block, id)) if held == file && block == at => return Ok(id),
            _ => self.let_go(),
        }
        let run = run(self.trans, self.file(file), at)?;
        let id = self.trans.read(Device::Data, run, Kind::Rt(file))?;
        self.held = Some((file, at, id));
        Ok(id)
    }

    fn get(&mut self, file: RtFile, at: u64, index: usize) -> Result<u32> {
        let block = self.block(file, at)?;
        let owner = self.file(file).number;
        let words = Words::new(self.trans.geometry(), self.trans.bytes(block), file, owner);
        let words = words.map_err(|fault| match self.trans.place(block) {
            Some((device, at)) => Error::block(fault, device, at),
            None => Error::Invalid,
        })?;
        words.get(index).ok_or(Error::Invalid)
    }

    fn set(&mut self, file: RtFile, at: u64, index: usize, word: u32) -> Result {
        let block = self.block(file, at)?;
        let geo = self.trans.geometry();
        let range = rt::word_range(geo, index).ok_or(Error::Invalid)?;
        let bytes = self.trans.change(block, range)?;
        bytes.copy_from_slice(&rt::encode_word(geo, word));
        Ok(())
    }

    /// Whether all of the extents are free, or none of them is.
    fn are(&mut self, free: bool, start: RtExtent, end: RtExtent) -> Result<bool> {
        Ok(Scan::new(start, end).skip(self, free)? == end.0)
    }

    /// Takes `count` extents, all of which are free.
    ///
    /// # Errors
    ///
    /// `Corrupt` where they are not; `Invalid` for extents outside the group; those of reading and of
    /// changing.
    pub(crate) fn take(&mut self, start: RtExtent, count: u64) -> Result {
        self.change(start, count, false)
    }

    /// Makes `count` extents free, none of which is.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub(crate) fn give(&mut self, start: RtExtent, count: u64) -> Result {
        self.change(start, count, true)
    }

    fn change(&mut self, start: RtExtent, count: u64, free: bool) -> Result {
        let extents = self.extents()?;
        let end = start.checked_add(count).ok_or(Error::Invalid)?;
        if count == 0 || end.0 > extents {
            return Err(Error::Invalid);
        }
        if !self.are(!free, start, end)? {
            return Err(self.corrupt("bit"));
        }
        let first = run_start(self, start)?;
        let last = RtExtent(Scan::new(end, RtExtent(extents)).skip(self, true)?);
        let (whole, parts) = if free { (1, -1) } else { (-1, 1) };
        self.count(first, start, parts)?;
        self.count(end, last, parts)?;
        self.count(first, last, whole)?;
        self.set_bits(start, end, free)
    }

    /// Counts a run that there is now, or that is no more.
    fn count(&mut self, start: RtExtent, end: RtExtent, n: i32) -> Result {
        let len = end.distance_from(start).unwrap_or(0);
        let Some(level) = len.checked_ilog2() else {
            return Ok(());
        };
        let geo = self.trans.geometry();
        let (block, _) = rt::bitmap_position(geo, start);
        let (at, index) = rt::summary_position(geo, level, block).ok_or(Error::Invalid)?;
        let index = index as usize;
        let count = self.get(RtFile::Summary, at, index)?.checked_add_signed(n);
        let count = count.ok_or_else(|| {
            Error::inode(Fault::corrupt("rtsummary", "count"), self.summary.number)
        })?;
        self.set(RtFile::Summary, at, index, count)
    }

    /// Runs of `level` that begin in a block of the bitmap.
    pub(super) fn counted(&mut self, level: u32, block: u64) -> Result<u32> {
        let position = rt::summary_position(self.trans.geometry(), level, block);
        let (at, index) = position.ok_or(Error::Invalid)?;
        self.get(RtFile::Summary, at, index as usize)
    }

    fn set_bits(&mut self, start: RtExtent, end: RtExtent, free: bool) -> Result {
        let mut at = start;
        while at < end {
            let (block, bit) = rt::bitmap_position(self.trans.geometry(), at);
            let index = (bit >> WORD_BITS_LOG) as usize;
            let bit = bit as u32 & WORD_BITS.saturating_sub(1);
            let left = end.distance_from(at).unwrap_or(0);
            let count = u64::from(WORD_BITS.saturating_sub(bit)).min(left) as u32;
            let ones = u32::MAX
                .checked_shr(WORD_BITS.saturating_sub(count))
                .unwrap_or(0);
            let mask = ones.checked_shl(bit).unwrap_or(0);
            let word = self.get(RtFile::Bitmap, block, index)?;
            let word = if free { word | mask } else { word & !mask };
            self.set(RtFile::Bitmap, block, index, word)?;
            at = at.checked_add(count.into()).ok_or(Error::Invalid)?;
        }
        Ok(())
    }
}

impl<J: Journal> Bitmap for Section<'_, '_, J> {
    fn geometry(&self) -> &Geometry {
        self.trans.geometry()
    }

    fn word(&mut self, block: u64, index: usize) -> Result<u32> {
        self.get(RtFile::Bitmap, block, index)
    }
}

impl<J: Journal> Drop for Section<'_, '_, J> {
    fn drop(&mut self) {
        self.let_go();
    }
}
