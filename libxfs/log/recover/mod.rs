// SPDX-License-Identifier: GPL-2.0

//! Recovery: what was committed, put in its place.
//!
//! The log is read twice. The first pass decodes every item of every committed transaction, so that
//! one that makes no sense fails recovery before anything is written; and it notes which buffers
//! were freed and which intents were answered, since that tells what of the second pass is to be
//! left out. The second pass replays.
//!
//! A block may be newer than what the log says of it, for it may have been written since. So each
//! block of this file system carries the LSN of its last change, and an older change is left out.
//! What is replayed gets the LSN of its transaction when it is written, and that is not before the
//! last transaction of that LSN was replayed: several can have the same, and the others would look
//! as if they had been written.
//!
//! What needs transactions is left to whoever has them: intents without an answer are handed on, in
//! their order, and lists of unlinked inodes are where they always are.
//!
//! Source: "Log Recovery" in the XFS format's documentation, and what recovery in Linux 7.3 does.

mod buffer;
mod inode;
mod quota;
mod sort;
mod survey;
mod torn;

pub use inode::apply as apply_inode;

use self::{survey::Survey, torn::TornBlocks};
use super::{
    device::ReadLog,
    gather::Transaction,
    head::Head,
    intent::Intent,
    items::Items,
    read::{self, Live},
};
use crate::libxfs::{
    error::{Error, Result},
    format::{
        fault::Fault,
        geometry::Geometry,
        kind::Kind,
        log::{
            buffer::{BufferItem, FLAG_INODES},
            icreate::InodeCreate,
            item::ItemKind,
            regions::Regions,
        },
        units::{DiskAddr, Lsn, BASIC_BLOCK_LOG},
    },
    store::Run,
};
use core::ops::DerefMut;
use kernel::alloc::{flags::GFP_KERNEL, KVVec};

/// Blocks under recovery.
///
/// Nothing else reads or changes them meanwhile.
pub trait Replay {
    /// A block that is held.
    type Block: DerefMut<Target = [u8]>;

    /// Holds a block of the data device: as it was last [kept](Self::keep), else as it is on the
    /// device. It is not verified; what lies there may be of any kind.
    ///
    /// # Errors
    ///
    /// `Io`, `NoMemory`; `Invalid` outside the device.
    fn hold(&mut self, run: Run) -> Result<Self::Block>;

    /// Keeps what was changed in a block, in memory alone.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    fn keep(&mut self, block: Self::Block) -> Result;

    /// Starts to write a block, with what was changed in it.
    ///
    /// # Errors
    ///
    /// `Io`, `NoMemory`.
    fn write(&mut self, block: Self::Block) -> Result;

    /// Waits until all that was to be written is.
    ///
    /// # Errors
    ///
    /// `Io`.
    fn finish(&mut self) -> Result;

    /// Whether the caller should give up.
    fn interrupted(&self) -> bool {
        false
    }
}

/// What recovery is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Replay quota records. Where quota is off they are left as they are, and counted anew when it
    /// is turned on.
    pub quota: bool,
}

/// What recovery has done, and what is left to do.
pub struct Recovered {
    /// Where the log goes on.
    pub head: Head,
    /// The shape of the file system: it may have grown.
    pub geometry: Geometry,
    /// Intents without an answer, in the order in which they must be carried out.
    pub intents: KVVec<Intent>,
    /// Transactions that were replayed.
    pub transactions: u64,
}

/// Replays a log. `None` when it is clean.
///
/// The log itself is only read: until something is written behind its head, it can be replayed
/// again.
///
/// # Errors
///
/// Corruption that names the record, and the item and the field in it, or the block that comes out
/// wrong; then nothing more is written. Those of the devices; `NoMemory`; `Interrupted`.
pub fn recover<D: ReadLog, R: Replay>(
    log: &D,
    blocks: &mut R,
    geo: &Geometry,
    options: Options,
) -> Result<Option<Recovered>> {
    let head = read::head(log, geo)?;
    let Some(mut live) = Live::new(log, geo, &head)? else {
        return Ok(None);
    };
    let mut survey = Survey::new();
    live.transactions(|transaction| survey.transaction(&transaction))?;
    survey.close()?;
    let mut recovery = Recovery {
        blocks,
        geo: geo.clone(),
        options,
        survey: &survey,
        pending: KVVec::new(),
        torn: TornBlocks::new(),
        end: head.next,
        intents: KVVec::new(),
        lsn: Lsn(0),
        transaction: 0,
        item: 0,
    };
    live.transactions(|transaction| recovery.transaction(&transaction))?;
    recovery.submit()?;
    recovery.submit_torn()?;
    for intent in &recovery.intents {
        intent.check(&recovery.geo)?;
    }
    Ok(Some(Recovered {
        head,
        geometry: recovery.geo,
        intents: recovery.intents,
        transactions: recovery.transaction,
    }))
}

/// A block that was changed and is to be written.
#[derive(Clone, Copy)]
struct Pending {
    run: Run,
    kind: Kind,
    /// Whether its stamp gets the LSN; else just the checksum is set.
    logged: bool,
    /// Counts up: of several for one block the last says what it is.
    order: usize,
}

/// The second pass.
struct Recovery<'a, R: Replay> {
    blocks: &'a mut R,
    geo: Geometry,
    options: Options,
    survey: &'a Survey,
    /// Blocks that transactions of `lsn` have changed.
    pending: KVVec<Pending>,
    torn: TornBlocks,
    /// Where the log goes on.
    end: Lsn,
    intents: KVVec<Intent>,
    lsn: Lsn,
    /// Transactions so far.
    transaction: u64,
    /// Items so far.
    item: u64,
}

/// When an item of a transaction is replayed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// First what makes the blocks that others change: buffers, and new inodes.
    Buffers,
    /// Then all else.
    Others,
    /// Then the pointers of unlinked inodes, in clusters that inodes were put into before.
    Unlinked,
}

const TURNS: [Turn; 3] = [Turn::Buffers, Turn::Others, Turn::Unlinked];

impl<R: Replay> Recovery<'_, R> {
    fn transaction(&mut self, transaction: &Transaction) -> Result {
        if self.blocks.interrupted() {
            return Err(Error::Interrupted);
        }
        let lsn = transaction.lsn;
        if lsn != self.lsn {
            self.submit()?;
            self.lsn = lsn;
        }
        for turn in TURNS {
            for (index, regions) in transaction.items.iter().enumerate() {
                let kind = Items::kind_of(&regions, lsn)?;
                let order = self.item.saturating_add(index as u64);
                self.item(turn, kind, regions, order)?;
            }
        }
        self.item = self.item.saturating_add(transaction.items.len() as u64);
        self.transaction = self.transaction.saturating_add(1);
        Ok(())
    }

    /// Replays an item if it is its turn.
    fn item(&mut self, turn: Turn, kind: ItemKind, regions: Regions<'_>, order: u64) -> Result {
        let lsn = self.lsn;
        let corrupt = |fault| Error::log(fault, lsn);
        match (kind, turn) {
            (ItemKind::Buffer, Turn::Buffers | Turn::Unlinked) => {
                let item = BufferItem::decode(regions).map_err(corrupt)?;
                let unlinked = item.flags & FLAG_INODES != 0;
                if item.is_cancelled() || unlinked != (turn == Turn::Unlinked) {
                    return Ok(());
                }
                self.buffer(&item)
            }
            (ItemKind::Icreate, Turn::Buffers) => {
                self.icreate(&InodeCreate::decode(&regions).map_err(corrupt)?)
            }
            (ItemKind::Inode, Turn::Others) => self.inode(regions),
            (ItemKind::Dquot, Turn::Others) => self.dquot(regions),
            (_, Turn::Others) if self.survey.is_open(order) => {
                if let Some(intent) = Intent::decode(kind, regions, lsn)? {
                    self.intents.push(intent, GFP_KERNEL)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A fault of the item that is replayed.
    fn corrupt(&self, structure: &'static str, field: &'static str) -> Error {
        Error::log(Fault::corrupt(structure, field), self.lsn)
    }

    /// Whether a later transaction, or this one, has freed a buffer.
    fn is_freed(&self, at: DiskAddr, len: u32) -> bool {
        self.survey.is_freed(at, len, self.transaction)
    }

    /// Holds a block of the data device that an item names.
    fn hold(&mut self, run: Run, structure: &'static str) -> Result<R::Block> {
        let end = run.at.checked_add(u64::from(run.len));
        let size = self
            .geo
            .data_blocks
            .checked_mul(u64::from(self.geo.basic_blocks_per_block()));
        match (end, size) {
            (Some(end), Some(size)) if end.0 <= size => self.blocks.hold(run),
            _ => Err(self.corrupt(structure, "blkno")),
        }
    }

    /// Keeps a block that was changed, to be written as that kind.
    fn keep(&mut self, block: R::Block, run: Run, kind: Kind, logged: bool) -> Result {
        if self.torn.contains(run) {
            return self.keep_torn(block, run, kind, logged);
        }
        let order = self.pending.len();
        let pending = Pending {
            run,
            kind,
            logged,
            order,
        };
        self.pending.push(pending, GFP_KERNEL)?;
        self.blocks.keep(block)
    }

    /// Writes all that was changed: sets checksums and LSNs, and holds it to the rules of what it
    /// is.
    fn submit(&mut self) -> Result {
        let mut pending = core::mem::take(&mut self.pending);
        let place = |one: &Pending| (one.run.at, one.run.len);
        sort::sort(&mut pending, |one| (place(one), one.order));
        let mut all = pending.iter().peekable();
        while let Some(one) = all.next() {
            let again = all.peek().is_some_and(|next| place(next) == place(one));
            if again || self.torn.contains(one.run) {
                continue;
            }
            let mut block = self.blocks.hold(one.run)?;
            let lsn = one.logged.then_some(self.lsn);
            one.kind.seal(&self.geo, &mut block, lsn);
            one.kind
                .verify(&self.geo, one.run.at, &block)
                .map_err(|fault| Error::replay(fault, self.lsn, one.run.at))?;
            self.blocks.write(block)?;
        }
        pending.clear();
        // Its memory serves the next ones.
        self.pending = pending;
        self.blocks.finish()
    }
}

/// Basic blocks of a number of file system blocks.
fn basic_blocks(geo: &Geometry, blocks: u32) -> u32 {
    let log = geo.block_log.saturating_sub(BASIC_BLOCK_LOG);
    blocks.checked_shl(u32::from(log)).unwrap_or(u32::MAX)
}
