// SPDX-License-Identifier: GPL-2.0

//! The grant heads: how much of the log is promised, and who waits for more.
//!
//! Two sums of bytes. The *reserve* head has all that was promised: what lies between the log's tail
//! and head, what committed changes will take that are not written yet, and what tickets hold for
//! all transactions of their chains. A new ticket waits here. The *write* head lacks what chains
//! were promised again once they had used up what they came with; that they wait for here, and as no
//! new ticket counts on it, those that hold locks already come first.
//!
//! Both lie in one word, so taking for a new ticket is one compare-and-exchange where there is room.
//! Where there is not, whoever comes next queues up behind. Room that becomes free is given to the
//! first in the queue, and taken on its behalf, before it is woken: no one can come in between, and
//! no one wakes for nothing.

use crate::{
    libxfs::error::{
        Error,
        Result, //
    },
    rust::kernel::{
        nofs::NoFs,
        wait, //
    },
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinks, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Mutex, //
    },
};

/// The two heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// For new tickets.
    Reserve,
    /// For the next transaction of a chain.
    Write,
}

/// In a [`Waiter`]'s word: it waits.
const WAITING: u32 = 1 << 0;
/// In a [`Waiter`]'s word: it was turned away.
const REFUSED: u32 = 1 << 1;

/// Someone who waits for room.
#[pin_data]
struct Waiter {
    bytes: u32,
    state: Atomic<u32>,
    #[pin]
    links: ListLinks,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Waiter { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Waiter { using ListLinks { self.links }; }
}

/// Those who wait at a head, the first first.
#[pin_data]
struct Queue {
    #[pin]
    waiters: Mutex<List<Waiter>>,
    /// How many there are; changes under the lock.
    len: Atomic<u32>,
}

impl Queue {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            waiters <- new_mutex!(List::new(), "xfs_rust_grant"),
            len: Atomic::new(0),
        })
    }
}

/// The grant heads of a log.
#[pin_data]
pub(crate) struct Grants {
    /// Bytes that can be promised.
    size: u32,
    /// What is promised: of the reserve head in the upper half, of the write head in the lower.
    ///
    /// The reserve head may be promised more than there is, by those that wait at the write head.
    used: Atomic<u64>,
    /// Whether all are turned away.
    closed: Atomic<u32>,
    #[pin]
    reserve: Queue,
    #[pin]
    write: Queue,
}

/// That many bytes of both heads.
const fn both(bytes: u32) -> u64 {
    (bytes as u64) << 32 | bytes as u64
}

impl Grants {
    /// Heads of a log of `size` bytes, nothing of which is in use.
    pub(crate) fn new(size: u32) -> impl PinInit<Self> {
        pin_init!(Self {
            size,
            used: Atomic::new(0),
            closed: Atomic::new(0),
            reserve <- Queue::new(),
            write <- Queue::new(),
        })
    }

    /// Bytes that are promised at a head.
    pub(crate) fn used(&self, head: Head) -> u32 {
        Self::part(self.used.load(Acquire), head)
    }

    const fn part(used: u64, head: Head) -> u32 {
        match head {
            Head::Reserve => (used >> 32) as u32,
            Head::Write => used as u32,
        }
    }

    /// How many wait at a head.
    pub(crate) fn waiting(&self, head: Head) -> u32 {
        self.queue(head).len.load(Acquire)
    }

    /// Whether anyone waits.
    pub(crate) fn is_short(&self) -> bool {
        self.waiting(Head::Reserve) != 0 || self.waiting(Head::Write) != 0
    }

    fn queue(&self, head: Head) -> &Queue {
        match head {
            Head::Reserve => &self.reserve,
            Head::Write => &self.write,
        }
    }

    /// What is added where a head promises so many bytes: a new ticket counts at both.
    const fn amount(head: Head, bytes: u32) -> u64 {
        match head {
            Head::Reserve => both(bytes),
            Head::Write => bytes as u64,
        }
    }

    /// Takes room if there is any.
    fn try_take(&self, head: Head, bytes: u32) -> bool {
        let mut old = self.used.load(Acquire);
        loop {
            let free = self.size.saturating_sub(Self::part(old, head));
            if free < bytes {
                return false;
            }
            let new = old.wrapping_add(Self::amount(head, bytes));
            match self.used.cmpxchg(old, new, Full) {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
    }

    /// Takes `bytes` at a head; of the reserve head they are taken of both. Waits for its turn, after
    /// it has called `hurry` to have the log's tail moved.
    ///
    /// # Errors
    ///
    /// `Invalid` for more than the log will ever hold; `Shutdown`; `NoMemory`.
    pub(crate) fn take(&self, head: Head, bytes: u32, hurry: impl FnOnce()) -> Result {
        if bytes > self.size {
            return Err(Error::Invalid);
        }
        if self.closed.load(Acquire) != 0 {
            return Err(Error::Shutdown);
        }
        let queue = self.queue(head);
        if queue.len.load(Acquire) == 0 && self.try_take(head, bytes) {
            return Ok(());
        }
        let waiter = {
            let _nofs = NoFs::new();
            ListArc::pin_init::<kernel::error::Error>(
                try_pin_init!(Waiter {
                    bytes,
                    state: Atomic::new(WAITING),
                    links <- ListLinks::new(),
                }),
                GFP_KERNEL,
            )
            .map_err(|_| Error::NoMemory)?
        };
        let handle = waiter.clone_arc();
        {
            let mut waiters = queue.waiters.lock();
            // Before room is looked for once more: who frees some looks here after that.
            queue.len.fetch_add(1, Full);
            if self.closed.load(Acquire) != 0 {
                queue.len.fetch_add(u32::MAX, Full);
                return Err(Error::Shutdown);
            }
            if waiters.is_empty() && self.try_take(head, bytes) {
                queue.len.fetch_add(u32::MAX, Full);
                return Ok(());
            }
            waiters.push_back(waiter);
        }
        hurry();
        wait::wait_while(&handle.state, WAITING);
        match handle.state.load(Acquire) & REFUSED {
            0 => Ok(()),
            _ => Err(Error::Shutdown),
        }
    }

    /// Promises `bytes` at the reserve head that no one waits for: a chain's next transaction, which
    /// will wait at the write head.
    pub(super) fn promise(&self, bytes: u32) {
        self.used.fetch_add(u64::from(bytes) << 32, Full);
    }

    /// Counts `bytes` more at both heads, whether there is room or not: they are in use.
    pub(super) fn occupy(&self, bytes: u32) {
        self.used.fetch_add(both(bytes), Full);
    }

    /// Gives `bytes` back to both heads, and to those who wait.
    pub(crate) fn give_back(&self, bytes: u32) {
        self.give(bytes, bytes);
    }

    /// Gives back different amounts to the two heads.
    pub(super) fn give(&self, reserve: u32, write: u32) {
        let amount = u64::from(reserve) << 32 | u64::from(write);
        if amount != 0 {
            self.used.fetch_sub(amount, Full);
        }
        // Chains first: they hold locks.
        for head in [Head::Write, Head::Reserve] {
            if self.waiting(head) != 0 {
                self.serve(head);
            }
        }
    }

    /// Gives room to those who wait, in their order, for as long as it lasts.
    fn serve(&self, head: Head) {
        let queue = self.queue(head);
        let mut waiters = queue.waiters.lock();
        loop {
            let mut cursor = waiters.cursor_front();
            let Some(first) = cursor.peek_next() else {
                return;
            };
            if !self.try_take(head, first.bytes) {
                return;
            }
            let first = first.remove();
            queue.len.fetch_add(u32::MAX, Full);
            first.state.store(0, Release);
            wait::wake(&first.state);
        }
    }

    /// Turns all away, now and from now on.
    pub(crate) fn close(&self) {
        self.closed.store(1, Release);
        for head in [Head::Write, Head::Reserve] {
            let queue = self.queue(head);
            let mut waiters = queue.waiters.lock();
            while let Some(waiter) = waiters.pop_front() {
                queue.len.fetch_add(u32::MAX, Full);
                waiter.state.store(REFUSED, Release);
                wait::wake(&waiter.state);
            }
        }
    }

    /// Whether all are turned away.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed) != 0
    }
}
