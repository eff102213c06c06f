// SPDX-License-Identifier: GPL-2.0
//! Structures of the kernel as text: a layout is a string of `name:width` words.
//!
//! A width is a number of bytes, 1, 2, 4 or 8 for a number and any other for bytes in hexadecimal; `s`
//! before it makes the number signed, `x` hexadecimal, `-` leaves the field out of the text, and `z`
//! shows it only where it is not zero. Offsets are the running sum: padding is named.

use std::fmt::Write;

/// A layout's size in bytes.
pub fn size(layout: &str) -> usize {
    words(layout).map(|(_, _, width)| width).sum()
}

fn words(layout: &str) -> impl Iterator<Item = (&str, char, usize)> {
    layout.split_whitespace().map(|word| {
        let (name, width) = word.split_once(':').expect("name:width");
        let kind = width.chars().next().filter(|c| !c.is_ascii_digit());
        let width = width.trim_start_matches(|c: char| !c.is_ascii_digit());
        (
            name,
            kind.unwrap_or('u'),
            width.parse().expect("a width is a number"),
        )
    })
}

/// The bytes as `name=value` words.
pub fn text(layout: &str, bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for (name, kind, width) in words(layout) {
        let field = &bytes[at..at + width];
        at += width;
        if kind == '-' || (kind == 'z' && field.iter().all(|b| *b == 0)) {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        let _ = write!(out, "{name}=");
        if !matches!(width, 1 | 2 | 4 | 8) {
            for byte in field {
                let _ = write!(out, "{byte:02x}");
            }
            continue;
        }
        let mut wide = [0u8; 8];
        wide[..width].copy_from_slice(field);
        let value = u64::from_le_bytes(wide);
        let shift = 64 - 8 * width as u32;
        let _ = match kind {
            's' => write!(out, "{}", ((value << shift) as i64) >> shift),
            'x' => write!(out, "{value:#x}"),
            _ => write!(out, "{value}"),
        };
    }
    out
}

/// A number of 4 bytes at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// A number of 8 bytes at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Puts a number of 4 bytes at `at`.
pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Puts a number of 8 bytes at `at`.
pub fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// A name in quotes, with all that is not plain ASCII as `\xNN`.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(*byte as char);
            }
            0x20..=0x7e => out.push(*byte as char),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

/// A short digest of bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_width_and_kind() {
        let bytes = [1, 0, 0, 0, 0xff, 0xff, 0xab, 0xcd, 0xef, 0, 0];
        let layout = "a:4 b:s2 c:3 pad:z2";
        assert_eq!(size(layout), bytes.len());
        assert_eq!(text(layout, &bytes), "a=1 b=-1 c=abcdef");
    }

    #[test]
    fn quoted_names_are_unambiguous() {
        assert_eq!(quote(b"a\"b\\\n\xff"), "\"a\\\"b\\\\\\x0a\\xff\"");
    }
}
