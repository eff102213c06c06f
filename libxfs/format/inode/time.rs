// SPDX-License-Identifier: GPL-2.0

//! An inode's times, in the two forms that the disk has for them.
//!
//! The older form is a pair of 32-bit seconds since 1970 and nanoseconds, and ends in 2038. The
//! newer ("bigtime") is one 64-bit count of nanoseconds since the earliest time that the older can
//! say, 1901-12-13, and ends in 2486.
//!
//! Source: "Timestamps" in the XFS format's documentation.

const NSEC_PER_SEC: u64 = 1_000_000_000;
/// Seconds from the start of the newer form to 1970.
const BIGTIME_EPOCH: i64 = 1 << 31;
/// Last second of the newer form that both inodes and quota can say, counted from its start.
const BIGTIME_MAX: u64 = (u64::MAX / NSEC_PER_SEC) & !3;

/// A time: seconds since 1970, and nanoseconds within the second (below 10^9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 UTC.
    pub sec: i64,
    /// Nanoseconds, below 10^9.
    pub nsec: u32,
}

impl Timestamp {
    /// Earliest time that either form can say, in seconds since 1970.
    pub const MIN: i64 = i32::MIN as i64;
    /// Latest time of the older form.
    pub const LEGACY_MAX: i64 = i32::MAX as i64;
    /// Latest time of the newer form.
    pub const BIGTIME_MAX: i64 = (BIGTIME_MAX as i64).saturating_sub(BIGTIME_EPOCH);

    /// Decodes. Nanoseconds of the older form that are none are taken as the last of the second.
    pub const fn from_disk(field: u64, bigtime: bool) -> Self {
        if bigtime {
            return Self {
                sec: ((field / NSEC_PER_SEC) as i64).saturating_sub(BIGTIME_EPOCH),
                nsec: (field % NSEC_PER_SEC) as u32,
            };
        }
        let nsec = field as u32;
        Self {
            sec: (field >> 32) as u32 as i32 as i64,
            nsec: if (nsec as u64) < NSEC_PER_SEC {
                nsec
            } else {
                (NSEC_PER_SEC - 1) as u32
            },
        }
    }

    /// Encodes; a time that the form cannot say becomes the nearest one that it can.
    #[allow(clippy::cast_sign_loss)]
    pub const fn to_disk(self, bigtime: bool) -> u64 {
        let max = if bigtime {
            Self::BIGTIME_MAX
        } else {
            Self::LEGACY_MAX
        };
        let sec = if self.sec < Self::MIN {
            Self::MIN
        } else if self.sec > max {
            max
        } else {
            self.sec
        };
        if bigtime {
            (sec.saturating_add(BIGTIME_EPOCH) as u64)
                .saturating_mul(NSEC_PER_SEC)
                .saturating_add(self.nsec as u64)
        } else {
            ((sec as i32 as u32 as u64) << 32) | self.nsec as u64
        }
    }
}
