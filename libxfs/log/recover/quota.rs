// SPDX-License-Identifier: GPL-2.0

//! Quota records, put into their block.

use super::{Recovery, Replay};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        crc,
        fault::Fault,
        kind::Kind,
        log::{dquot::DquotItem, item::ItemKind, regions::Regions},
        quota::{DiskDquot, QuotaType, CRC_OFFSET, RECORD_SIZE},
        units::Lsn,
    },
    store::Run,
};
use core::mem::offset_of;
use zerocopy::FromBytes;

const NAME: &str = ItemKind::Dquot.name();

impl<R: Replay> Recovery<'_, R> {
    /// Replays a quota record, unless it is newer or quota of its kind is off.
    pub(super) fn dquot(&mut self, regions: Regions<'_>) -> Result {
        if !self.options.quota {
            return Ok(());
        }
        let lsn = self.lsn;
        let corrupt = |field| Error::log(Fault::corrupt(NAME, field), lsn);
        let item = DquotItem::decode(regions).map_err(|fault| Error::log(fault, lsn))?;
        let kind = item
            .record
            .get(offset_of!(DiskDquot, kind))
            .and_then(|kind| QuotaType::from_disk(*kind))
            .ok_or(corrupt("d_type"))?;
        if self.survey.is_off(kind) {
            return Ok(());
        }
        let run = Run {
            at: item.at,
            len: self.geo.basic_blocks_per_block(),
        };
        let mut block = self.hold(run, NAME)?;
        let replay = |fault| Error::replay(fault, lsn, item.at);
        // Where records are, there are only records.
        Kind::Dquots
            .verify(&self.geo, item.at, &block)
            .map_err(replay)?;
        let record = block
            .get_mut(item.offset as usize..)
            .and_then(|rest| rest.get_mut(..RECORD_SIZE))
            .ok_or(corrupt("qlf_boffset"))?;
        let there = DiskDquot::ref_from_bytes(record).map_err(|_| corrupt("qlf_boffset"))?;
        if there.id.get() != item.id {
            return Err(corrupt("qlf_id"));
        }
        let newer = Lsn(there.lsn.get());
        if newer != Lsn(u64::MAX) && newer >= lsn && newer != Lsn(0) {
            return Ok(());
        }
        let into = record
            .get_mut(..item.record.len())
            .ok_or(corrupt("record"))?;
        into.copy_from_slice(item.record);
        crc::set_block_crc(record, CRC_OFFSET);
        Kind::Dquots
            .verify(&self.geo, item.at, &block)
            .map_err(replay)?;
        self.keep(block, run, Kind::Dquots, false)
    }
}
