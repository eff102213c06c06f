// SPDX-License-Identifier: GPL-2.0

//! The kinds of operation: one table, a group for each file that does them.

use super::Workload;
use crate::libxfs::error::Result;

macro_rules! ops {
    ($(
        $(#[$group_doc:meta])*
        $group:ident {
            $($(#[$doc:meta])* $op:ident = $name:literal => $run:ident,)*
        }
    )*) => {
        /// A kind of operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Op {
            $($($(#[$doc])* $op,)*)*
        }

        impl Op {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($(Self::$op,)*)*];
            $(
                $(#[$group_doc])*
                pub const $group: &'static [Self] = &[$(Self::$op,)*];
            )*

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$op => $name,)*)*
                }
            }

            /// Does one; `Ok(false)` where it was refused, as it had to be.
            pub(super) fn run(self, workload: &mut Workload<'_, '_>) -> Result<bool> {
                match self {
                    $($(Self::$op => workload.$run(),)*)*
                }
            }
        }
    };
}

ops! {
    /// Those on names.
    NAMES {
        /// Make a file, or a special one.
        Create = "create" => create,
        /// Make a directory.
        Mkdir = "mkdir" => mkdir,
        /// Give a file one more name.
        Link = "link" => link,
        /// Make a symbolic link.
        Symlink = "symlink" => symlink,
        /// Take a name away.
        Unlink = "unlink" => unlink,
        /// Take an empty directory away.
        Rmdir = "rmdir" => rmdir,
        /// Rename: to a free name, over another one, each for the other, or leaving a whiteout.
        Rename = "rename" => rename,
        /// Make a file without a name, which may get one later.
        Tmpfile = "tmpfile" => tmpfile,
    }
    /// Those on what inodes say of themselves.
    ATTRIBUTES {
        /// Change permissions, owners, times, project, flags or hints.
        SetAttr = "setattr" => setattr,
    }
    /// Those on the content of files.
    DATA {
        /// Write, in the file, over holes in it, or behind its end.
        Write = "write" => write,
        /// Make larger or smaller.
        Truncate = "truncate" => truncate,
        /// Make a hole.
        Punch = "punch" => punch,
        /// Make zeroes.
        Zero = "zero" => zero,
        /// Allocate blocks for holes.
        Preallocate = "prealloc" => preallocate,
        /// Take a range out.
        Collapse = "collapse" => collapse,
        /// Make room.
        Insert = "insert" => insert,
        /// Have blocks of its own.
        Unshare = "unshare" => unshare,
    }
    /// Those by which files share and exchange content.
    SHARING {
        /// Share a range of another file, or of the same.
        Clone = "clone" => clone_range,
        /// Share what is the same.
        Dedupe = "dedupe" => dedupe,
        /// Exchange a range of two files.
        Exchange = "exchange" => exchange_range,
    }
    /// Those on extended attributes.
    XATTRS {
        /// Set one.
        SetXattr = "setxattr" => set_xattr,
        /// Remove one.
        RemoveXattr = "removexattr" => remove_xattr,
    }
}

impl Op {
    /// The operation of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|op| op.name() == name)
    }

    /// Whether a crash finds all of it done, or nothing.
    pub fn is_atomic(self) -> bool {
        Self::NAMES.contains(&self) || Self::ATTRIBUTES.contains(&self)
    }
}
