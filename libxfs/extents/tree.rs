// SPDX-License-Identifier: GPL-2.0

//! The B+tree under a large [`ExtentMap`](super::ExtentMap).
//!
//! Both walks that change it repair on their way down: inserting splits a full child before it
//! enters it, removing fills up a poor one, so neither has to come back up, and an allocation that
//! fails leaves a good tree.
//!
//! Invariants: all leaves are at one depth; no node but a lone root is empty; a key is not above
//! the first offset of its child, and above the last of the child before it; an inner node's first
//! key is the one that it has above it.

use super::{
    super::error::{Error, Result},
    slots::Slots,
    Packed,
};
use kernel::alloc::{flags::GFP_KERNEL, KBox};

/// Records in a leaf: about 512 bytes.
pub(super) const LEAF_RECORDS: usize = 31;
/// Children of an inner node: about 512 bytes.
const CHILDREN: usize = 20;
/// A child with no more than this gets some from its neighbour, or joins it, before a removal
/// enters it. At least 1, so that nothing becomes empty.
const POOR_LEAF: usize = LEAF_RECORDS / 4;
const POOR_INNER: usize = CHILDREN / 4;

pub(super) type Leaf = Slots<Packed, LEAF_RECORDS>;

/// Children and a lower bound of each one's offsets, side by side.
pub(super) struct Inner {
    keys: Slots<u64, CHILDREN>,
    children: Slots<Option<Node>, CHILDREN>,
}

pub(super) enum Node {
    Leaf(KBox<Leaf>),
    Inner(KBox<Inner>),
}

impl Slots<Packed, LEAF_RECORDS> {
    #[inline]
    pub(super) fn last(&self) -> Option<&Packed> {
        self.as_slice().last()
    }

    fn position(&self, offset: u64) -> usize {
        self.as_slice()
            .partition_point(|record| record.offset() < offset)
    }
}

impl Inner {
    fn new() -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                keys: Slots::new(),
                children: Slots::new(),
            },
            GFP_KERNEL,
        )?)
    }

    /// Index of the child in whose range `offset` lies.
    #[inline]
    fn child_for(&self, offset: u64) -> usize {
        self.keys
            .as_slice()
            .partition_point(|&key| key <= offset)
            .saturating_sub(1)
    }

    #[inline]
    fn child(&self, at: usize) -> Option<&Node> {
        self.children.as_slice().get(at)?.as_ref()
    }

    #[inline]
    fn child_mut(&mut self, at: usize) -> Option<&mut Node> {
        self.children.as_mut_slice().get_mut(at)?.as_mut()
    }

    fn insert(&mut self, at: usize, key: u64, child: Node) {
        if self.keys.insert(at, key) {
            self.children.insert(at, Some(child));
        }
    }

    /// Keeps the key of child `at` a lower bound once `offset` comes to lie in it.
    fn lower_key(&mut self, at: usize, offset: u64) {
        if let Some(key) = self.keys.as_mut_slice().get_mut(at) {
            *key = offset.min(*key);
        }
    }

    /// Keeps the key of child `at` above the child before it once that has `bound` - 1, and with it
    /// the first keys below: they part children once the child before takes some from this one.
    fn raise_key(&mut self, at: usize, bound: u64) {
        let (mut inner, mut at) = (self, at);
        loop {
            match inner.keys.as_mut_slice().get_mut(at) {
                Some(key) if *key < bound => *key = bound,
                _ => return,
            }
            match inner.child_mut(at) {
                Some(Node::Inner(child)) => inner = child,
                _ => return,
            }
            at = 0;
        }
    }

    /// Sees to it that child `at` can lose something, and tells where its range is then found.
    fn enrich(&mut self, at: usize) -> usize {
        if !self.child(at).is_some_and(Node::is_poor) {
            return at;
        }
        let left = at.saturating_sub(1);
        let right = left.saturating_add(1);
        let Some((first, last)) = self.pair_mut(left) else {
            return at;
        };
        let take = last.len().abs_diff(first.len()) / 2;
        let key = if first.absorb(last) {
            None
        } else if at == left {
            last.give_front(first, take)
        } else {
            first.give_back(last, take)
        };
        match key {
            None => {
                self.keys.remove(right);
                self.children.remove(right);
                left
            }
            Some(key) => {
                if let Some(place) = self.keys.as_mut_slice().get_mut(right) {
                    *place = key;
                }
                at
            }
        }
    }

    /// The child at `left` and the one after it.
    fn pair_mut(&mut self, left: usize) -> Option<(&mut Node, &mut Node)> {
        let mut from = self.children.as_mut_slice().get_mut(left..)?.iter_mut();
        Some((from.next()?.as_mut()?, from.next()?.as_mut()?))
    }
}

impl Node {
    /// A leaf of `records`, of which only as many as fit are taken.
    pub(super) fn new_leaf(records: &[Packed]) -> Result<Self> {
        let mut leaf = KBox::new(Leaf::new(), GFP_KERNEL)?;
        for record in records {
            leaf.push(*record);
        }
        Ok(Self::Leaf(leaf))
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Inner(inner) => inner.keys.len(),
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.is_full(),
            Self::Inner(inner) => inner.keys.is_full(),
        }
    }

    fn is_poor(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.len() <= POOR_LEAF,
            Self::Inner(inner) => inner.keys.len() <= POOR_INNER,
        }
    }

    /// A lower bound of its offsets, above all of the node before it.
    fn first_key(&self) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.as_slice().first().map(Packed::offset),
            Self::Inner(inner) => inner.keys.as_slice().first().copied(),
        }
        .unwrap_or(0)
    }

    fn first_leaf(&self) -> &[Packed] {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(leaf) => return leaf.as_slice(),
                Self::Inner(inner) => match inner.child(0) {
                    Some(child) => node = child,
                    None => return &[],
                },
            }
        }
    }

    /// The last record.
    pub(super) fn last(&self) -> Option<&Packed> {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(leaf) => return leaf.last(),
                Self::Inner(inner) => node = inner.children.as_slice().last()?.as_ref()?,
            }
        }
    }

    /// The last leaf.
    pub(super) fn last_leaf(&mut self) -> Option<&mut Leaf> {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(leaf) => return Some(leaf),
                Self::Inner(inner) => {
                    node = inner.children.as_mut_slice().last_mut()?.as_mut()?;
                }
            }
        }
    }

    /// Records of one leaf, from the one that contains `offset` or else follows it.
    pub(super) fn run_from(&self, offset: u64) -> &[Packed] {
        let mut node = self;
        // Subtree right of the way down: where the next record is if the leaf has none.
        let mut after = None;
        // Subtree left of it: a key may lie below all that its child still has, and a mapping that
        // came later reach past it.
        let mut before: Option<&Self> = None;
        loop {
            match node {
                Self::Leaf(leaf) => {
                    let run = super::records_from(leaf.as_slice(), offset);
                    if let Some(after) = after.filter(|_| run.is_empty()) {
                        return Self::first_leaf(after);
                    }
                    let follows = run.len() == leaf.len()
                        && run.first().is_some_and(|first| first.offset() > offset);
                    return before
                        .filter(|_| follows)
                        .and_then(Self::last)
                        .filter(|last| last.end() > offset)
                        .map_or(run, core::slice::from_ref);
                }
                Self::Inner(inner) => {
                    let at = inner.child_for(offset);
                    after = inner.child(at.saturating_add(1)).or(after);
                    before = at
                        .checked_sub(1)
                        .and_then(|left| inner.child(left))
                        .or(before);
                    match inner.child(at) {
                        Some(child) => node = child,
                        None => return &[],
                    }
                }
            }
        }
    }

    /// The last record that does not start after `offset`.
    pub(super) fn last_until(&self, offset: u64) -> Option<&Packed> {
        let mut node = self;
        // Subtree left of the way down: a key may lie below all that its child still has.
        let mut before = None;
        loop {
            match node {
                Self::Leaf(leaf) => {
                    let records = leaf.as_slice();
                    let after = records.partition_point(|record| record.offset() <= offset);
                    return records
                        .get(..after)
                        .and_then(<[Packed]>::last)
                        .or_else(|| before.and_then(Self::last));
                }
                Self::Inner(inner) => {
                    let at = inner.child_for(offset);
                    before = at
                        .checked_sub(1)
                        .and_then(|left| inner.child(left))
                        .or(before);
                    node = inner.child(at)?;
                }
            }
        }
    }

    /// Cuts a full node in two and returns the right part. It is cut in the middle, but at its end
    /// where `offset` goes behind all that it has: a map that grows at its end stays dense.
    fn split(&mut self, offset: u64) -> Result<Self> {
        match self {
            Self::Leaf(leaf) => {
                let mut right = KBox::new(Leaf::new(), GFP_KERNEL)?;
                let at = split_point(leaf.len(), leaf.position(offset));
                leaf.move_tail(at, &mut right);
                Ok(Self::Leaf(right))
            }
            Self::Inner(inner) => {
                let mut right = Inner::new()?;
                let position = inner.child_for(offset).saturating_add(1);
                let at = split_point(inner.keys.len(), position);
                inner.keys.move_tail(at, &mut right.keys);
                inner.children.move_tail(at, &mut right.children);
                Ok(Self::Inner(right))
            }
        }
    }

    /// Takes in all of `right`, the node after this one; `false`, and nothing done, if that does
    /// not fit.
    fn absorb(&mut self, right: &mut Self) -> bool {
        let total = self.len().saturating_add(right.len());
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) if total <= LEAF_RECORDS => {
                right.move_tail(0, left);
                true
            }
            (Self::Inner(left), Self::Inner(right)) if total <= CHILDREN => {
                right.keys.move_tail(0, &mut left.keys);
                right.children.move_tail(0, &mut left.children);
                true
            }
            _ => false,
        }
    }

    /// Gives its first `count` to the node before it; returns its own new key.
    fn give_front(&mut self, left: &mut Self, count: usize) -> Option<u64> {
        match (&mut *self, left) {
            (Self::Leaf(right), Self::Leaf(left)) => right.move_head(count, left),
            (Self::Inner(right), Self::Inner(left)) => {
                right.keys.move_head(count, &mut left.keys);
                right.children.move_head(count, &mut left.children);
            }
            _ => {}
        }
        Some(self.first_key())
    }

    /// Gives its last `count` to the node after it; returns that one's new key.
    fn give_back(&mut self, right: &mut Self, count: usize) -> Option<u64> {
        match (self, &mut *right) {
            (Self::Leaf(left), Self::Leaf(right)) => left.move_back(count, right),
            (Self::Inner(left), Self::Inner(right)) => {
                left.keys.move_back(count, &mut right.keys);
                left.children.move_back(count, &mut right.children);
            }
            _ => {}
        }
        Some(right.first_key())
    }

    /// Puts a new root above this full one.
    fn grow(&mut self, offset: u64) -> Result {
        let mut root = Inner::new()?;
        let right = self.split(offset)?;
        let key = right.first_key();
        let first = self.first_key();
        // The new root goes where the old one is, and the old one under it.
        let left = core::mem::replace(self, right);
        root.insert(0, first, left);
        let right = core::mem::replace(self, Self::Inner(root));
        if let Self::Inner(root) = self {
            root.insert(1, key, right);
        }
        Ok(())
    }

    /// Puts in a record that overlaps none.
    pub(super) fn insert(&mut self, record: Packed) -> Result {
        let offset = record.offset();
        if self.is_full() {
            self.grow(offset)?;
        }
        let mut node = self;
        loop {
            match node {
                Self::Leaf(leaf) => {
                    let at = leaf.position(offset);
                    return if leaf.insert(at, record) {
                        Ok(())
                    } else {
                        Err(Error::Invalid)
                    };
                }
                Self::Inner(inner) => {
                    let mut at = inner.child_for(offset);
                    let child = inner.child_mut(at).ok_or(Error::Invalid)?;
                    if child.is_full() {
                        let right = child.split(offset)?;
                        let key = right.first_key();
                        let next = at.saturating_add(1);
                        inner.insert(next, key, right);
                        if key <= offset {
                            at = next;
                        }
                    }
                    inner.lower_key(at, offset);
                    node = inner.child_mut(at).ok_or(Error::Invalid)?;
                }
            }
        }
    }

    /// Takes out the record that starts at `offset`, which is known to be there.
    pub(super) fn remove(&mut self, offset: u64) {
        let mut node = &mut *self;
        loop {
            match node {
                Self::Leaf(leaf) => {
                    let at = leaf.position(offset);
                    leaf.remove(at);
                    break;
                }
                Self::Inner(inner) => {
                    let at = inner.child_for(offset);
                    let at = inner.enrich(at);
                    match inner.child_mut(at) {
                        Some(child) => node = child,
                        None => break,
                    }
                }
            }
        }
        // A root with one child is a level too many.
        while let Self::Inner(root) = self {
            if root.keys.len() != 1 {
                break;
            }
            match root.children.remove(0).flatten() {
                Some(child) => *self = child,
                None => break,
            }
        }
    }

    /// Replaces the record that starts at `offset`, which is known to be there, by one that has
    /// the same place in the order.
    pub(super) fn replace(&mut self, offset: u64, record: Packed) {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(leaf) => {
                    let at = leaf.position(offset);
                    if let Some(place) = leaf.as_mut_slice().get_mut(at) {
                        *place = record;
                    }
                    return;
                }
                Self::Inner(inner) => {
                    let at = inner.child_for(offset);
                    inner.lower_key(at, record.offset());
                    inner.raise_key(at.saturating_add(1), record.offset().saturating_add(1));
                    match inner.child_mut(at) {
                        Some(child) => node = child,
                        None => return,
                    }
                }
            }
        }
    }
}

/// Where a full node of `len` is cut when something goes in at `position`.
fn split_point(len: usize, position: usize) -> usize {
    if position >= len {
        len.saturating_sub(1)
    } else {
        len / 2
    }
}
