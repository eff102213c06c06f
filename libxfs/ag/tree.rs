// SPDX-License-Identifier: GPL-2.0

//! The three trees of a group that take their blocks from its list: by block (bnobt), by length
//! (cntbt), and by owner (rmapbt).

use super::{free_list::Use, LockedAgf};
use crate::libxfs::{
    btree::{Hook, InTrans, Path, Root},
    error::{Error, Result},
    format::{
        ag::agf::DiskAgf,
        btree::{Bno, Cnt, Rmap, Tree},
        units::{AgBlock, AgNumber},
    },
    journal::Journal,
    trans::{BlockId, Trans},
};
use zerocopy::byteorder::big_endian::U32;

/// A tree whose root the AGF names and whose blocks come from the AGFL.
pub trait ListedTree: Tree<Pointer = AgBlock, Scope = AgNumber> {
    /// Root and levels, as the header has them.
    fn root(agf: &DiskAgf) -> (AgBlock, u32);
    /// Notes root and levels.
    fn set_root(agf: &mut DiskAgf, root: AgBlock, levels: u32);
    /// The header's count of the tree's blocks, if it has one. Such a tree has blocks set aside.
    fn count(agf: &mut DiskAgf) -> Option<&mut U32>;
}

macro_rules! listed {
    ($tree:ty, $get:ident, $root:ident, $level:ident, $count:expr) => {
        impl ListedTree for $tree {
            fn root(agf: &DiskAgf) -> (AgBlock, u32) {
                agf.$get()
            }

            fn set_root(agf: &mut DiskAgf, root: AgBlock, levels: u32) {
                agf.$root.set(root.0);
                agf.$level.set(levels);
            }

            fn count(agf: &mut DiskAgf) -> Option<&mut U32> {
                let count: fn(&mut DiskAgf) -> Option<&mut U32> = $count;
                count(agf)
            }
        }
    };
}

listed!(Bno, bno, bno_root, bno_level, |_| None);
listed!(Cnt, cnt, cnt_root, cnt_level, |_| None);
listed!(Rmap, rmap, rmap_root, rmap_level, |agf| Some(
    &mut agf.rmap_blocks
));

/// The hook of such trees.
#[derive(Clone, Copy, Debug)]
pub struct Listed(pub LockedAgf);

impl<J: Journal, T: ListedTree> Hook<J, T> for Listed {
    fn root<'r>(&'r self, trans: &'r Trans<'_, J>) -> Result<Root<'r, AgBlock>> {
        let (root, levels) = T::root(self.0.get(trans)?);
        Ok(Root::Block(root, levels))
    }

    fn set_root(&mut self, trans: &mut Trans<'_, J>, root: AgBlock, levels: u32) -> Result {
        self.0.update(trans, |agf| {
            T::set_root(agf, root, levels);
            Ok(())
        })
    }

    fn change_fork<'r>(&'r mut self, _: &'r mut Trans<'_, J>) -> Result<&'r mut [u8]> {
        Err(Error::Invalid)
    }

    fn allocate(&mut self, trans: &mut Trans<'_, J>, _: Option<AgBlock>) -> Result<AgBlock> {
        let block = self.0.take_listed(trans, Use::Tree)?;
        let block = block.ok_or(Error::NoSpace)?;
        self.count::<J, T>(trans, 1)?;
        Ok(block)
    }

    fn free(&mut self, trans: &mut Trans<'_, J>, block: AgBlock) -> Result {
        self.count::<J, T>(trans, -1)?;
        self.0.list(trans, block, Use::Tree)
    }
}

impl Listed {
    /// Counts a block that the tree has more, or fewer.
    fn count<J: Journal, T: ListedTree>(&self, trans: &mut Trans<'_, J>, n: i32) -> Result {
        let corrupt = self.0.corrupt(trans, "rmap_blocks");
        let counted = self.0.update(trans, |agf| {
            let Some(count) = T::count(agf) else {
                return Ok(false);
            };
            let blocks = count.get().checked_add_signed(n).ok_or(corrupt)?;
            count.set(blocks);
            Ok(true)
        })?;
        if !counted {
            trans.count_alloc_tree_blocks(n.into());
            return Ok(());
        }
        trans.journal().with_group(self.0.ag, |group| {
            let blocks = n.unsigned_abs();
            if n > 0 {
                group.rmap.take(blocks);
            } else {
                group.rmap.give(blocks);
            }
        })
    }
}

impl LockedAgf {
    /// The blocks of its trees that take from the list, for one call into the engine.
    pub fn tree<'t, 'a, J: Journal>(
        &self,
        trans: &'t mut Trans<'a, J>,
    ) -> InTrans<'t, 'a, J, Listed> {
        InTrans {
            trans,
            hook: Listed(*self),
            home: self.ag,
        }
    }

    /// A path in one of its trees that stands nowhere.
    pub fn path<T: Tree<Scope = AgNumber>>(&self) -> Path<BlockId, T> {
        Path::new(self.ag, self.ag.0.into())
    }
}
