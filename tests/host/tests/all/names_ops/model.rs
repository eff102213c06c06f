// SPDX-License-Identifier: GPL-2.0

//! A plain model of names: what leads where.

use std::collections::BTreeMap;
use xfs_host::libxfs::format::units::InodeNumber;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
    Symlink,
    Fifo,
    Device,
}

impl Kind {
    /// Type and permissions.
    pub fn mode(self) -> u16 {
        match self {
            Self::Directory => 0o040_755,
            Self::File => 0o100_644,
            Self::Symlink => 0o120_777,
            Self::Fifo => 0o010_600,
            Self::Device => 0o020_600,
        }
    }
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    pub links: u32,
    /// Of a symbolic link.
    pub target: Vec<u8>,
    /// Of a directory.
    pub entries: BTreeMap<Vec<u8>, InodeNumber>,
    pub parent: InodeNumber,
}

/// All inodes that were made, and the root.
#[derive(Debug, Default)]
pub struct Model {
    pub nodes: BTreeMap<InodeNumber, Node>,
}

impl Model {
    pub fn node(&self, number: InodeNumber) -> &Node {
        &self.nodes[&number]
    }

    pub fn node_mut(&mut self, number: InodeNumber) -> &mut Node {
        self.nodes.get_mut(&number).expect("it was made")
    }

    pub fn lookup(&self, dir: InodeNumber, name: &[u8]) -> Option<InodeNumber> {
        self.node(dir).entries.get(name).copied()
    }

    /// Whether `dir` is `below`, or lies somewhere in it.
    pub fn is_within(&self, mut dir: InodeNumber, below: InodeNumber) -> bool {
        loop {
            if dir == below {
                return true;
            }
            let parent = self.node(dir).parent;
            if parent == dir {
                return false;
            }
            dir = parent;
        }
    }

    pub fn directories(&self) -> Vec<InodeNumber> {
        let live = self
            .nodes
            .iter()
            .filter(|(_, node)| node.kind == Kind::Directory && node.links > 0);
        live.map(|(number, _)| *number).collect()
    }

    /// Notes that a name leads to an inode.
    pub fn enter(&mut self, dir: InodeNumber, name: &[u8], number: InodeNumber) {
        self.node_mut(dir).entries.insert(name.to_vec(), number);
        let is_directory = self.node(number).kind == Kind::Directory;
        if is_directory {
            self.node_mut(number).parent = dir;
            self.node_mut(dir).links += 1;
        }
    }

    /// Notes that a name is gone; where it led.
    pub fn leave(&mut self, dir: InodeNumber, name: &[u8]) -> InodeNumber {
        let number = self
            .node_mut(dir)
            .entries
            .remove(name)
            .expect("it is there");
        if self.node(number).kind == Kind::Directory {
            self.node_mut(dir).links -= 1;
        }
        number
    }

    /// Notes that an inode has a name less, and a directory with it its own `.`.
    pub fn unlink(&mut self, number: InodeNumber) {
        let node = self.node_mut(number);
        node.links -= if node.kind == Kind::Directory { 2 } else { 1 };
    }
}
