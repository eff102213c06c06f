// SPDX-License-Identifier: GPL-2.0

//! Deferred operations: work that outlives the transaction which asks for it.
//!
//! To unmap an extent of a file is to change its map, the reverse mappings, the reference counts and
//! the free space. All at once would need more log space than a transaction gets, and locks in an
//! order that is not theirs. So a transaction logs an intent for what is left to do, and the next
//! ones do it, each with a done item: after a crash, recovery finds the intents without one and does
//! that work. Work that outgrows a transaction is done in part; its done item goes with an intent for
//! the rest.
//!
//! A [`Chain`] is a transaction with the work that it asked for. It cannot be committed before that
//! is done, and where it is given up half done the file system is shut down.
//!
//! # Order
//!
//! What work asks for is done next, before what the chain asked for earlier: that keeps the intents
//! few and young. Work of one kind is in the log in the order in which it is done, so that recovery,
//! which goes by the log, comes to the same end. What recovered intents ask for waits until all of
//! them are done, since some of it may be in the log already, as a younger intent.
//!
//! An intent keeps the log from forgetting anything younger. One that stays for long is logged anew
//! where the journal asks for it: done and intended again in one transaction.
//!
//! Source: `fs/xfs/libxfs/xfs_defer.c` of Linux 7.3 for the order.

mod execute;
mod queue;
mod work;

pub use execute::Structures;
pub use queue::Deferred;

use super::{
    error::Result,
    items::{IntentId, Work},
    journal::{CommitSequence, Journal},
    trans::{Committed, Trans},
};
use kernel::alloc::{flags::GFP_KERNEL, KBox, KVec};

/// A chain of transactions with the work that they ask for.
///
/// It is one pointer: whole operations have it in frames that lie below the deepest calls.
pub struct Chain<'a, J: Journal> {
    body: KBox<Body<'a, J>>,
}

struct Body<'a, J: Journal> {
    // Dropped first: a dirty transaction says by itself that the file system is to be shut down.
    trans: Trans<'a, J>,
    deferred: Deferred<'a, J>,
}

impl<'a, J: Journal> Chain<'a, J> {
    /// A chain that begins with `trans`, whose log space must be permanent.
    ///
    /// # Errors
    ///
    /// `NoMemory`; the transaction is cancelled.
    pub fn new(trans: Trans<'a, J>) -> Result<Self> {
        let deferred = Deferred::new(trans.journal());
        Self::of(trans, deferred)
    }

    /// A chain that does what recovery found in the log: intents without a done item, in the order
    /// of the log.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn resume(trans: Trans<'a, J>, intents: KVec<(IntentId, Work)>) -> Result<Self> {
        let deferred = Deferred::resume(trans.journal(), intents)?;
        Self::of(trans, deferred)
    }

    fn of(trans: Trans<'a, J>, deferred: Deferred<'a, J>) -> Result<Self> {
        let body = KBox::new(Body { trans, deferred }, GFP_KERNEL)?;
        Ok(Self { body })
    }

    /// The transaction, and where it asks for work.
    pub fn parts(&mut self) -> (&mut Trans<'a, J>, &mut Deferred<'a, J>) {
        let Body { trans, deferred } = &mut *self.body;
        (trans, deferred)
    }

    /// Does all the work, in as many transactions as it takes. The last one is not committed.
    ///
    /// # Errors
    ///
    /// Those of the work, of logging and of rolling. If any of the work was promised in the log, the
    /// file system is shut down when the chain is dropped.
    pub fn finish<S: Structures<J>>(&mut self, on: &mut S) -> Result {
        let (trans, deferred) = self.parts();
        let mut begun = false;
        while !deferred.is_empty() {
            let promised = deferred.promise(trans)?;
            if promised || begun {
                trans.roll()?;
                if deferred.renew_old(trans)? {
                    trans.roll()?;
                }
            }
            begun = true;
            deferred.perform(trans, on)?;
        }
        Ok(())
    }

    /// Does all the work and commits. Returns the number of the last transaction, or none when
    /// nothing was changed.
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish) and of [`Trans::commit`].
    pub fn commit<S: Structures<J>>(self, on: &mut S) -> Result<Option<CommitSequence>> {
        Ok(self.commit_keeping(on)?.sequence)
    }

    /// As [`commit`](Self::commit), but hands out the inodes, still locked.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_keeping<S: Structures<J>>(mut self, on: &mut S) -> Result<Committed<J::Inode>> {
        self.finish(on)?;
        self.end()
    }

    /// Commits the last transaction. A frame of its own: nothing else has the chain's body by value.
    #[inline(never)]
    fn end(self) -> Result<Committed<J::Inode>> {
        KBox::into_inner(self.body).trans.commit_keeping()
    }
}
