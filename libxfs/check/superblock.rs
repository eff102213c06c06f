// SPDX-License-Identifier: GPL-2.0

//! The superblock and its copies.

use super::{Check, Finding, Place, Subject};
use crate::libxfs::{
    error::Result,
    format::{
        ag::SUPERBLOCK_SECTOR,
        geometry::{Features, Geometry},
        kind::Kind,
        sb::{DiskSuperblock, VERSION_QUOTA},
        units::{AgNumber, BASIC_BLOCK_LOG},
    },
    store::{Device, Run, Store},
};

/// Bits of `sb_versionnum` that are set when the first attribute, large link count or quota is made,
/// in the superblock in use alone.
const LATER_VERSION: u16 = 0x0010 | 0x0020 | VERSION_QUOTA;
/// Bits of `sb_features2` that are set later: attributes version 2.
const LATER_FEATURES2: u32 = 0x0008;

/// What never changes while a file system is mounted, so that every copy has it, as numbers.
///
/// Left out is what only the first copy keeps up to date: counters, the label and the uuid, inode
/// numbers, quota flags, and features that the log may set.
fn fixed(sb: &DiskSuperblock) -> [(&'static str, u64); 31] {
    let features = sb.features();
    let meta_uuid = match features.meta_uuid() {
        true => u128::from_be_bytes(sb.meta_uuid),
        false => 0,
    };
    let (first_half, second_half) = ((meta_uuid >> 64) as u64, meta_uuid as u64);
    [
        ("blocksize", u64::from(sb.blocksize.get())),
        ("dblocks", sb.dblocks.get()),
        ("rblocks", sb.rblocks.get()),
        ("rextents", sb.rextents.get()),
        ("logstart", sb.logstart.get()),
        ("rextsize", u64::from(sb.rextsize.get())),
        ("agblocks", u64::from(sb.agblocks.get())),
        ("agcount", u64::from(sb.agcount.get())),
        ("rbmblocks", u64::from(sb.rbmblocks.get())),
        ("logblocks", u64::from(sb.logblocks.get())),
        ("sectsize", u64::from(sb.sectsize.get())),
        ("inodesize", u64::from(sb.inodesize.get())),
        ("inopblock", u64::from(sb.inopblock.get())),
        ("inoalignmt", u64::from(sb.inoalignmt.get())),
        ("spino_align", u64::from(sb.spino_align.get())),
        ("dirblklog", u64::from(sb.dirblklog)),
        ("logsectsize", u64::from(sb.logsectsize.get())),
        ("logsunit", u64::from(sb.logsunit.get())),
        ("rgcount", u64::from(sb.rgcount.get())),
        ("rgextents", u64::from(sb.rgextents.get())),
        ("rtstart", sb.rtstart.get()),
        ("rtreserved", sb.rtreserved.get()),
        ("rextslog", u64::from(sb.rextslog)),
        ("inprogress", u64::from(sb.inprogress)),
        (
            "versionnum",
            u64::from(sb.versionnum.get() & !LATER_VERSION),
        ),
        (
            "features2",
            u64::from(sb.features2.get() & !LATER_FEATURES2),
        ),
        ("features_compat", u64::from(features.compat)),
        ("features_ro_compat", u64::from(features.ro_compat)),
        (
            "features_incompat",
            u64::from(features.incompat & !Features::NEEDS_REPAIR),
        ),
        ("meta_uuid", first_half),
        ("meta_uuid", second_half),
    ]
}

/// Fields that a file system of this shape does not use, and has zeroes in.
fn unused(geo: &Geometry, sb: &DiskSuperblock) -> impl Iterator<Item = (&'static str, u64)> {
    // In the metadata directory tree files have names instead.
    let numbers = [
        ("rbmino", sb.rbmino.get()),
        ("rsumino", sb.rsumino.get()),
        ("uquotino", sb.uquotino.get()),
        ("gquotino", sb.gquotino.get()),
        ("pquotino", sb.pquotino.get()),
    ];
    let groups = [
        ("metadirino", sb.metadirino.get()),
        ("rgcount", sb.rgcount.get().into()),
        ("rgextents", sb.rgextents.get().into()),
        ("rgblklog", sb.rgblklog.into()),
    ];
    let zones = [
        ("rtstart", sb.rtstart.get()),
        ("rtreserved", sb.rtreserved.get()),
    ];
    let (metadir, zoned) = (geo.features.metadir(), geo.features.zoned());
    let numbers = numbers.into_iter().filter(move |_| metadir);
    let groups = groups.into_iter().filter(move |_| !metadir);
    let zones = zones.into_iter().filter(move |_| !zoned);
    let has_quota = sb.versionnum.get() & VERSION_QUOTA != 0;
    // Of quota files that are not there the number is all ones, or zero.
    let file = |number: u64| if number == u64::MAX { 0 } else { number };
    let quota = [
        ("qflags", u64::from(sb.qflags.get())),
        ("uquotino", file(sb.uquotino.get())),
        ("gquotino", file(sb.gquotino.get())),
        ("pquotino", file(sb.pquotino.get())),
    ];
    let quota = quota.into_iter().filter(move |_| !has_quota);
    let has_uuid = geo.features.meta_uuid();
    let uuid = [("meta_uuid", u64::from(sb.meta_uuid != [0; 16]))];
    let uuid = uuid.into_iter().filter(move |_| !has_uuid);
    let flags = [("flags", u64::from(sb.flags))];
    numbers
        .chain(groups)
        .chain(zones)
        .chain(quota)
        .chain(uuid)
        .chain(flags)
}

impl<S: Store> Check<'_, S> {
    /// Holds each copy to the superblock in use.
    pub(super) fn superblocks(&mut self) -> Result {
        let first = self.superblock(AgNumber(0))?;
        let Some(first) = first else {
            return Ok(());
        };
        self.equal(
            Subject::Superblock,
            Place::Group(AgNumber(0)),
            "inprogress",
            0,
            u64::from(first.inprogress),
        )?;
        for ag in self.all_groups().skip(1) {
            self.stop_if_interrupted()?;
            let Some(copy) = self.superblock(ag)? else {
                continue;
            };
            // A copy that mkfs.xfs left half made is to be used by nobody.
            for ((field, expected), (_, found)) in fixed(&first).into_iter().zip(fixed(&copy)) {
                if field == "inprogress" {
                    continue;
                }
                self.equal(
                    Subject::Superblock,
                    Place::Group(ag),
                    field,
                    expected,
                    found,
                )?;
            }
        }
        Ok(())
    }

    /// The superblock of a group, and that nothing follows it in its sector.
    pub(super) fn superblock(&mut self, ag: AgNumber) -> Result<Option<DiskSuperblock>> {
        let geo = self.store.geometry();
        let place = Place::Group(ag);
        let Some(at) = geo.ag_header_addr(ag, SUPERBLOCK_SECTOR) else {
            return Ok(None);
        };
        let run = Run {
            at,
            len: geo.sector_size >> BASIC_BLOCK_LOG,
        };
        let block = self.store.read(Device::Data, run, Kind::Superblock);
        let Some(block) = self.kept(Subject::Superblock, place, block)? else {
            return Ok(None);
        };
        let behind = block.get(core::mem::size_of::<DiskSuperblock>()..);
        if behind.is_some_and(|rest| rest.iter().any(|&byte| byte != 0)) {
            self.find(Finding::number(Subject::Superblock, place, "sector", 0, 1))?;
        }
        let Some(&sb) = DiskSuperblock::view(&block) else {
            return Ok(None);
        };
        for (field, number) in unused(geo, &sb) {
            self.equal(Subject::Superblock, place, field, 0, number)?;
        }
        Ok(Some(sb))
    }
}
