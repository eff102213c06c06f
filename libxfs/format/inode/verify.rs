// SPDX-License-Identifier: GPL-2.0

//! The inode's verifier: every rule that an inode keeps on its own.
//!
//! Rules of what the forks hold (mappings, a short directory, a target) belong to those formats.
//!
//! Source: "On-Disk Inode" in the XFS format's documentation, and what the inode verifier of
//! Linux 7.3 refuses, so that an inode is good here exactly if it is good there.

use super::{
    super::{
        btree::bmap::{DiskBmap, MAX_EXTENT_BLOCKS},
        crc,
        fault::{ensure, Fault},
        geometry::Geometry,
        units::InodeNumber,
    },
    flags::{Flags, Flags2},
    literal_size, Dinode, FileType, ForkFormat, InodeCore, MetaType, RawInode, CRC_OFFSET,
    FORKOFF_UNIT, MAGIC, VERSION,
};
use zerocopy::FromBytes;

const NAME: &str = "dinode";

/// Bytes of a mapping on disk.
const MAPPING_SIZE: usize = core::mem::size_of::<DiskBmap>();
/// Bytes that the three spaces of a directory (data, leaf, free) span in its fork.
const DIRECTORY_SPAN: u64 = 3 << 35;

/// Most extents that a fork may have.
pub const fn max_extents(large_counters: bool, attr: bool) -> u64 {
    match (large_counters, attr) {
        (true, false) => (1 << 48) - 1,
        (true, true) => (1 << 32) - 1,
        (false, false) => (1 << 31) - 1,
        (false, true) => (1 << 15) - 1,
    }
}

/// What of the core several rules need.
struct Subject<'a> {
    geo: &'a Geometry,
    raw: &'a RawInode,
    file_type: Option<FileType>,
    flags: Flags,
    flags2: Flags2,
}

impl<'a> Dinode<'a> {
    /// Holds `bytes`, one whole inode that is said to be `number`, to the format's rules.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn verified(
        geo: &Geometry,
        number: InodeNumber,
        bytes: &'a [u8],
    ) -> Result<Dinode<'a>, Fault> {
        let bytes = bytes
            .get(..geo.inode_size as usize)
            .ok_or(Fault::corrupt(NAME, "length"))?;
        let (raw, literal) =
            RawInode::ref_from_prefix(bytes).map_err(|_| Fault::corrupt(NAME, "length"))?;

        ensure(raw.magic.get() == MAGIC, NAME, "di_magic")?;
        ensure(raw.version == VERSION, NAME, "di_version")?;
        if !crc::block_crc_is_good(bytes, CRC_OFFSET) {
            return Err(Fault::checksum(NAME));
        }
        ensure(raw.number.get() == number.0, NAME, "di_ino")?;
        ensure(raw.uuid == geo.meta_uuid, NAME, "di_uuid")?;

        let subject = Subject::new(geo, raw);
        subject.check_core()?;
        subject.check_forkoff()?;
        subject.check_forks()?;
        subject.check_extsize()?;
        subject.check_flags2()?;

        let (data, attr) = match raw.forkoff {
            0 => (literal, &[][..]),
            units => literal
                .split_at_checked(usize::from(units).saturating_mul(FORKOFF_UNIT))
                .ok_or(Fault::corrupt(NAME, "di_forkoff"))?,
        };
        Ok(Dinode { raw, data, attr })
    }
}

/// Whether the extent size hint goes with an inode's type and flags.
pub fn hint_is_valid(geo: &Geometry, core: &InodeCore) -> bool {
    let raw = core.to_raw(geo, InodeNumber(0));
    Subject::new(geo, &raw).check_extsize().is_ok()
}

/// Whether the hint for copies on write goes with an inode's type and flags.
pub fn cow_hint_is_valid(geo: &Geometry, core: &InodeCore) -> bool {
    let raw = core.to_raw(geo, InodeNumber(0));
    let subject = Subject::new(geo, &raw);
    let hinted = core.flags2.has(Flags2::COWEXTSIZE);
    (geo.features.reflink() || !hinted) && subject.check_cowextsize().is_ok()
}

impl<'a> Subject<'a> {
    fn new(geo: &'a Geometry, raw: &'a RawInode) -> Self {
        Self {
            geo,
            raw,
            file_type: FileType::from_mode(raw.mode.get()),
            flags: Flags(raw.flags.get()),
            flags2: Flags2(raw.flags2.get()),
        }
    }
}

impl Subject<'_> {
    fn is_free(&self) -> bool {
        self.raw.mode.get() == 0
    }

    fn is(&self, file_type: FileType) -> bool {
        self.file_type == Some(file_type)
    }

    /// Sizes, counts and flags that need no look at a fork.
    fn check_core(&self) -> Result<(), Fault> {
        let raw = self.raw;
        ensure(self.is_free() || self.file_type.is_some(), NAME, "di_mode")?;
        ensure(
            self.flags2.has(Flags2::METADATA) || raw.metatype.get() == 0,
            NAME,
            "di_metatype",
        )?;

        let size = raw.size.get();
        ensure(size >> 63 == 0, NAME, "di_size")?;
        // Only while its last link is being taken away may one of these have nothing in it.
        if self.is(FileType::Symlink) || self.is(FileType::Directory) {
            ensure(size != 0 || raw.nlink.get() == 0, NAME, "di_size")?;
        }

        if raw.has_large_counters() {
            ensure(self.geo.features.nrext64(), NAME, "di_flags2")?;
            ensure(raw.anextents.get() == 0, NAME, "di_nrext64_pad")?;
        } else {
            ensure(raw.big_nextents.get() == 0, NAME, "di_v3_pad")?;
        }

        let extents = raw
            .data_extents()
            .saturating_add(u64::from(raw.attr_extents()));
        let blocks = raw.nblocks.get();
        ensure(self.is_free() || extents <= blocks, NAME, "di_nblocks")?;
        // The blocks of a B+tree that is rooted here are no extents.
        if ForkFormat::from_disk(raw.format) != Some(ForkFormat::MetaBtree) {
            ensure(extents != 0 || blocks == 0, NAME, "di_nblocks")?;
        }
        if self.is(FileType::Directory) {
            let most = DIRECTORY_SPAN >> self.geo.block_log;
            ensure(raw.data_extents() <= most, NAME, "di_nextents")?;
        }
        if !self.is_free() && self.flags.has(Flags::REALTIME) {
            ensure(self.geo.rt_blocks > 0, NAME, "di_flags")?;
        }
        Ok(())
    }

    fn check_forkoff(&self) -> Result<(), Fault> {
        let units = usize::from(self.raw.forkoff);
        if units == 0 {
            return Ok(());
        }
        let features = &self.geo.features;
        let holds = match ForkFormat::from_disk(self.raw.format) {
            // A device number takes one unit, though it is shorter.
            Some(ForkFormat::Dev) => units == 1,
            Some(ForkFormat::MetaBtree) if !(features.metadir() && features.parent()) => false,
            Some(_) => units < literal_size(self.geo) / FORKOFF_UNIT,
            None => false,
        };
        ensure(holds, NAME, "di_forkoff")
    }

    fn check_forks(&self) -> Result<(), Fault> {
        match self.file_type {
            None => {}
            Some(file_type) if file_type.has_data() => self.check_data_fork()?,
            Some(_) => ensure(
                ForkFormat::from_disk(self.raw.format) == Some(ForkFormat::Dev),
                NAME,
                "di_format",
            )?,
        }
        self.check_attr_fork()
    }

    fn check_data_fork(&self) -> Result<(), Fault> {
        let raw = self.raw;
        let room = match raw.forkoff {
            0 => literal_size(self.geo),
            units => usize::from(units).saturating_mul(FORKOFF_UNIT),
        };
        let fits = raw.size.get() <= room as u64;
        let format = ForkFormat::from_disk(raw.format);
        let small_directory = self.is(FileType::Directory) && fits && raw.size.get() != 0;
        let small_target = self.is(FileType::Symlink) && fits;
        let holds = match format {
            // A directory that fits is never kept elsewhere, nor is one that does not fit here.
            // A target that fits may be: it moved out for attributes that are gone since.
            Some(ForkFormat::Local) => fits && !self.is(FileType::Regular),
            Some(ForkFormat::Extents) => !small_directory,
            Some(ForkFormat::Btree) => !small_directory && !small_target,
            Some(ForkFormat::MetaBtree) => {
                !small_directory && !small_target && self.may_root_a_metadata_tree()
            }
            Some(ForkFormat::Dev) | None => false,
        };
        ensure(holds, NAME, "di_format")?;
        self.check_count(format, raw.data_extents(), room, false)
    }

    /// Whether the data fork may be the root of a realtime group's B+tree.
    fn may_root_a_metadata_tree(&self) -> bool {
        let features = &self.geo.features;
        // The tree must be there before the first realtime group is, so this asks for the feature
        // and not for a realtime device.
        let has_tree = match MetaType::from_disk(self.raw.metatype.get()) {
            Some(MetaType::RtRmap) => features.rmapbt(),
            Some(MetaType::RtRefcount) => features.reflink(),
            _ => false,
        };
        features.metadir() && self.flags2.has(Flags2::METADATA) && has_tree
    }

    fn check_attr_fork(&self) -> Result<(), Fault> {
        let raw = self.raw;
        let count = u64::from(raw.attr_extents());
        if raw.forkoff == 0 {
            // A new chunk's inodes have zeroes where a format would be.
            let format = ForkFormat::from_disk(raw.aformat);
            ensure(
                matches!(format, Some(ForkFormat::Dev | ForkFormat::Extents)),
                NAME,
                "di_aformat",
            )?;
            return ensure(count == 0, NAME, "di_anextents");
        }
        let room = literal_size(self.geo)
            .saturating_sub(usize::from(raw.forkoff).saturating_mul(FORKOFF_UNIT));
        let format = ForkFormat::from_disk(raw.aformat);
        ensure(
            matches!(
                format,
                Some(ForkFormat::Local | ForkFormat::Extents | ForkFormat::Btree)
            ),
            NAME,
            "di_aformat",
        )?;
        self.check_count(format, count, room, true)
    }

    /// A fork's count of extents against its format, `room` bytes of it.
    fn check_count(
        &self,
        format: Option<ForkFormat>,
        count: u64,
        room: usize,
        attr: bool,
    ) -> Result<(), Fault> {
        let most = match format {
            Some(ForkFormat::Local) => 0,
            Some(ForkFormat::Extents) => (room / MAPPING_SIZE) as u64,
            Some(ForkFormat::Btree) => max_extents(self.raw.has_large_counters(), attr),
            _ => return Ok(()),
        };
        let field = if attr { "di_anextents" } else { "di_nextents" };
        ensure(count <= most, NAME, field)
    }

    /// Rules that both hints share: a whole number of the realtime extents of a realtime file, no
    /// longer than a mapping can be, and half a group at most where groups bound allocations.
    fn hint_fits(&self, blocks: u32) -> bool {
        let realtime = self.flags.has(Flags::REALTIME);
        let unit = if realtime { self.geo.rt_extent_size } else { 1 };
        blocks.checked_rem(unit) == Some(0)
            && blocks <= MAX_EXTENT_BLOCKS
            && (realtime || blocks <= self.geo.ag_blocks / 2)
    }

    fn check_extsize(&self) -> Result<(), Fault> {
        let blocks = self.raw.extsize.get();
        let own = self.flags.has(Flags::EXTSIZE);
        let inherited = self.flags.has(Flags::EXTSZINHERIT);
        ensure(!own || self.is(FileType::Regular), NAME, "di_flags")?;
        ensure(!inherited || self.is(FileType::Directory), NAME, "di_flags")?;
        // Freeing clears the flags and lets the hint stand.
        let holds = if own || inherited {
            blocks != 0
        } else {
            self.is_free() || blocks == 0
        };
        ensure(holds && self.hint_fits(blocks), NAME, "di_extsize")
    }

    fn check_cowextsize(&self) -> Result<(), Fault> {
        let blocks = self.raw.cowextsize.get();
        let zoned_rmap = self.geo.features.zoned()
            && MetaType::from_disk(self.raw.metatype.get()) == Some(MetaType::RtRmap);
        if zoned_rmap {
            // Here the field counts the blocks in use of the group's zone.
            return ensure(blocks <= self.geo.rt_group_extents, NAME, "di_used_blocks");
        }
        let hinted = self.flags2.has(Flags2::COWEXTSIZE);
        ensure(
            !hinted || self.is(FileType::Regular) || self.is(FileType::Directory),
            NAME,
            "di_flags2",
        )?;
        let holds = if hinted {
            blocks != 0
        } else {
            self.is_free() || blocks == 0
        };
        ensure(holds && self.hint_fits(blocks), NAME, "di_cowextsize")
    }

    fn check_flags2(&self) -> Result<(), Fault> {
        let features = &self.geo.features;
        ensure(
            features.reflink() || !self.flags2.has(Flags2::REFLINK | Flags2::COWEXTSIZE),
            NAME,
            "di_flags2",
        )?;
        if self.flags2.has(Flags2::REFLINK) {
            ensure(self.is(FileType::Regular), NAME, "di_flags2")?;
            // Only groups have reference counts for the realtime device.
            ensure(
                !self.flags.has(Flags::REALTIME) || (features.metadir() && self.geo.rt_blocks > 0),
                NAME,
                "di_flags2",
            )?;
        }
        self.check_cowextsize()?;
        ensure(
            features.bigtime() || !self.flags2.has(Flags2::BIGTIME),
            NAME,
            "di_flags2",
        )?;
        if self.flags2.has(Flags2::METADATA) {
            self.check_metadata()?;
        }
        Ok(())
    }

    /// A file of the metadata directory tree: kept so that user space could do nothing with it,
    /// should one ever be reached.
    fn check_metadata(&self) -> Result<(), Fault> {
        let raw = self.raw;
        ensure(self.geo.features.metadir(), NAME, "di_flags2")?;
        ensure(
            MetaType::from_disk(raw.metatype.get()).is_some(),
            NAME,
            "di_metatype",
        )?;
        let needed = match self.file_type {
            Some(FileType::Directory) => Flags::METADATA_DIRECTORY,
            Some(FileType::Regular) => Flags::METADATA_FILE,
            _ => return Err(Fault::corrupt(NAME, "di_mode")),
        };
        ensure(raw.mode.get() & 0o777 == 0, NAME, "di_mode")?;
        ensure(raw.dmevmask.get() == 0, NAME, "di_dmevmask")?;
        ensure(raw.dmstate.get() == 0, NAME, "di_dmstate")?;
        ensure(raw.uid.get() == 0, NAME, "di_uid")?;
        ensure(raw.gid.get() == 0, NAME, "di_gid")?;
        ensure(self.flags.has_all(needed), NAME, "di_flags")?;
        ensure(!self.flags2.has(Flags2::DAX), NAME, "di_flags2")
    }
}
