// SPDX-License-Identifier: GPL-2.0
//! A folder: its names in the order of readdir, with the offsets that a later seek returns to.

use super::Out;
use crate::layout::{quote, u64_at};
use crate::sys::{self, c, getdents, lseek};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// One entry as getdents64 gives it.
struct Entry {
    ino: u64,
    next: u64,
    kind: u8,
    name: Vec<u8>,
}

fn parse(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while bytes.len() >= 19 {
        let len = usize::from(u16::from_le_bytes([bytes[16], bytes[17]]));
        if !(19..=bytes.len()).contains(&len) {
            break;
        }
        let name = bytes[19..len].split(|b| *b == 0).next().unwrap_or(&[]);
        entries.push(Entry {
            ino: u64_at(bytes, 0),
            next: u64_at(bytes, 8),
            kind: bytes[18],
            name: name.to_vec(),
        });
        bytes = &bytes[len..];
    }
    entries
}

fn row(entry: &Entry) -> String {
    format!(
        "{} {} type={} next={}",
        quote(&entry.name),
        entry.ino,
        entry.kind,
        entry.next
    )
}

/// All entries from the present position on, and the errno that ended them.
fn read_all(fd: RawFd, room: usize) -> (Vec<Entry>, Option<sys::Errno>) {
    let mut buf = vec![0u8; room];
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        match getdents(fd, &mut buf) {
            Ok(0) => return (entries, None),
            Ok(n) => entries.extend(parse(&buf[..n])),
            Err(errno) => return (entries, Some(errno)),
        }
        if entries.len() > 1_000_000 {
            return (entries, Some(sys::Errno(libc::ELOOP)));
        }
    }
}

/// Writes the folder down; gives its names, less the two dots, in byte order.
pub fn dump(out: &mut Out, fd: &OwnedFd) -> Vec<Vec<u8>> {
    let raw = fd.as_raw_fd();
    let (entries, failed) = read_all(raw, 32768);
    let rows: Vec<String> = entries.iter().map(row).collect();
    out.list("readdir", &rows, 5000);
    if let Some(errno) = failed {
        out.fail("readdir", errno);
    }
    let again = lseek(raw, 0, libc::SEEK_SET).map(|_| {
        let (entries, failed) = read_all(raw, 400);
        let rows: Vec<String> = entries.iter().map(row).collect();
        (rows, failed)
    });
    match again {
        Ok((again, None)) if again == rows => out.line("readdir in small parts is the same"),
        Ok((again, failed)) => {
            out.list("readdir in small parts", &again, 100);
            if let Some(errno) = failed {
                out.fail("readdir in small parts", errno);
            }
        }
        Err(errno) => out.fail("rewinddir", errno),
    }

    let step = (entries.len() / 12).max(1);
    for entry in entries.iter().rev().step_by(step) {
        let title = format!("from {}", entry.next);
        let mut buf = [0u8; 320];
        let outcome = lseek(raw, entry.next, libc::SEEK_SET).and_then(|_| getdents(raw, &mut buf));
        out.call(&title, outcome, |n| match parse(&buf[..*n]).first() {
            Some(first) => row(first),
            None => "end".into(),
        });
    }
    absent(out, raw, &entries);

    let mut names: Vec<Vec<u8>> = entries
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name != b"." && name != b".." && !name.is_empty())
        .collect();
    names.sort();
    names
}

/// Names that are not there: looked up twice, so that a remembered miss shows too.
fn absent(out: &mut Out, raw: RawFd, entries: &[Entry]) {
    let mut names = vec![b"absent".to_vec(), vec![b'n'; 255], vec![b'n'; 256]];
    if let Some(entry) = entries.iter().find(|entry| entry.name.len() > 2) {
        let mut name = entry.name.clone();
        name[0] ^= 1;
        name.push(b'~');
        names.push(name.clone());
        // Another name of the same hash value.
        let mut twin = entry.name.clone();
        twin[0] ^= 1;
        twin[1] ^= 0x80;
        names.push(twin);
    }
    for name in names
        .iter()
        .filter(|name| !name.contains(&b'/') && !name.contains(&0))
    {
        for _ in 0..2 {
            let found = sys::statx(raw, &c(name), 1);
            let title = format!("lookup {}", quote(name));
            out.call(&title, found, |_| "found".into());
        }
    }
}
