// SPDX-License-Identifier: GPL-2.0

//! Log space that a transaction asks for before it starts.

/// Room in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogReservation {
    /// Bytes of one transaction.
    pub bytes: u32,
    /// Transactions of a chain that get room at once, so that rolling seldom waits.
    pub count: u32,
    /// Whether the chain may roll.
    pub permanent: bool,
}
