// SPDX-License-Identifier: GPL-2.0

//! What is asked of a whole file system: which inodes there are, and who owns each block.

use std::{cell::Cell, ops::ControlFlow};
use xfs_host::{
    fixture::{Image, SHAPES},
    image::ImageStore,
    libxfs::{
        ag,
        error::{Error, Result},
        format::{
            btree::{InodeChunk, Owner},
            geometry::Geometry,
            units::{AgBlock, AgInode, AgNumber, FsBlock, InodeNumber, RtGroup},
        },
        fsmap::{self, Holder, Key, Mapping, Query, RtTrees, UseRtTrees},
        ialloc,
        inode::{Inode, Trust},
        refcount,
        rt::{self, GroupFile},
        store::Store,
    },
};

fn for_every_shape(check: impl Fn(&str, &ImageStore)) {
    for shape in SHAPES {
        let image = Image::small(shape);
        let store =
            ImageStore::open(image.disks()).unwrap_or_else(|e| panic!("{}: {e}", shape.name));
        check(shape.name, &store);
    }
}

fn chunks(store: &ImageStore, ag: AgNumber, from: AgInode, most: usize) -> Vec<InodeChunk> {
    let mut found = Vec::new();
    ialloc::visit_chunks(store, ag, from, |chunk| {
        found.push(chunk);
        Ok::<_, Error>(if found.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })
    .unwrap();
    found
}

#[test]
fn every_inode_is_found_and_nothing_else() {
    for_every_shape(|name, store| {
        let geo = store.geometry();
        let (mut in_use, mut total) = (0u64, 0u64);
        for ag in (0..geo.ag_count).map(AgNumber) {
            for chunk in chunks(store, ag, AgInode(0), usize::MAX) {
                for index in 0..64 {
                    let inode = AgInode(chunk.start.0 + index);
                    let number = geo.inode_number(ag, inode).unwrap();
                    let found = ialloc::lookup(store, number).expect(name);
                    assert_eq!(found.is_some(), chunk.is_present(index));
                    let allocated = found.is_some_and(|found| found.is_allocated());
                    assert_eq!(allocated, chunk.is_allocated(index));
                    total += u64::from(found.is_some());
                    in_use += u64::from(allocated);
                    match Inode::read(store, number, Trust::Untrusted) {
                        Ok(inode) => assert!(allocated, "{name} {}", inode.number),
                        Err(e) => {
                            assert!(!allocated, "{name} {number}: {e:?}");
                            assert_eq!(e, Error::Invalid);
                        }
                    }
                }
                let numbers: Vec<_> = ialloc::allocated(store, ag, chunk).collect();
                assert_eq!(numbers.len(), usize::from(chunk.allocated_count()));
            }
        }
        let sums = ag::sum_counters(store).expect(name);
        assert_eq!(total, sums.inodes, "{name}");
        assert_eq!(in_use, sums.inodes - sums.free_inodes, "{name}");
        for number in [0, 1, u64::MAX, 1 << 63, 1 << 55, u64::from(u32::MAX)] {
            let found = ialloc::lookup(store, InodeNumber(number)).expect(name);
            assert!(found.is_none(), "{name} {number}");
        }
    });
}

#[test]
fn chunks_are_visited_from_any_inode_on() {
    for_every_shape(|name, store| {
        let all = chunks(store, AgNumber(0), AgInode(0), usize::MAX);
        for chunk in &all {
            for from in [0, 1, 63, 64] {
                let from = AgInode(chunk.start.0 + from);
                let expected: Vec<_> = all
                    .iter()
                    .filter(|chunk| chunk.start.0 + 63 >= from.0)
                    .take(3)
                    .copied()
                    .collect();
                assert_eq!(chunks(store, AgNumber(0), from, 3), expected, "{name}");
            }
        }
        let beyond = ialloc::visit_chunks(
            store,
            AgNumber(store.geometry().ag_count),
            AgInode(0),
            |_| Ok::<_, Error>(ControlFlow::Continue(())),
        );
        assert_eq!(beyond, Err(Error::Invalid));
    });
}

fn ask(store: &ImageStore, query: &Query, most: usize) -> Result<Vec<Mapping>> {
    let mut found = Vec::new();
    let end = fsmap::data_device(store, query, |mapping| {
        if found.len() == most {
            return Ok(ControlFlow::Break(()));
        }
        found.push(*mapping);
        Ok(ControlFlow::Continue(()))
    })?;
    assert!(end.is_continue() || found.len() == most);
    Ok(found)
}

/// The low key that goes on behind a mapping.
fn behind(mapping: &Mapping) -> Key {
    Key {
        start: mapping.start.0,
        len: mapping.len,
        owner: match mapping.holder {
            Holder::Free => Owner::Null.encode(),
            Holder::Unknown => Owner::Unknown.encode(),
            Holder::Owner(owner) => owner.encode(),
        },
        offset: mapping.offset,
        flags: mapping.flags,
    }
}

fn size(geo: &Geometry) -> u64 {
    geo.data_blocks * u64::from(geo.basic_blocks_per_block())
}

#[test]
fn the_map_of_the_data_device_has_no_holes() {
    for_every_shape(|name, store| {
        let geo = store.geometry();
        for owners in [true, false] {
            let query = Query {
                low: Key::LOWEST,
                high: Key::HIGHEST,
                owners,
                sharing: true,
            };
            let all = ask(store, &query, usize::MAX).expect(name);
            let mut next = 0;
            let mut free = 0;
            for mapping in &all {
                assert!(mapping.start.0 <= next, "{name} {mapping:?}");
                next = next.max(mapping.start.0 + mapping.len);
                if mapping.holder == Holder::Free {
                    free += mapping.len;
                }
            }
            assert_eq!(next, size(geo), "{name}");
            let in_trees: u64 = (0..geo.ag_count)
                .map(|ag| u64::from(ag::read_agf(store, AgNumber(ag)).unwrap().freeblks.get()))
                .sum();
            assert_eq!(
                free,
                in_trees * u64::from(geo.basic_blocks_per_block()),
                "{name}"
            );
            let by_owner = owners && geo.features.rmapbt();
            assert_ne!(
                by_owner,
                all.iter().any(|m| m.holder == Holder::Unknown),
                "{name}"
            );
        }
    });
}

#[test]
fn a_map_in_pieces_is_the_map() {
    for_every_shape(|name, store| {
        for owners in [true, false] {
            let mut query = Query {
                low: Key::LOWEST,
                high: Key::HIGHEST,
                owners,
                sharing: true,
            };
            let all = ask(store, &query, usize::MAX).expect(name);
            let mut pieces = Vec::new();
            loop {
                let piece = ask(store, &query, 7).expect(name);
                let Some(last) = piece.last() else {
                    break;
                };
                query.low = behind(last);
                pieces.extend(piece);
                assert!(pieces.len() <= all.len(), "{name}");
            }
            assert_eq!(pieces, all, "{name} {owners}");
        }
    });
}

#[test]
fn a_part_of_the_map_has_what_touches_it() {
    for_every_shape(|name, store| {
        let geo = store.geometry();
        let whole = Query {
            low: Key::LOWEST,
            high: Key::HIGHEST,
            owners: true,
            sharing: false,
        };
        let all = ask(store, &whole, usize::MAX).expect(name);
        let total = size(geo);
        for part in 0..16 {
            let (start, end) = (total / 16 * part + part * 3, total / 16 * (part + 1) + 5);
            let query = Query {
                low: Key {
                    start,
                    ..Key::LOWEST
                },
                high: Key {
                    start: end,
                    ..Key::HIGHEST
                },
                ..whole
            };
            let found = ask(store, &query, usize::MAX).expect(name);
            let mut next = start;
            for mapping in &found {
                assert!(mapping.start.0 <= next, "{name} {mapping:?}");
                next = next.max(mapping.start.0 + mapping.len);
            }
            assert!(next > end.min(total - 1), "{name} {start} to {end}");
            let block = u64::from(geo.basic_blocks_per_block());
            let expected = all.iter().filter(|m| {
                m.holder != Holder::Free
                    && m.holder != Holder::Unknown
                    && m.start.0 < (end / block + 1) * block
                    && m.start.0 + m.len > start / block * block
            });
            let owned = found
                .iter()
                .filter(|m| m.holder != Holder::Free && m.holder != Holder::Unknown);
            assert!(expected.eq(owned), "{name} {start} to {end}");
        }
    });
}

#[test]
fn sharing_is_asked_within_one_group_only() {
    for_every_shape(|name, store| {
        let geo = store.geometry();
        let end = geo.fs_block(AgNumber(0), AgBlock(geo.ag_blocks - 1));
        let last: FsBlock = end.unwrap();
        assert_eq!(refcount::find_shared(store, last, 1), Ok(None), "{name}");
        for (start, len) in [
            (last, 2),
            (last, 0),
            (last, u64::MAX),
            (FsBlock(u64::MAX), 1),
        ] {
            let found = refcount::find_shared(store, start, len);
            assert_eq!(found, Err(Error::Invalid), "{name} {start} {len}");
        }
    });
}

/// What a query of the realtime device tells, by owners or by the bitmap.
fn ask_rt(store: &ImageStore, query: &Query, most: usize) -> Result<Vec<Mapping>> {
    struct Trees<'a>(&'a ImageStore);
    impl RtTrees for Trees<'_> {
        fn with(&self, group: RtGroup, use_inodes: &mut UseRtTrees<'_>) -> Result<ControlFlow<()>> {
            let rmap = rt::open(self.0, Some(group), GroupFile::Rmap)?;
            let refcount = if GroupFile::Refcount.is_present(self.0.geometry()) {
                Some(rt::open(self.0, Some(group), GroupFile::Refcount)?)
            } else {
                None
            };
            use_inodes(&rmap, refcount.as_ref())
        }
    }
    let mut found = Vec::new();
    let visit = |mapping: &Mapping| {
        if found.len() == most {
            return Ok(ControlFlow::Break(()));
        }
        found.push(*mapping);
        Ok(ControlFlow::Continue(()))
    };
    let _ = if query.owners {
        fsmap::rt_device(store, query, &Trees(store), visit)?
    } else {
        let bitmap = |group| rt::open(store, group, GroupFile::Bitmap);
        fsmap::rt_device_free(store, query, bitmap, visit)?
    };
    Ok(found)
}

#[test]
fn the_map_of_the_realtime_device_has_no_holes_and_comes_in_pieces_too() {
    let asked = Cell::new(0);
    for_every_shape(|name, store| {
        let geo = store.geometry();
        if geo.rt_blocks == 0 {
            return;
        }
        let size = geo.rt_blocks * u64::from(geo.basic_blocks_per_block());
        let mut free = Vec::new();
        for owners in [true, false] {
            let wanted = if owners {
                GroupFile::Rmap
            } else {
                GroupFile::Bitmap
            };
            if !wanted.is_present(geo) || geo.rt_start != 0 {
                continue;
            }
            let mut query = Query {
                low: Key::LOWEST,
                high: Key::HIGHEST,
                owners,
                sharing: true,
            };
            asked.set(asked.get() + 1);
            let all = ask_rt(store, &query, usize::MAX).expect(name);
            let mut next = 0;
            for mapping in &all {
                assert!(mapping.start.0 <= next, "{name} {mapping:?}");
                next = next.max(mapping.start.0 + mapping.len);
            }
            assert_eq!(next, size, "{name} {owners}");
            let sum: u64 = all
                .iter()
                .filter(|m| m.holder == Holder::Free)
                .map(|m| m.len)
                .sum();
            free.push(sum);

            let mut pieces = Vec::new();
            loop {
                let piece = ask_rt(store, &query, 3).expect(name);
                let Some(last) = piece.last() else {
                    break;
                };
                query.low = behind(last);
                pieces.extend(piece);
                assert!(pieces.len() <= all.len(), "{name}");
            }
            assert_eq!(pieces, all, "{name} {owners}");
        }
        // Both know what is free, but for what is left behind the last realtime extent.
        if let [by_owner, by_bitmap] = free[..] {
            let extent = u64::from(geo.rt_extent_size * geo.basic_blocks_per_block());
            assert!(by_owner - by_bitmap < extent, "{name}");
        }
    });
    assert!(asked.get() >= 6, "too few shapes have a realtime device");
}
