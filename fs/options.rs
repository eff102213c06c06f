// SPDX-License-Identifier: GPL-2.0

//! Mount options: all that `xfs(5)` lists.
//!
//! An option that has an effect on what is not there yet is refused by name. One that is about
//! writing is taken, kept and shown, as the C driver does on a read-only mount.
//!
//! Source: `Documentation/admin-guide/xfs.rst`.

use crate::libxfs::format::geometry::Geometry;
use core::fmt;
use kernel::{
    prelude::*,
    str::{
        CStr,
        CString, //
    },
};

/// What is wrong with an option, or with several together. Each says itself in one line.
#[derive(Clone, Copy)]
pub(crate) enum Fault<'a> {
    /// An option with an effect that this driver does not have yet.
    NotYet(&'a str),
    /// A value that is no number, or too large a one.
    NotANumber(&'a str),
    /// Anything else: a whole line.
    Line(&'static str),
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet(name) => write!(f, "mount option {name} is not supported yet"),
            Self::NotANumber(name) => write!(f, "mount option {name} wants a number"),
            Self::Line(line) => f.write_str(line),
        }
    }
}

/// How an option takes its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// None.
    Flag,
    /// A number.
    Number,
    /// Text.
    Text,
}

/// The options by name. The discriminant is what the kernel's parser hands back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Key {
    Deprecated,
    LogBufs,
    LogBufSize,
    LogDevice,
    RtDevice,
    WriteSync,
    NoAlign,
    SwAlloc,
    StripeUnit,
    StripeWidth,
    NoUuid,
    GroupId,
    NoGroupId,
    AllocSize,
    NoRecovery,
    Inode64,
    Inode32,
    LargeIo,
    NoLargeIo,
    FileStreams,
    Quota,
    NoQuota,
    Discard,
    NoDiscard,
    Dax,
    DaxMode,
    MaxOpenZones,
    Lifetime,
    NoLifetime,
    MaxAtomicWrite,
    ErrorTag,
}

impl Key {
    /// All options: name, key, form.
    pub(crate) const TABLE: &'static [(&'static CStr, Key, Form)] = &[
        (c"attr2", Key::Deprecated, Form::Flag),
        (c"noattr2", Key::Deprecated, Form::Flag),
        (c"ikeep", Key::Deprecated, Form::Flag),
        (c"noikeep", Key::Deprecated, Form::Flag),
        (c"logbufs", Key::LogBufs, Form::Number),
        (c"logbsize", Key::LogBufSize, Form::Text),
        (c"logdev", Key::LogDevice, Form::Text),
        (c"rtdev", Key::RtDevice, Form::Text),
        (c"wsync", Key::WriteSync, Form::Flag),
        (c"noalign", Key::NoAlign, Form::Flag),
        (c"swalloc", Key::SwAlloc, Form::Flag),
        (c"sunit", Key::StripeUnit, Form::Number),
        (c"swidth", Key::StripeWidth, Form::Number),
        (c"nouuid", Key::NoUuid, Form::Flag),
        (c"grpid", Key::GroupId, Form::Flag),
        (c"nogrpid", Key::NoGroupId, Form::Flag),
        (c"bsdgroups", Key::GroupId, Form::Flag),
        (c"sysvgroups", Key::NoGroupId, Form::Flag),
        (c"allocsize", Key::AllocSize, Form::Text),
        (c"norecovery", Key::NoRecovery, Form::Flag),
        (c"inode64", Key::Inode64, Form::Flag),
        (c"inode32", Key::Inode32, Form::Flag),
        (c"largeio", Key::LargeIo, Form::Flag),
        (c"nolargeio", Key::NoLargeIo, Form::Flag),
        (c"filestreams", Key::FileStreams, Form::Flag),
        (c"quota", Key::Quota, Form::Flag),
        (c"noquota", Key::NoQuota, Form::Flag),
        (c"usrquota", Key::Quota, Form::Flag),
        (c"grpquota", Key::Quota, Form::Flag),
        (c"prjquota", Key::Quota, Form::Flag),
        (c"uquota", Key::Quota, Form::Flag),
        (c"gquota", Key::Quota, Form::Flag),
        (c"pquota", Key::Quota, Form::Flag),
        (c"uqnoenforce", Key::Quota, Form::Flag),
        (c"gqnoenforce", Key::Quota, Form::Flag),
        (c"pqnoenforce", Key::Quota, Form::Flag),
        (c"qnoenforce", Key::Quota, Form::Flag),
        (c"discard", Key::Discard, Form::Flag),
        (c"nodiscard", Key::NoDiscard, Form::Flag),
        (c"dax", Key::Dax, Form::Flag),
        (c"dax", Key::DaxMode, Form::Text),
        (c"max_open_zones", Key::MaxOpenZones, Form::Number),
        (c"lifetime", Key::Lifetime, Form::Flag),
        (c"nolifetime", Key::NoLifetime, Form::Flag),
        (c"max_atomic_write", Key::MaxAtomicWrite, Form::Text),
        (c"errortag", Key::ErrorTag, Form::Text),
    ];

    /// How it takes its value.
    pub(crate) fn form(self) -> Form {
        match Self::TABLE.iter().find(|(_, key, _)| *key == self) {
            Some((_, _, form)) => *form,
            None => Form::Flag,
        }
    }

    /// The key that the kernel's parser hands back.
    pub(crate) fn from_index(index: c_int) -> Option<Self> {
        Self::TABLE
            .iter()
            .map(|(_, key, _)| *key)
            .find(|key| *key as c_int == index)
    }
}

/// The value of an option.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    /// There is none.
    None,
    /// A number.
    Number(u32),
    /// Text.
    Text(&'a CStr),
}

/// Direct access to persistent memory.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Dax {
    /// As each inode says.
    #[default]
    Inode,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What the mount asked for.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) log_bufs: Option<u32>,
    /// Bytes.
    pub(crate) log_buf_size: Option<i32>,
    pub(crate) log_device: Option<CString>,
    pub(crate) rt_device: Option<CString>,
    pub(crate) write_sync: bool,
    pub(crate) no_align: bool,
    pub(crate) sw_alloc: bool,
    /// Basic blocks; 0 is none.
    pub(crate) stripe_unit: u32,
    /// Basic blocks; 0 is none.
    pub(crate) stripe_width: u32,
    pub(crate) no_uuid: bool,
    pub(crate) group_id: bool,
    /// log2 of bytes, below zero for none.
    pub(crate) alloc_size_log: Option<i32>,
    pub(crate) no_recovery: bool,
    pub(crate) inode32: bool,
    pub(crate) large_io: bool,
    pub(crate) file_streams: bool,
    pub(crate) discard: bool,
    pub(crate) dax: Dax,
    pub(crate) max_open_zones: u32,
    pub(crate) no_lifetime: bool,
}

/// A number with an optional `k`, `m` or `g` behind it, in the C driver's 32 bits.
fn suffixed(text: &CStr) -> Option<i32> {
    let text = text.to_str().ok()?;
    let suffixes = [(['k', 'K'], 10), (['m', 'M'], 20), (['g', 'G'], 30)];
    let (digits, shift) = suffixes
        .iter()
        .find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, *shift)))
        .unwrap_or((text, 0));
    let number: i32 = digits.parse().ok()?;
    Some(number.wrapping_shl(shift))
}

impl Options {
    /// Takes one option.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the caller says it, and refuses the mount.
    pub(crate) fn set<'a>(
        &mut self,
        name: &'a str,
        key: Key,
        value: Value<'_>,
    ) -> Result<Result<(), Fault<'a>>> {
        let text = match value {
            Value::Text(text) => Some(text),
            _ => None,
        };
        let number = match value {
            Value::Number(number) => number,
            _ => 0,
        };
        let suffixed = || text.and_then(suffixed).ok_or(Fault::NotANumber(name));
        match key {
            Key::Deprecated => {}
            Key::LogBufs => self.log_bufs = Some(number),
            Key::LogBufSize => match suffixed() {
                Ok(size) => self.log_buf_size = Some(size),
                Err(fault) => return Ok(Err(fault)),
            },
            Key::LogDevice => self.log_device = text.map(CString::try_from).transpose()?,
            Key::RtDevice => self.rt_device = text.map(CString::try_from).transpose()?,
            Key::WriteSync => self.write_sync = true,
            Key::NoAlign => self.no_align = true,
            Key::SwAlloc => self.sw_alloc = true,
            Key::StripeUnit => self.stripe_unit = number,
            Key::StripeWidth => self.stripe_width = number,
            Key::NoUuid => self.no_uuid = true,
            Key::GroupId => self.group_id = true,
            Key::NoGroupId => self.group_id = false,
            Key::AllocSize => match suffixed() {
                // The lowest bit counts, whatever else is set.
                Ok(0) => self.alloc_size_log = Some(-1),
                Ok(size) => self.alloc_size_log = Some(size.trailing_zeros() as i32),
                Err(fault) => return Ok(Err(fault)),
            },
            Key::NoRecovery => self.no_recovery = true,
            Key::Inode64 => self.inode32 = false,
            Key::Inode32 => self.inode32 = true,
            Key::LargeIo => self.large_io = true,
            Key::NoLargeIo => self.large_io = false,
            Key::FileStreams => self.file_streams = true,
            Key::NoQuota => {}
            Key::Quota | Key::MaxAtomicWrite | Key::ErrorTag => {
                return Ok(Err(Fault::NotYet(name)))
            }
            Key::Discard => self.discard = true,
            Key::NoDiscard => self.discard = false,
            Key::Dax => self.dax = Dax::Always,
            Key::DaxMode => match text.map(CStr::to_bytes) {
                Some(b"inode") => self.dax = Dax::Inode,
                Some(b"always") => self.dax = Dax::Always,
                Some(b"never") => self.dax = Dax::Never,
                _ => return Ok(Err(Fault::Line("dax wants inode, always or never"))),
            },
            Key::MaxOpenZones => self.max_open_zones = number,
            Key::Lifetime => self.no_lifetime = false,
            Key::NoLifetime => self.no_lifetime = true,
        }
        Ok(Ok(()))
    }

    /// Holds the options against each other.
    pub(crate) fn check(&self, read_only: bool) -> Result<(), Fault<'static>> {
        let wrong = |line| Err(Fault::Line(line));
        if self.no_recovery && !read_only {
            return wrong("norecovery mounts must be read-only");
        }
        let stripe = self.stripe_unit != 0 || self.stripe_width != 0;
        if self.no_align && stripe {
            return wrong("sunit and swidth contradict noalign");
        }
        if stripe && (self.stripe_unit == 0 || self.stripe_width == 0) {
            return wrong("sunit and swidth must be given together");
        }
        if stripe && self.stripe_width.checked_rem(self.stripe_unit) != Some(0) {
            return wrong("swidth must be a multiple of sunit");
        }
        if self
            .log_bufs
            .is_some_and(|n| n != 0 && n != u32::MAX && !(2..=8).contains(&n))
        {
            return wrong("logbufs must be 2 to 8");
        }
        if self.log_buf_size.is_some_and(|size| {
            size != 0 && size != -1 && !matches!(size, 16384 | 32768 | 65536 | 131_072 | 262_144)
        }) {
            return wrong("logbsize must be 16k, 32k, 64k, 128k or 256k");
        }
        if self
            .alloc_size_log
            .is_some_and(|log| !(12..=30).contains(&log))
        {
            return wrong("allocsize must be a power of two of 4k to 1g");
        }
        Ok(())
    }

    /// Holds the options against the file system, and finds what is in force.
    pub(crate) fn settle(&self, geo: &Geometry) -> Result<InForce, Fault<'static>> {
        let wrong = |line| Err(Fault::Line(line));
        if !geo.features.zoned() {
            if self.max_open_zones != 0 {
                return wrong("max_open_zones is for zoned file systems alone");
            }
            if self.no_lifetime {
                return wrong("nolifetime is for zoned file systems alone");
            }
        }
        let log_stripe = geo.log_stripe_unit;
        let log_buf_size = match self.log_buf_size {
            Some(size) if size > 0 && (size as u32) < log_stripe => {
                return wrong("logbsize must not be less than the log's stripe unit");
            }
            Some(size) if size > 0 => size as u32,
            // A record takes at least a stripe unit.
            _ => log_stripe.max(DEFAULT_LOG_BUF_SIZE),
        };
        Ok(InForce {
            log_buf_size,
            log_bufs: match self.log_bufs {
                Some(n) if n != 0 && n != u32::MAX => n,
                _ => DEFAULT_LOG_BUFS,
            },
            stripe: self.stripe(geo)?,
        })
    }

    /// Stripe unit and width in force, in basic blocks.
    fn stripe(&self, geo: &Geometry) -> Result<(u32, u32), Fault<'static>> {
        let wrong = |line| Err(Fault::Line(line));
        let per_block = geo.basic_blocks_per_block();
        if self.stripe_unit == 0 {
            return Ok(match self.no_align || geo.stripe_unit == 0 {
                true => (0, 0),
                false => (
                    geo.stripe_unit.saturating_mul(per_block),
                    geo.stripe_width.saturating_mul(per_block),
                ),
            });
        }
        let in_blocks = |basic: u32| match basic.checked_rem(per_block) {
            Some(0) => basic.checked_div(per_block),
            _ => None,
        };
        let (Some(unit), Some(_)) = (in_blocks(self.stripe_unit), in_blocks(self.stripe_width))
        else {
            return wrong("sunit and swidth must be multiples of the block size");
        };
        if geo.ag_blocks.checked_rem(unit) != Some(0) {
            return wrong("allocation groups must be a multiple of sunit");
        }
        if geo.stripe_unit == 0 {
            return wrong("sunit and swidth: the superblock has no stripe alignment");
        }
        Ok((self.stripe_unit, self.stripe_width))
    }
}

/// Bytes of an in-core log buffer unless the mount or the log's stripe unit says otherwise.
const DEFAULT_LOG_BUF_SIZE: u32 = 32 << 10;
/// Number of in-core log buffers unless the mount says otherwise.
const DEFAULT_LOG_BUFS: u32 = 8;

/// What follows from the options and the file system together.
#[derive(Clone, Copy)]
pub(crate) struct InForce {
    /// Bytes in a log buffer.
    pub(crate) log_buf_size: u32,
    /// Log buffers.
    pub(crate) log_bufs: u32,
    /// Stripe unit and width in basic blocks, 0 for none.
    pub(crate) stripe: (u32, u32),
}
