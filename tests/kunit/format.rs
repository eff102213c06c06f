// SPDX-License-Identifier: GPL-2.0

//! Checksums come out the same in the kernel as on the host.

use kernel::macros::kunit_tests;

#[kunit_tests(xfs_rust_format)]
mod tests {
    use crate::libxfs::format::crc::{
        block_crc_is_good,
        set_block_crc,
        update, //
    };

    #[test]
    fn the_sum_of_nine_digits_is_the_published_one() {
        assert_eq!(!update(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_block_whose_sum_was_set_is_good_until_a_bit_flips() {
        let mut block = [0x5au8; 512];
        set_block_crc(&mut block, 64);
        assert!(block_crc_is_good(&block, 64));
        block[300] ^= 1;
        assert!(!block_crc_is_good(&block, 64));
    }
}
