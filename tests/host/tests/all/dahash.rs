// SPDX-License-Identifier: GPL-2.0

//! The hash of names.

use xfs_host::libxfs::format::dahash::NameHash;

/// The definition, byte by byte: rotate by seven, mix in.
fn slow_hash(name: &[u8]) -> u32 {
    name.iter()
        .fold(0u32, |hash, &byte| hash.rotate_left(7) ^ u32::from(byte))
}

#[test]
fn dot_names_hash_as_every_directory_has_them() {
    assert_eq!(NameHash::of(b".").0, 0x2e);
    assert_eq!(NameHash::of(b"..").0, 0x172e);
    assert_eq!(NameHash::of(b"").0, 0);
}

#[test]
fn four_bytes_a_step_is_the_definition() {
    let bytes: Vec<u8> = (0..=255u32)
        .map(|i| (i.wrapping_mul(167) >> 1) as u8)
        .collect();
    for len in 0..=255 {
        for start in 0..(256 - len).min(9) {
            let name = &bytes[start..start + len];
            assert_eq!(NameHash::of(name).0, slow_hash(name), "{name:?}");
        }
    }
}
