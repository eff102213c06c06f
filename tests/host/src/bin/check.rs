// SPDX-License-Identifier: GPL-2.0

//! Checks a whole XFS on image files or devices, and prints a line for all that is wrong.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};
use xfs_host::{
    image::{Disk, Disks, FileDisk, ImageStore},
    libxfs::{check, error::Error},
};

const USAGE: &str = "\
usage: check [--log FILE] [--rt FILE] DATA

Checks the XFS on the file or device DATA, which nobody may be changing, and prints a line for
each thing that is wrong. Nothing is written. Ends with 0 if there is none, 1 if there are some,
2 if the check could not be done.";

/// Lines that are printed; a file system with more wrong is beyond help.
const MOST: usize = 1000;

fn disk(path: &Path) -> Result<Arc<dyn Disk>, String> {
    match FileDisk::open(path) {
        Ok(disk) => Ok(Arc::new(disk)),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Opens the image that the arguments name; `None` if they are not understood.
fn open() -> Option<Result<ImageStore, String>> {
    let (mut data, mut log, mut rt) = (None, None, None);
    let mut given = env::args_os().skip(1);
    while let Some(argument) = given.next() {
        match argument.to_str() {
            Some("--log") => log = Some(PathBuf::from(given.next()?)),
            Some("--rt") => rt = Some(PathBuf::from(given.next()?)),
            Some(option) if option.starts_with('-') => return None,
            _ if data.is_some() => return None,
            _ => data = Some(PathBuf::from(argument)),
        }
    }
    let data = data?;
    let open = || {
        let disks = Disks {
            data: disk(&data)?,
            log: log.as_deref().map(disk).transpose()?,
            rt: rt.as_deref().map(disk).transpose()?,
        };
        ImageStore::open(disks).map_err(|refused| format!("{}: {refused}", data.display()))
    };
    Some(open())
}

fn main() -> ExitCode {
    let store = match open() {
        Some(Ok(store)) => store,
        Some(Err(error)) => {
            eprintln!("check: {error}");
            return ExitCode::from(2);
        }
        None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut found = 0;
    let done = check::check(&store, &mut |finding| {
        println!("{finding}");
        found += 1;
        match found < MOST {
            true => Ok(()),
            false => Err(Error::Interrupted),
        }
    });
    match done {
        Ok(()) if found == 0 => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(1),
        Err(Error::Interrupted) if found == MOST => {
            println!("and more");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("check: {error:?}");
            ExitCode::from(2)
        }
    }
}
