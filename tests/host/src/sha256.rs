// SPDX-License-Identifier: GPL-2.0

//! SHA-256, to tell contents apart as `sha256sum` does. Source: FIPS 180-4.

/// The first 32 bits of the fractional parts of the square roots of the first eight primes.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
const ROUNDS: [u32; 64] = rounds();

/// Computes those: the cube root of a prime, times 2^32, by bisection.
const fn rounds() -> [u32; 64] {
    let mut all = [0; 64];
    let mut found = 0;
    let mut number = 2u128;
    while found < all.len() {
        let mut divisor = 2;
        while divisor * divisor <= number && number % divisor != 0 {
            divisor += 1;
        }
        if divisor * divisor > number {
            let wanted = number << 96;
            let (mut low, mut high) = (0u128, 1 << 36);
            while high - low > 1 {
                let middle = (low + high) / 2;
                if middle * middle * middle <= wanted {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            all[found] = low as u32;
            found += 1;
        }
        number += 1;
    }
    all
}

/// A digest that is being computed.
pub struct Sha256 {
    state: [u32; 8],
    block: [u8; 64],
    len: u64,
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self {
            state: START,
            block: [0; 64],
            len: 0,
        }
    }

    /// Takes in more bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = (self.len % 64) as usize;
            let taken = bytes.len().min(64 - used);
            let (part, rest) = bytes.split_at(taken);
            self.block[used..used + taken].copy_from_slice(part);
            self.len += taken as u64;
            bytes = rest;
            if self.len % 64 == 0 {
                self.compress();
            }
        }
    }

    fn compress(&mut self) {
        let mut words = [0u32; 64];
        for (word, bytes) in words.iter_mut().zip(self.block.chunks_exact(4)) {
            *word = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        }
        for n in 16..64 {
            let (a, b) = (words[n - 15], words[n - 2]);
            let a = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
            let b = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
            words[n] = words[n - 16]
                .wrapping_add(a)
                .wrapping_add(words[n - 7])
                .wrapping_add(b);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = self.state;
        for (word, round) in words.into_iter().zip(ROUNDS) {
            let sum = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = (e & f) ^ (!e & g);
            let one = h
                .wrapping_add(sum)
                .wrapping_add(choice)
                .wrapping_add(round)
                .wrapping_add(word);
            let sum = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let most = (a & b) ^ (a & c) ^ (b & c);
            let two = sum.wrapping_add(most);
            (h, g, f, e) = (g, f, e, d.wrapping_add(one));
            (d, c, b, a) = (c, b, a, one.wrapping_add(two));
        }
        for (state, add) in self.state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *state = state.wrapping_add(add);
        }
    }

    /// The digest in hexadecimal digits.
    pub fn finish(mut self) -> String {
        let bits = self.len * 8;
        self.update(&[0x80]);
        while self.len % 64 != 56 {
            self.update(&[0]);
        }
        self.update(&bits.to_be_bytes());
        let [a, b, c, d, e, f, g, h] = self.state;
        format!("{a:08x}{b:08x}{c:08x}{d:08x}{e:08x}{f:08x}{g:08x}{h:08x}")
    }
}

#[cfg(test)]
mod tests {
    use super::Sha256;

    fn digest(bytes: &[u8], piece: usize) -> String {
        let mut sum = Sha256::new();
        bytes.chunks(piece).for_each(|piece| sum.update(piece));
        sum.finish()
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        let million = vec![b'a'; 1_000_000];
        for (bytes, wanted) in [
            (
                &b""[..],
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (
                &million,
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            ),
        ] {
            for piece in [1, 63, 64, 1000] {
                assert_eq!(digest(bytes, piece), wanted);
            }
        }
    }
}
