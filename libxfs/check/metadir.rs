// SPDX-License-Identifier: GPL-2.0

//! The file system's own files: those that the metadata directory tree, or the superblock, must
//! lead to are there and what they should be.

use super::{Check, Place, Subject};
use crate::libxfs::{
    error::{Error, Result},
    format::units::RtGroup,
    metadir,
    rt::{self, GroupFile},
    store::Store,
};

impl<S: Store> Check<'_, S> {
    /// Opens every file that must be there.
    pub(super) fn metadata_files(&mut self) -> Result {
        let geo = self.store.geometry();
        let place = Place::FileSystem;
        if geo.features.metadir() {
            let root = metadir::root(self.store);
            self.kept(Subject::MetaPath, place, root)?;
        }
        if geo.rt_group_count == 0 {
            for file in [GroupFile::Bitmap, GroupFile::Summary] {
                self.metadata_file(None, file)?;
            }
        }
        for group in (0..geo.rt_group_count).map(RtGroup) {
            self.stop_if_interrupted()?;
            for file in GroupFile::ALL {
                self.metadata_file(Some(group), file)?;
            }
        }
        Ok(())
    }

    fn metadata_file(&mut self, group: Option<RtGroup>, file: GroupFile) -> Result {
        let geo = self.store.geometry();
        if !file.is_present(geo) || (group.is_none() && geo.features.metadir()) {
            return Ok(());
        }
        match rt::open(self.store, group, file) {
            // Superblocks without a realtime section may name no files for one.
            Err(Error::NotFound) if geo.rt_extents == 0 => Ok(()),
            opened => {
                let place = Place::RtGroup(group);
                self.kept(Subject::MetaPath, place, opened)?;
                Ok(())
            }
        }
    }
}
