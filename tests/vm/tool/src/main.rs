// SPDX-License-Identifier: GPL-2.0
//! What the functional tests run inside the guest:
//!
//! - `populate DIR --seed S --scale N`: fills a mounted XFS through the driver at hand with every form
//!   of directory, attribute, fork, symlink and inode that it supports. N is in percent: 100 means a
//!   directory of 100,000 names and a file of 100,000 extents, 0 a few files of each form.
//! - `dump DIR`: writes down, in one canonical order, everything that the mounted file system tells
//!   about itself and each file, a failed call as its errno. Two drivers that behave alike on the same
//!   disk give the same text.
//! - `walk DIR`: touches everything as `dump` does, in any state of damage, and tells how many calls
//!   failed and with what. Only hanging or dying is failure.
//! - `apply FILE DEVICE`: writes the sectors of FILE, each behind its device's number, a byte, and its
//!   offset, eight bytes, to where they belong.
//! - `handles save DIR FILE` and `handles open DIR FILE`: the kernel's handles of some files, and where
//!   they lead in a later mount.
//! - `mount TYPE DEVICE DIR OPTIONS` and `try CALL PATH [WORD]`: one call, `ok` or its errno.

mod attempt;
mod compat;
mod dump;
mod handles;
mod layout;
mod populate;
mod sys;

use std::process::ExitCode;

fn usage() -> ExitCode {
    eprintln!(
        "usage: xfs-vm-tool populate DIR [--seed S] [--scale PERCENT]\n       xfs-vm-tool dump DIR\n       xfs-vm-tool walk DIR\n       xfs-vm-tool apply FILE DEVICE\n       xfs-vm-tool handles save|open DIR FILE\n       xfs-vm-tool mount TYPE DEVICE DIR OPTIONS\n       xfs-vm-tool try CALL PATH [WORD]"
    );
    ExitCode::from(2)
}

fn option(args: &[String], name: &str, otherwise: u64) -> Option<u64> {
    match args.iter().position(|arg| arg == name) {
        Some(at) => args.get(at + 1)?.parse().ok(),
        None => Some(otherwise),
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (Some(command), Some(dir)) = (args.first(), args.get(1)) else {
        return usage();
    };
    match command.as_str() {
        "populate" => {
            let (Some(seed), Some(scale)) =
                (option(&args, "--seed", 1), option(&args, "--scale", 2))
            else {
                return usage();
            };
            match populate::populate(dir.as_ref(), seed, scale) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("populate: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        "dump" => match dump::dump(dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("dump: {error}");
                ExitCode::FAILURE
            }
        },
        "walk" => {
            dump::walk(dir);
            ExitCode::SUCCESS
        }
        "apply" => {
            let Some(device) = args.get(2) else {
                return usage();
            };
            match attempt::apply(dir, device) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("apply: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        "handles" => {
            let [_, step, dir, file] = args.as_slice() else {
                return usage();
            };
            let done = match step.as_str() {
                "save" => handles::save(dir, file),
                "open" => handles::open(dir, file),
                _ => return usage(),
            };
            match done {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("handles: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        "mount" => {
            let [_, kind, device, dir, options] = args.as_slice() else {
                return usage();
            };
            tell(attempt::mount(kind, device, dir, options))
        }
        "try" => {
            let (Some(path), word) = (args.get(2), args.get(3)) else {
                return usage();
            };
            tell(attempt::attempt(dir, path, word.map_or("", |w| w)))
        }
        _ => usage(),
    }
}

/// Prints a call's outcome; its status says whether it was done.
fn tell(outcome: sys::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => {
            println!("ok");
            ExitCode::SUCCESS
        }
        Err(errno) => {
            println!("{errno}");
            ExitCode::FAILURE
        }
    }
}
