// SPDX-License-Identifier: GPL-2.0

//! Operations on the content of files, on real images: afterwards every file holds what a plain model
//! of it does, and `libxfs/check` and `xfs_repair -n` find nothing.

mod content;
mod mixed;
mod seeds;
mod world;

use world::World;
