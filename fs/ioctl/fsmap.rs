// SPDX-License-Identifier: GPL-2.0

//! `FS_IOC_GETFSMAP`: what lies where on the devices.

use super::abi::{
    self,
    fsmap_flag as flag,
    fsmap_owner,
    FsmapHead, //
};
use crate::{
    fs::mount::Mount,
    libxfs::{
        error,
        format::{
            btree::{
                Owner,
                RmapFlags, //
            },
            units::RtGroup, //
        },
        fsmap::{
            self,
            Holder,
            Key,
            Mapping,
            Query,
            RtTrees,
            UseRtTrees, //
        },
        rt::{
            self,
            GroupFile, //
        },
        store::Device, //
    },
    rust::{
        bindings,
        kernel::user::UserAddress, //
    },
};
use core::{
    mem::offset_of,
    ops::ControlFlow, //
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// Records that are collected before they are copied out. A longer answer takes several walks.
const BATCH: usize = 2048;

/// A key as user space gives it, with positions in basic blocks.
#[derive(Clone, Copy)]
struct RawKey {
    device: u32,
    flags: u32,
    physical: u64,
    owner: u64,
    offset: u64,
    length: u64,
}

impl From<&abi::Fsmap> for RawKey {
    fn from(key: &abi::Fsmap) -> Self {
        Self {
            device: key.device,
            flags: key.flags,
            physical: key.physical >> 9,
            owner: key.owner,
            offset: key.offset >> 9,
            length: key.length >> 9,
        }
    }
}

impl RawKey {
    fn to_key(self) -> Result<Key> {
        Ok(Key {
            start: self.physical,
            len: self.length,
            owner: self.rmap_owner()?,
            offset: self.offset,
            flags: RmapFlags {
                attr_fork: self.flags & flag::ATTR_FORK != 0,
                bmbt_block: self.flags & flag::EXTENT_MAP != 0,
                unwritten: self.flags & flag::PREALLOC != 0,
            },
        })
    }

    /// The owner as reverse mappings encode it.
    fn rmap_owner(&self) -> Result<u64> {
        if self.flags & flag::SPECIAL_OWNER == 0 {
            return Ok(self.owner);
        }
        Ok(match self.owner {
            0 | u64::MAX => self.owner,
            fsmap_owner::FREE => Owner::Null.encode(),
            fsmap_owner::UNKNOWN => Owner::Unknown.encode(),
            fsmap_owner::FS => Owner::Fs.encode(),
            fsmap_owner::LOG => Owner::Log.encode(),
            fsmap_owner::AG => Owner::Ag.encode(),
            fsmap_owner::INOBT => Owner::InodeTrees.encode(),
            fsmap_owner::INODES => Owner::InodeChunks.encode(),
            fsmap_owner::REFCOUNT => Owner::RefcountTree.encode(),
            fsmap_owner::COW => Owner::Cow.encode(),
            _ => return Err(EINVAL),
        })
    }
}

/// Whether the two keys span something.
fn keys_are_valid(low: &RawKey, high: &RawKey) -> bool {
    const NO_OFFSET: u32 = flag::SPECIAL_OWNER | flag::EXTENT_MAP;
    // What user space sets to all ones is past the largest number of basic blocks.
    const ALL: u64 = u64::MAX >> 9;
    if low.flags & NO_OFFSET != 0 && low.offset != 0 {
        return false;
    }
    if high.flags != u32::MAX
        && high.flags & NO_OFFSET != 0
        && high.offset != 0
        && high.offset != u64::MAX
    {
        return false;
    }
    if high.length != 0 && high.length != ALL && high.length != u64::MAX {
        return false;
    }
    (low.device, low.physical, low.owner, low.offset)
        < (high.device, high.physical, high.owner, high.offset)
}

/// A device that the walk goes over.
struct Walked {
    device: Device,
    /// What user space knows it by.
    number: u32,
}

/// The devices, in the order of their numbers.
fn devices(mount: &Mount, rmap: bool) -> [Option<Walked>; 3] {
    let geo = mount.geometry();
    let of = |device| {
        Some(Walked {
            device,
            number: number_of(mount, device)?,
        })
    };
    // Zoned devices have no bitmap to fall back on.
    let has_rt = geo.rt_blocks != 0 && (rmap || !geo.features.zoned());
    let mut devices = [
        of(Device::Data),
        if geo.log_start.is_none() {
            of(Device::Log)
        } else {
            None
        },
        if has_rt { of(Device::Realtime) } else { None },
    ];
    devices.sort_unstable_by_key(|walked| walked.as_ref().map_or(u32::MAX, |walked| walked.number));
    devices
}

/// What user space knows a device by: its number, or with an internal realtime section, which
/// would share one, a small constant.
fn number_of(mount: &Mount, device: Device) -> Option<u32> {
    if mount.geometry().rt_start != 0 {
        return Some(match device {
            Device::Data => 1,
            Device::Log => 2,
            Device::Realtime => 3,
        });
    }
    mount
        .block_device(device)
        .map(|device| device.encoded_number())
}

fn names_a_device(mount: &Mount, number: u32) -> bool {
    number == 0
        || number == u32::MAX
        || [Device::Data, Device::Log, Device::Realtime]
            .into_iter()
            .any(|device| number_of(mount, device) == Some(number))
}

/// Records of one walk.
struct Answer {
    records: KVVec<abi::Fsmap>,
    room: usize,
    /// Of a caller who only counts: how many there would be.
    count: u32,
    counting: bool,
}

impl Answer {
    fn take(&mut self, device: u32, mapping: &Mapping) -> Result<ControlFlow<()>, error::Error> {
        if self.counting {
            return Ok(match self.count.checked_add(1) {
                Some(count) => {
                    self.count = count;
                    ControlFlow::Continue(())
                }
                None => ControlFlow::Break(()),
            });
        }
        if self.records.len() >= self.room {
            return Ok(ControlFlow::Break(()));
        }
        let (owner, special) = owner_of(mapping.holder);
        let mut flags = 0;
        for (set, bit) in [
            (special, flag::SPECIAL_OWNER),
            (mapping.flags.unwritten, flag::PREALLOC),
            (mapping.flags.attr_fork, flag::ATTR_FORK),
            (mapping.flags.bmbt_block, flag::EXTENT_MAP),
            (mapping.shared, flag::SHARED),
        ] {
            if set {
                flags |= bit;
            }
        }
        let record = abi::Fsmap {
            device,
            flags,
            physical: mapping.start.0 << 9,
            owner,
            offset: mapping.offset << 9,
            length: mapping.len << 9,
            reserved: [0; 3],
        };
        self.records
            .push(record, GFP_KERNEL)
            .map_err(|_| error::Error::NoMemory)?;
        Ok(ControlFlow::Continue(()))
    }
}

/// A holder's name, and whether it is one rather than an inode.
fn owner_of(holder: Holder) -> (u64, bool) {
    match holder {
        Holder::Free => (fsmap_owner::FREE, true),
        Holder::Unknown => (fsmap_owner::UNKNOWN, true),
        Holder::Owner(owner) => match owner {
            Owner::Inode(inode) => (inode.0, false),
            Owner::Null => (fsmap_owner::FREE, true),
            Owner::Unknown => (fsmap_owner::UNKNOWN, true),
            Owner::Fs => (fsmap_owner::FS, true),
            Owner::Log => (fsmap_owner::LOG, true),
            Owner::Ag => (fsmap_owner::AG, true),
            Owner::InodeTrees => (fsmap_owner::INOBT, true),
            Owner::InodeChunks => (fsmap_owner::INODES, true),
            Owner::RefcountTree => (fsmap_owner::REFCOUNT, true),
            Owner::Cow => (fsmap_owner::COW, true),
        },
    }
}

impl RtTrees for Mount {
    fn with(
        &self,
        group: RtGroup,
        use_inodes: &mut UseRtTrees<'_>,
    ) -> error::Result<ControlFlow<()>> {
        let rmap = rt::open(self, Some(group), GroupFile::Rmap)?;
        let refcount = if self.geometry().features.reflink() {
            Some(rt::open(self, Some(group), GroupFile::Refcount)?)
        } else {
            None
        };
        use_inodes(&rmap, refcount.as_ref())
    }
}

/// Walks from the low key to the high one; `Break` if there was no room for all.
fn walk(
    mount: &Mount,
    low: &RawKey,
    high: &RawKey,
    rmap: bool,
    answer: &mut Answer,
) -> Result<ControlFlow<()>> {
    if !names_a_device(mount, low.device)
        || !names_a_device(mount, high.device)
        || !keys_are_valid(low, high)
    {
        return Err(EINVAL);
    }
    let low_key = low.to_key()?;
    let high_key = high.to_key()?;
    for walked in devices(mount, rmap).iter().flatten() {
        if low.device > walked.number || high.device < walked.number {
            continue;
        }
        let query = Query {
            low: if walked.number == low.device {
                low_key
            } else {
                Key::LOWEST
            },
            high: if walked.number == high.device {
                high_key
            } else {
                Key::HIGHEST
            },
            owners: rmap,
            sharing: !answer.counting,
        };
        let visit = |mapping: &Mapping| answer.take(walked.number, mapping);
        let told = match walked.device {
            Device::Data => fsmap::data_device(mount, &query, visit),
            Device::Log => fsmap::log_device(mount.geometry(), &query, visit),
            Device::Realtime if rmap => fsmap::rt_device(mount, &query, mount, visit),
            Device::Realtime => free_on_realtime(mount, &query, visit),
        };
        if told.map_err(|error| mount.errno(error))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Answers a request.
pub(super) fn get_fsmap(mount: &Mount, to: UserAddress) -> Result<usize> {
    let mut head: FsmapHead = to.read()?;
    let [low, high] = &head.keys;
    if head.reserved != [0; 6] || low.reserved != [0; 3] || high.reserved != [0; 3] {
        return Err(EINVAL);
    }
    if head.iflags != 0 {
        return Err(EINVAL);
    }
    // SAFETY: May be called anywhere that may sleep.
    let sees_all = unsafe { bindings::capable_noaudit(bindings::CAP_SYS_ADMIN as c_int) };
    let rmap = mount.geometry().features.rmapbt() && sees_all;
    let mut low = RawKey::from(low);
    let high = RawKey::from(high);
    let counting = head.count == 0;
    head.entries = 0;
    let mut last_flags = 0;
    let mut answer = Answer {
        records: KVVec::with_capacity(BATCH.min(head.count as usize), GFP_KERNEL)?,
        room: 0,
        count: 0,
        counting,
    };
    let records_at = to.offset(size_of::<FsmapHead>());
    let done = loop {
        answer.records.clear();
        answer.room = BATCH.min(head.count.saturating_sub(head.entries) as usize);
        let done = walk(mount, &low, &high, rmap, &mut answer)?.is_continue();
        if counting {
            head.entries = answer.count;
            break done;
        }
        let Some(last) = answer.records.last() else {
            break done;
        };
        records_at
            .offset(size_of::<abi::Fsmap>().wrapping_mul(head.entries as usize))
            .write(answer.records.as_slice())?;
        head.entries = head.entries.saturating_add(answer.records.len() as u32);
        last_flags = last.flags;
        low = RawKey::from(last);
        if done || head.entries >= head.count {
            break done;
        }
    };
    if done && !counting && head.entries > 0 {
        // Nothing follows, so the last record bears a mark.
        let index = head.entries.wrapping_sub(1) as usize;
        records_at
            .offset(size_of::<abi::Fsmap>().wrapping_mul(index))
            .offset(offset_of!(abi::Fsmap, flags))
            .write(&(last_flags | flag::LAST))?;
    }
    if mount.geometry().rt_start == 0 {
        head.oflags = flag::HEAD_DEV_T;
    }
    to.write(&head)?;
    Ok(0)
}

/// Walks over a realtime device of which only free space is known, from the bitmap.
fn free_on_realtime(
    mount: &Mount,
    query: &Query,
    visit: impl FnMut(&Mapping) -> error::Result<ControlFlow<()>>,
) -> error::Result<ControlFlow<()>> {
    let bitmap = |group| rt::open(mount, group, GroupFile::Bitmap);
    fsmap::rt_device_free(mount, query, bitmap, visit)
}
