// SPDX-License-Identifier: GPL-2.0

//! Lines of the kernel's log that begin with the file system's name, `XFS (vdb): `.

use core::fmt;
use kernel::print::{
    call_printk,
    format_strings, //
};

/// How grave a line is.
#[derive(Clone, Copy)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something is refused, or odd.
    Warning,
    /// For the record.
    Info,
}

/// What lines begin with.
pub struct Prefix {
    // INVARIANT: Ends in a NUL.
    text: [u8; Self::SIZE],
}

impl Prefix {
    /// "XFS (", a name of a super block (31 bytes) and ")".
    const SIZE: usize = 40;

    /// The prefix of a file system, or of none yet.
    pub fn new(name: Option<&[u8]>) -> Self {
        struct Text {
            bytes: [u8; Prefix::SIZE],
            len: usize,
        }
        impl Text {
            fn push(&mut self, bytes: &[u8]) {
                for byte in bytes {
                    // The last byte stays NUL.
                    if self.len + 1 < self.bytes.len() {
                        self.bytes[self.len] = *byte;
                        self.len += 1;
                    }
                }
            }
        }
        let mut text = Text {
            bytes: [0; Self::SIZE],
            len: 0,
        };
        text.push(b"XFS");
        if let Some(name) = name {
            text.push(b" (");
            text.push(name);
            text.push(b")");
        }
        Self { text: text.bytes }
    }

    /// Says a line.
    pub fn print(&self, level: Level, line: fmt::Arguments<'_>) {
        let format = match level {
            Level::Error => &format_strings::ERR,
            Level::Warning => &format_strings::WARNING,
            Level::Info => &format_strings::INFO,
        };
        // SAFETY: The format is one of the fixed ones, and by the invariant the prefix ends in NUL.
        unsafe { call_printk(format, &self.text, format_args!("{line}\n")) };
    }
}
