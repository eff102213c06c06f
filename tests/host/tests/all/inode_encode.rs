// SPDX-License-Identifier: GPL-2.0

//! Inodes of real images on their way out of memory: the slot that they came from, and what the log
//! says of them.

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use xfs_host::{
    fixture::{named, Image, SHAPES},
    image::ImageStore,
    libxfs::{
        error::Error,
        extents::{ExtentMap, MappedBlock, Mapping, State},
        format::{
            btree::{bmap::DiskBmap, BmapRecord},
            geometry::Geometry,
            inode::{self, cluster::InodePlace, Dinode, ForkFormat, RawInode, CORE_SIZE},
            kind::Kind,
            log::{
                inode::{Fields, InodeItem},
                root::Form,
            },
            units::{AgNumber, FileBlock, InodeNumber},
        },
        ialloc,
        inode::{
            cluster_run, encode, inode_bytes, locate, BtreeFork, Fork, Inode, Trust, WhichFork,
        },
        log::items::Items,
        store::{Device, Store},
        trans::InodeFields,
    },
};
use zerocopy::FromBytes;

fn open(image: &Image) -> ImageStore {
    ImageStore::open(image.disks()).unwrap()
}

/// All inodes in use, with their places and slots.
fn each(store: &ImageStore, mut visit: impl FnMut(InodeNumber, InodePlace, &[u8])) {
    let geo = store.geometry();
    for ag in (0..geo.ag_count).map(AgNumber) {
        let mut chunks = Vec::new();
        ialloc::visit_chunks(store, ag, Default::default(), |chunk| {
            chunks.push(chunk);
            Ok::<_, Error>(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
        for number in chunks
            .into_iter()
            .flat_map(|c| ialloc::allocated(store, ag, c))
        {
            let place = locate(store, number, Trust::Trusted).unwrap();
            let run = cluster_run(store, place).unwrap();
            let cluster = store.read(Device::Data, run, Kind::InodeCluster).unwrap();
            visit(number, place, inode_bytes(geo, &cluster, place).unwrap());
        }
    }
}

fn encoded(geo: &Geometry, inode: &Inode, fields: InodeFields, slot: &[u8]) -> Vec<u8> {
    let mut slot = slot.to_vec();
    encode::to_slot(geo, inode, fields, inode.core.lsn, &mut slot).unwrap();
    slot
}

/// What recovery puts into a slot.
fn replayed(inode: &Inode, item: &InodeItem<'_>, slot: &[u8]) -> Vec<u8> {
    let mut slot = slot.to_vec();
    let (core, literal) = slot.split_at_mut(CORE_SIZE);
    let core = RawInode::mut_from_bytes(core).unwrap();
    item.core.replay(inode.core.lsn, core);
    let split = match core.forkoff {
        0 => literal.len(),
        units => 8 * usize::from(units),
    };
    let (data, attr) = literal.split_at_mut(split);
    if item.fields.has(Fields::DEVICE) {
        data[..4].copy_from_slice(&item.device.to_be_bytes());
    }
    if let Some(fork) = item.data {
        if item.fields.has(Fields::DATA_ROOT) {
            let form = Form::of_data_fork(core).unwrap();
            form.to_disk(fork, data).unwrap();
        } else {
            data[..fork.len()].copy_from_slice(fork);
        }
    }
    if let Some(fork) = item.attr {
        if item.fields.has(Fields::ATTR_ROOT) {
            Form::Bmap.to_disk(fork, attr).unwrap();
        } else {
            attr[..fork.len()].copy_from_slice(fork);
        }
    }
    inode::seal(&mut slot);
    slot
}

/// That nothing but what no fork uses is different.
fn assert_same(geo: &Geometry, number: InodeNumber, one: &[u8], other: &[u8]) {
    let one = Inode::parse(geo, number, one).unwrap();
    let other = Inode::parse(geo, number, other).unwrap();
    assert_eq!(one.core, other.core, "inode {number}");
    for which in [WhichFork::Data, WhichFork::Attr] {
        let text = |inode: &Inode| {
            let Some(fork) = inode.fork(which) else {
                return String::new();
            };
            match fork {
                Fork::Local(bytes) => format!("{bytes:?}"),
                Fork::Dev(number) => format!("{number:?}"),
                Fork::Extents(map) => format!("{:?}", map.iter().collect::<Vec<_>>()),
                // Roots are compared in the form of the log, which has nothing that is not used.
                Fork::Btree(_) | Fork::Meta(_) => {
                    let mut bytes = vec![0; 4096];
                    let len = encode::fork_to_log(geo, inode, which, &mut bytes).unwrap();
                    format!("{:?}", &bytes[..len])
                }
            }
        };
        assert_eq!(text(&one), text(&other), "inode {number} {which:?}");
    }
}

#[test]
fn every_inode_of_every_shape_is_encoded_to_the_slot_that_it_came_from() {
    for shape in SHAPES {
        let store = open(&Image::of(shape));
        let geo = store.geometry();
        let mut roots = 0;
        each(&store, |number, _, slot| {
            let inode = Inode::parse(geo, number, slot).unwrap();
            roots += usize::from(matches!(inode.data, Fork::Btree(_) | Fork::Meta(_)));
            let own = encoded(geo, &inode, InodeFields::ALL, slot);
            assert_eq!(own, slot, "{} inode {number}", shape.name);
            // Of a change of the core alone the forks stay.
            let core = encoded(geo, &inode, InodeFields::CORE, slot);
            assert_eq!(core, slot, "{} inode {number}", shape.name);
            let empty = encoded(geo, &inode, InodeFields::ALL, &vec![0xff; slot.len()]);
            // The list of unlinked inodes is none of the inode's.
            let none = inode.core.next_unlinked.is_none();
            assert!(none, "{} inode {number}", shape.name);
            assert_same(geo, number, slot, &empty);
        });
        assert!(roots > 0 || shape.filled.is_none(), "{}", shape.name);
    }
}

#[test]
fn what_the_log_says_of_every_inode_of_every_shape_is_replayed_to_its_slot() {
    for shape in SHAPES {
        let store = open(&Image::of(shape));
        let geo = store.geometry();
        each(&store, |number, place, slot| {
            let inode = Inode::parse(geo, number, slot).unwrap();
            let image = encode::Image::new(geo, &inode, place, InodeFields::ALL).unwrap();
            let mut items = Items::new();
            items.inode(&image.item()).unwrap();
            let item = InodeItem::decode(items.get(0).unwrap()).unwrap();
            assert_eq!(item.number, number);
            let run = cluster_run(&store, place).unwrap();
            assert_eq!((item.place.at, item.place.len), (run.at, run.len));
            let bare = replayed(&inode, &item, &vec![0xff; slot.len()]);
            assert_same(geo, number, slot, &bare);

            let image = encode::Image::new(geo, &inode, place, InodeFields::CORE).unwrap();
            let item = image.item();
            assert_eq!(item.fields, Fields(Fields::CORE));
            assert_eq!(replayed(&inode, &item, slot), slot);
        });
    }
}

#[test]
fn a_root_moves_with_the_size_of_its_fork() {
    let store = open(&Image::of(named("default")));
    let geo = store.geometry();
    let mut moved = 0;
    each(&store, |number, place, slot| {
        let mut inode = Inode::parse(geo, number, slot).unwrap();
        if inode.core.format != ForkFormat::Btree {
            return;
        }
        inode.load_extents(&store, WhichFork::Data).unwrap();
        let before: Vec<_> = inode.extents(WhichFork::Data).unwrap().iter().collect();
        // The least that a root needs, and all that there is.
        for forkoff in [7, 20, 36, 0] {
            inode.core.forkoff = forkoff;
            // What fits a fork without a tree has none, and a root has to fit.
            let room = inode.core.data_fork_size(geo);
            let Fork::Btree(BtreeFork { root, .. }) = &inode.data else {
                unreachable!()
            };
            let children = usize::from(u16::from_be_bytes([root[2], root[3]]));
            if before.len() <= room / 16 || 4 + 16 * children > room {
                continue;
            }
            inode.attr = (forkoff != 0).then(|| Fork::Extents(ExtentMap::new()));
            inode.core.aformat = ForkFormat::Extents;
            inode.core.anextents = 0;
            let slot = encoded(geo, &inode, InodeFields::ALL, slot);
            let image = encode::Image::new(geo, &inode, place, InodeFields::ALL).unwrap();
            let replayed = replayed(&inode, &image.item(), &vec![0xff; slot.len()]);
            for slot in [slot, replayed] {
                let mut again = Inode::parse(geo, number, &slot).unwrap();
                again.load_extents(&store, WhichFork::Data).unwrap();
                let map = again.extents(WhichFork::Data).unwrap();
                assert!(map.iter().eq(before.iter().copied()));
                moved += 1;
            }
        }
    });
    assert!(moved > 0);
}

#[test]
fn what_the_core_tells_otherwise_of_is_refused() {
    let store = open(&Image::of(named("default")));
    let geo = store.geometry();
    let refused = |inode: &Inode, slot: &[u8]| {
        let mut slot = slot.to_vec();
        let put = encode::to_slot(geo, inode, InodeFields::ALL, inode.core.lsn, &mut slot);
        assert_eq!(put, Err(Error::Invalid), "inode {}", inode.number);
        let logged = encode::Logged::of(inode, InodeFields::ALL);
        assert_eq!(logged, Err(Error::Invalid), "inode {}", inode.number);
    };
    let mut seen = 0;
    each(&store, |number, _, slot| {
        let mut inode = Inode::parse(geo, number, slot).unwrap();
        match inode.data {
            Fork::Extents(_) => inode.core.nextents += 1,
            Fork::Local(_) => inode.core.size += 1,
            _ => inode.core.format = ForkFormat::Extents,
        }
        refused(&inode, slot);
        seen += 1;
    });
    assert!(seen > 100);
}

/// Mappings with gaps between them, none behind the last that a record can say.
fn mappings() -> impl Strategy<Value = Vec<Mapping>> {
    let one = (0u64..50, 1u64..0x1f_ffff, 0u64..1 << 40, 0u8..3);
    vec(one, 0..19).prop_map(|parts| {
        let mut at = 0;
        let mut all = Vec::new();
        for (gap, len, start, state) in parts {
            let offset = FileBlock(at + gap);
            all.push(match state {
                0 => Mapping::delayed(offset, len, start % 1000),
                _ => Mapping {
                    offset,
                    start: MappedBlock(start),
                    len,
                    state: if state == 1 {
                        State::Normal
                    } else {
                        State::Unwritten
                    },
                },
            });
            at += gap + len + 1;
        }
        all
    })
}

#[test]
fn any_mappings_are_encoded_and_delayed_ones_are_left_out() {
    let store = open(&Image::of(named("empty")));
    let geo = store.geometry();
    let result = TestRunner::default().run(&mappings(), |all| {
        let mut inode = Inode::read(&store, geo.root_inode, Trust::Trusted).unwrap();
        let mut map = ExtentMap::new();
        for mapping in &all {
            map.insert(*mapping).unwrap();
        }
        let kept: Vec<_> = all
            .into_iter()
            .filter(|mapping| mapping.state != State::Delayed)
            .collect();
        inode.core.format = ForkFormat::Extents;
        inode.core.nextents = kept.len() as u64;
        inode.core.forkoff = 0;
        inode.attr = None;
        inode.data = Fork::Extents(map);
        let logged = encode::Logged::of(&inode, InodeFields::ALL).unwrap();
        prop_assert_eq!(logged.data, 16 * kept.len());
        prop_assert_eq!(logged.fields.has(Fields::DATA_EXTENTS), !kept.is_empty());
        let mut log = vec![0; logged.data];
        let len = encode::fork_to_log(geo, &inode, WhichFork::Data, &mut log).unwrap();
        prop_assert_eq!(len, logged.data);
        let empty = vec![0; geo.inode_size as usize];
        let slot = encoded(geo, &inode, InodeFields::ALL, &empty);
        prop_assert_eq!(&slot[CORE_SIZE..CORE_SIZE + len], &log[..]);
        let records = <[DiskBmap]>::ref_from_bytes(&log).unwrap();
        let decoded: Vec<_> = records
            .iter()
            .map(|record| Mapping::from(BmapRecord::decode(record)))
            .collect();
        prop_assert_eq!(decoded, kept);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn a_free_inode_is_encoded_as_one() {
    let store = open(&Image::of(named("default")));
    let geo = store.geometry();
    each(&store, |number, _, slot| {
        let mut inode = Inode::parse(geo, number, slot).unwrap();
        inode.core.mode = 0;
        inode.core.format = ForkFormat::Extents;
        inode.core.aformat = ForkFormat::Extents;
        inode.core.forkoff = 0;
        inode.core.nextents = 0;
        inode.core.anextents = 0;
        inode.core.nblocks = 0;
        inode.core.flags = Default::default();
        inode.data = Fork::Extents(ExtentMap::new());
        inode.attr = None;
        let slot = encoded(geo, &inode, InodeFields::ALL, slot);
        Dinode::verified(geo, number, &slot).unwrap();
        let parsed = Inode::parse(geo, number, &slot);
        assert_eq!(parsed.err(), Some(Error::NotFound));
    });
}
