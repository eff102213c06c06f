// SPDX-License-Identifier: GPL-2.0

//! The log's grant heads: who gets room, and when.

use super::workers::{
    Sequence,
    Workers, //
};
use crate::{
    fs::log::grant::{
        Grants,
        Head, //
    },
    libxfs::error::Error,
    rust::bindings, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

const SIZE: u32 = 1000;

#[pin_data]
struct Fixture {
    #[pin]
    grants: Grants,
    /// Those that were served, as decimal digits in their order.
    served: Atomic<u32>,
    turned_away: Atomic<u32>,
    wrong: Atomic<u32>,
}

impl Fixture {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                grants <- Grants::new(SIZE),
                served: Atomic::new(0),
                turned_away: Atomic::new(0),
                wrong: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    fn used(&self) -> (u32, u32) {
        (
            self.grants.used(Head::Reserve),
            self.grants.used(Head::Write),
        )
    }

    /// Waits until so many wait at a head.
    fn wait_for(&self, head: Head, count: u32) {
        for _ in 0..10_000 {
            if self.grants.waiting(head) == count {
                return;
            }
            // SAFETY: Tests may sleep.
            unsafe { bindings::msleep(1) };
        }
        self.wrong.fetch_add(1, Full);
    }

    /// Waits until so many, in this order, have been served.
    fn wait_served(&self, order: u32) {
        for _ in 0..10_000 {
            if self.served.load(Relaxed) == order {
                return;
            }
            // SAFETY: Tests may sleep.
            unsafe { bindings::msleep(1) };
        }
        self.wrong.fetch_add(1, Full);
    }

    fn take(&self, head: Head, bytes: u32, digit: u32) {
        match self.grants.take(head, bytes, || ()) {
            Ok(()) => {
                // Only one is served at a time in these tests, or the order does not matter.
                let before = self.served.load(Relaxed);
                self.served.store(before * 10 + digit, Relaxed);
            }
            Err(Error::Shutdown) => {
                self.turned_away.fetch_add(1, Full);
            }
            Err(_) => {
                self.wrong.fetch_add(1, Full);
            }
        }
    }
}

/// Three that come one after the other: much, little, little.
fn three_in_a_row(fixture: &Fixture, number: u32) {
    fixture.wait_for(Head::Reserve, number);
    let bytes = if number == 0 { 800 } else { 100 };
    fixture.take(Head::Reserve, bytes, number + 1);
}

fn one_at_each_head(fixture: &Fixture, number: u32) {
    match number {
        0 => fixture.take(Head::Reserve, 900, 1),
        _ => {
            fixture.wait_for(Head::Reserve, 1);
            fixture.take(Head::Write, 300, 2);
        }
    }
}

/// Takes and gives back, at random, and never finds more in use than there is.
fn take_and_give(fixture: &Fixture, number: u32) {
    let mut sequence = Sequence::new(number);
    for _ in 0..3000 {
        let bytes = sequence.below(400) as u32 + 1;
        if fixture.grants.take(Head::Reserve, bytes, || ()).is_err() {
            fixture.wrong.fetch_add(1, Full);
            return;
        }
        let (reserve, write) = fixture.used();
        if reserve > SIZE || write > SIZE {
            fixture.wrong.fetch_add(1, Full);
        }
        fixture.grants.give_back(bytes);
    }
}

#[kunit_tests(xfs_rust_log_grants)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_of_both_heads_and_given_back() -> Result {
        let fixture = Fixture::new()?;
        assert_eq!(fixture.grants.take(Head::Reserve, 700, || ()), Ok(()));
        assert_eq!(fixture.used(), (700, 700));
        assert_eq!(
            fixture.grants.take(Head::Reserve, SIZE + 1, || ()),
            Err(Error::Invalid)
        );
        fixture.grants.give_back(700);
        assert_eq!(fixture.used(), (0, 0));
        Ok(())
    }

    #[test]
    fn who_comes_first_is_served_first_however_much_it_wants() -> Result {
        let fixture = Fixture::new()?;
        assert_eq!(fixture.grants.take(Head::Reserve, 600, || ()), Ok(()));
        let workers = Workers::start(3, &fixture, three_in_a_row)?;
        fixture.wait_for(Head::Reserve, 3);
        // The small ones would fit, but the large one is first.
        fixture.grants.give_back(300);
        assert_eq!(fixture.grants.waiting(Head::Reserve), 3);
        assert_eq!(fixture.served.load(Relaxed), 0);
        for order in [1, 12, 123] {
            fixture.grants.give_back(100);
            fixture.wait_served(order);
            assert_eq!(fixture.used(), (1000, 1000));
        }
        drop(workers);
        assert!(!fixture.grants.is_short());
        assert_eq!(fixture.wrong.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn a_chain_goes_before_new_tickets() -> Result {
        let fixture = Fixture::new()?;
        assert_eq!(fixture.grants.take(Head::Reserve, 800, || ()), Ok(()));
        let workers = Workers::start(2, &fixture, one_at_each_head)?;
        fixture.wait_for(Head::Write, 1);
        // Room for the chain, and not for the ticket.
        fixture.grants.give_back(200);
        fixture.wait_for(Head::Write, 0);
        fixture.wait_for(Head::Reserve, 1);
        assert_eq!(fixture.used(), (600, 900));
        fixture.grants.close();
        drop(workers);
        assert_eq!(fixture.served.load(Relaxed), 2);
        assert_eq!(fixture.turned_away.load(Relaxed), 1);
        assert_eq!(fixture.wrong.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn all_who_wait_are_turned_away_by_a_shutdown() -> Result {
        let fixture = Fixture::new()?;
        assert_eq!(fixture.grants.take(Head::Reserve, 1000, || ()), Ok(()));
        let workers = Workers::start(3, &fixture, three_in_a_row)?;
        fixture.wait_for(Head::Reserve, 3);
        fixture.grants.close();
        drop(workers);
        assert_eq!(fixture.turned_away.load(Relaxed), 3);
        assert_eq!(
            fixture.grants.take(Head::Write, 1, || ()),
            Err(Error::Shutdown)
        );
        Ok(())
    }

    #[test]
    fn many_take_and_give_and_no_one_is_forgotten() -> Result {
        let fixture = Fixture::new()?;
        drop(Workers::start(8, &fixture, take_and_give)?);
        assert_eq!(fixture.wrong.load(Relaxed), 0);
        assert_eq!(fixture.used(), (0, 0));
        assert!(!fixture.grants.is_short());
        Ok(())
    }
}
