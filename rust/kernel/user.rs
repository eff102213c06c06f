// SPDX-License-Identifier: GPL-2.0

//! Values that are copied from and to user space whole.

use kernel::{
    alloc::KVVec,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};
use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// An address of user space. It is not checked before it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserAddress(pub(crate) u64);

impl UserAddress {
    /// Whether it is null.
    pub(crate) fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `bytes` further; it wraps, and then faults.
    #[must_use]
    pub(crate) fn offset(self, bytes: usize) -> Self {
        Self(self.0.wrapping_add(bytes as u64))
    }

    fn slice(self, len: usize) -> UserSlice {
        UserSlice::new(UserPtr::from_addr(self.0 as usize), len)
    }

    /// Reads a value.
    pub(crate) fn read<V: FromBytes + IntoBytes>(self) -> Result<V> {
        let mut value = V::new_zeroed();
        let bytes = value.as_mut_bytes();
        self.slice(bytes.len()).reader().read_slice(bytes)?;
        Ok(value)
    }

    /// Writes a value.
    pub(crate) fn write<V: IntoBytes + Immutable + ?Sized>(self, value: &V) -> Result {
        let bytes = value.as_bytes();
        self.slice(bytes.len()).writer().write_slice(bytes)
    }

    /// Reads `len` bytes. The caller bounds `len`.
    pub(crate) fn read_bytes(self, len: usize) -> Result<KVVec<u8>> {
        let mut bytes = KVVec::new();
        self.slice(len).read_all(&mut bytes, GFP_KERNEL)?;
        Ok(bytes)
    }

    /// Reads a string into `buffer` and returns it without its zero. `EINVAL` where the string
    /// with its zero is longer than the buffer.
    pub(crate) fn read_string(self, buffer: &mut [u8]) -> Result<&[u8]> {
        // One more than fits would come back cut short, without a trace; so it is looked for here.
        let len = buffer.len();
        let text = self.slice(len).reader().strcpy_into_buf(buffer)?.to_bytes();
        if text.len() >= len.saturating_sub(1) {
            let last: u8 = self.offset(text.len()).read()?;
            if last != 0 {
                return Err(EINVAL);
            }
        }
        Ok(text)
    }
}
