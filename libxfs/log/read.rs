// SPDX-License-Identifier: GPL-2.0

//! The part of a log that recovery needs, read from its tail to its head.

use super::{
    device::ReadLog,
    gather::{Gather, Transaction},
    head::{self, Head},
    record::Walk,
    ring::Ring,
};
use crate::libxfs::{
    error::{Error, Result},
    format::geometry::Geometry,
};

/// Finds the head of a log, with torn and unfinished records cut off. Reads only.
///
/// # Errors
///
/// `Corrupt` when the newest record breaks a rule, or there is none; those of reading; `NoMemory`.
pub fn head<D: ReadLog>(device: &D, geo: &Geometry) -> Result<Head> {
    head::find(&mut Ring::new(device, geo)?)
}

/// What is between the tail and the head of a log, every record of which is whole.
pub struct Live<'a, D: ReadLog> {
    ring: Ring<'a, D>,
    start: Walk,
}

impl<'a, D: ReadLog> Live<'a, D> {
    /// What is to be recovered; `None` when the log is clean.
    ///
    /// # Errors
    ///
    /// `Corrupt` for a record that is torn and must not be, or that another machine or file system
    /// has written; those of reading; `NoMemory`.
    pub fn new(device: &'a D, geo: &'a Geometry, head: &Head) -> Result<Option<Self>> {
        if head.is_clean() {
            return Ok(None);
        }
        let mut ring = Ring::new(device, geo)?;
        let start = head::find_tail(&mut ring, head)?;
        Ok(Some(Self { ring, start }))
    }

    /// Reads all records and hands on the transactions in them, in the order of their commits. Can
    /// be done more than once.
    ///
    /// # Errors
    ///
    /// Corruption that names the record and what is wrong in it; those of reading; `NoMemory`; those
    /// of `visit`.
    pub fn transactions(&mut self, mut visit: impl FnMut(Transaction) -> Result) -> Result {
        let mut walk = self.start;
        let mut gather = Gather::new();
        let mut last = None;
        while let Some(mut record) = walk.next(&mut self.ring, last.take())? {
            let header = record.header;
            let data = record
                .unpack()
                .map_err(|fault| Error::log(fault, header.lsn))?;
            gather.record(&header, data, &mut visit)?;
            last = Some(record);
        }
        Ok(())
    }
}
