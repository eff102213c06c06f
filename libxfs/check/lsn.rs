// SPDX-License-Identifier: GPL-2.0

//! Blocks that claim to have been written after the end of the log.
//!
//! A block remembers the log record that last wrote it, and recovery skips blocks that are newer
//! than what it replays. One from the future would never be recovered, so no block may be.

use crate::libxfs::{
    error::{Error, Result},
    format::{
        ag::{agf::DiskAgf, agfl::DiskAgfl, agi::DiskAgi},
        btree::{LongHeader, ShortHeader, TreeKind},
        da::BlockInfo,
        dir::BlockHeader,
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        quota, rt, symlink,
        units::Lsn,
    },
    store::{Device, Run, Store},
};
use core::{mem::offset_of, ops::Deref};
use zerocopy::{byteorder::big_endian::U64, FromBytes};

/// A store that holds what it reads to the log's end.
pub(super) struct UpTo<'a, S> {
    store: &'a S,
    /// Where the next record of the log goes; `None` if that is not known.
    end: Option<Lsn>,
}

impl<'a, S: Store> UpTo<'a, S> {
    pub(super) fn new(store: &'a S, end: Option<Lsn>) -> Self {
        Self { store, end }
    }

    fn check(&self, kind: Kind, bytes: &[u8]) -> core::result::Result<(), Fault> {
        let Some((structure, offset)) = place(self.geometry(), kind) else {
            return Ok(());
        };
        let is_past = |bytes: &[u8]| {
            // All ones are those of blocks that are not logged.
            number(bytes, offset).is_some_and(|lsn| lsn != Lsn(u64::MAX) && Some(lsn) > self.end)
        };
        // Records of quota have one each, behind one another.
        let past = match kind {
            Kind::Dquots => bytes.chunks_exact(quota::RECORD_SIZE).any(is_past),
            _ => is_past(bytes),
        };
        match past {
            true => Err(Fault::corrupt(structure, "lsn")),
            false => Ok(()),
        }
    }
}

/// The number at `offset`.
fn number(bytes: &[u8], offset: usize) -> Option<Lsn> {
    let (number, _) = U64::ref_from_prefix(bytes.get(offset..)?).ok()?;
    Some(Lsn(number.get()))
}

/// Name of a kind of block, and where its sequence number lies. Inodes, of which a block has many,
/// say theirs in the core; the superblock's is that of its own last change.
fn place(geo: &Geometry, kind: Kind) -> Option<(&'static str, usize)> {
    Some(match kind {
        Kind::Agf => ("agf", offset_of!(DiskAgf, lsn)),
        Kind::Agi => ("agi", offset_of!(DiskAgi, lsn)),
        Kind::Agfl => ("agfl", offset_of!(DiskAgfl, lsn)),
        Kind::Btree(TreeKind::Bmap | TreeKind::RtRmap | TreeKind::RtRefcount) => {
            ("btree block", offset_of!(LongHeader, lsn))
        }
        Kind::Btree(_) => ("btree block", offset_of!(ShortHeader, lsn)),
        Kind::DirData | Kind::DirBlock => ("dir3 data", offset_of!(BlockHeader, lsn)),
        Kind::DirFree => ("dir3 free", offset_of!(BlockHeader, lsn)),
        Kind::DirLeaf | Kind::DirTree => ("dir3 leaf", offset_of!(BlockInfo, lsn)),
        Kind::AttrTree => ("attr3 leaf", offset_of!(BlockInfo, lsn)),
        Kind::Symlink => ("symlink", offset_of!(symlink::Header, lsn)),
        Kind::Dquots => ("dquot", offset_of!(quota::DiskDquot, lsn)),
        Kind::Rt(_) => ("rt buffer", rt::lsn_offset(geo)?),
        _ => return None,
    })
}

impl<S: Store> Store for UpTo<'_, S> {
    type Block = S::Block;

    fn geometry(&self) -> &Geometry {
        self.store.geometry()
    }

    fn read_runs(&self, device: Device, runs: &[Run], kind: Kind) -> Result<Self::Block> {
        let block = self.store.read_runs(device, runs, kind)?;
        if let (Some(_), Some(first)) = (self.end, runs.first()) {
            self.check(kind, block.deref())
                .map_err(|fault| Error::block(fault, device, first.at))?;
        }
        Ok(block)
    }

    fn read_ahead(&self, device: Device, run: Run, kind: Kind) {
        self.store.read_ahead(device, run, kind);
    }

    fn interrupted(&self) -> bool {
        self.store.interrupted()
    }
}
