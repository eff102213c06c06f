// SPDX-License-Identifier: GPL-2.0

//! Changes one metadata field of an XFS, hostilely and with its checksum set right, and back.

use std::{
    env,
    error::Error,
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};
use xfs_host::{
    image::{Disk, Disks, FileDisk, ImageStore},
    libxfs::store::Device,
    mutation::{Catalogue, Mutable, Seeded},
    walk::walk,
};

const USAGE: &str = "\
usage: mutate [--log FILE] [--rt FILE] --seed N --undo FILE DATA
       mutate [--log FILE] [--rt FILE] --restore FILE DATA

Changes one metadata field of the clean XFS on the file or device DATA to a hostile value, which
and how being chosen by the number N, sets its checksum right, and prints what was changed. The
bytes that were there go to the file after --undo, from which --restore puts them back.";

#[derive(Default)]
struct Arguments {
    data: PathBuf,
    log: Option<PathBuf>,
    rt: Option<PathBuf>,
    seed: Option<u64>,
    undo: Option<PathBuf>,
    restore: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Option<Self> {
        let mut parsed = Self::default();
        let mut data = None;
        let mut given = env::args_os().skip(1);
        while let Some(argument) = given.next() {
            match argument.to_str() {
                Some("--log") => parsed.log = Some(given.next()?.into()),
                Some("--rt") => parsed.rt = Some(given.next()?.into()),
                Some("--seed") => parsed.seed = Some(given.next()?.to_str()?.parse().ok()?),
                Some("--undo") => parsed.undo = Some(given.next()?.into()),
                Some("--restore") => parsed.restore = Some(given.next()?.into()),
                Some(option) if option.starts_with('-') => return None,
                _ => data = Some(argument.into()),
            }
        }
        parsed.data = data?;
        let mutates = parsed.seed.is_some() && parsed.undo.is_some();
        (mutates != parsed.restore.is_some()).then_some(parsed)
    }

    fn path(&self, device: Device) -> Option<&PathBuf> {
        match device {
            Device::Data => Some(&self.data),
            Device::Log => self.log.as_ref(),
            Device::Realtime => self.rt.as_ref(),
        }
    }

    fn disks(&self) -> Result<Disks, Box<dyn Error>> {
        let open = |path: &PathBuf| -> Result<Arc<dyn Disk>, Box<dyn Error>> {
            let disk = FileDisk::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(Arc::new(disk))
        };
        Ok(Disks {
            data: open(&self.data)?,
            log: self.log.as_ref().map(open).transpose()?,
            rt: self.rt.as_ref().map(open).transpose()?,
        })
    }

    /// Writes bytes to a device.
    fn write(&self, device: Device, offset: u64, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        let path = self
            .path(device)
            .ok_or("a device of the change is not given")?;
        let file = OpenOptions::new().write(true).open(path)?;
        file.write_all_at(bytes, offset)?;
        Ok(file.sync_data()?)
    }
}

const DEVICES: [Device; 3] = [Device::Data, Device::Log, Device::Realtime];
/// Bytes of a sector in an undo file, behind its device (1 byte) and its offset (8 bytes).
const SECTOR: usize = 512;

fn mutate(arguments: &Arguments, seed: u64, undo: &PathBuf) -> Result<(), Box<dyn Error>> {
    let disks = arguments.disks()?;
    let store = ImageStore::open(disks.clone()).map_err(|refused| refused.to_string())?;
    let catalogue = Catalogue::of_walk(&store, walk)?;
    let mut changed = Mutable::new(&disks);
    let mutation = catalogue
        .mutate(&mut Seeded(seed), &mut changed)?
        .ok_or("no metadata was found")?;
    let mut undo = File::create(undo)?;
    for (index, device) in DEVICES.into_iter().enumerate() {
        let Some(overlay) = changed.changes(device) else {
            continue;
        };
        for (offset, _) in overlay.changes() {
            let mut old = [0; SECTOR];
            let disk = disks.get(device).ok_or("a device has gone")?;
            disk.read_at(offset, &mut old)?;
            undo.write_all(&[index as u8])?;
            undo.write_all(&offset.to_be_bytes())?;
            undo.write_all(&old)?;
        }
    }
    undo.sync_data()?;
    for device in DEVICES {
        let changes = changed
            .changes(device)
            .into_iter()
            .flat_map(|o| o.changes());
        for (offset, bytes) in changes {
            arguments.write(device, offset, bytes)?;
        }
    }
    println!("{seed}: {mutation}");
    Ok(())
}

fn restore(arguments: &Arguments, undo: &PathBuf) -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    File::open(undo)?.read_to_end(&mut bytes)?;
    for change in bytes.chunks_exact(1 + 8 + SECTOR) {
        let device = DEVICES
            .get(usize::from(change[0]))
            .ok_or("not an undo file")?;
        let offset = u64::from_be_bytes(change[1..9].try_into()?);
        arguments.write(*device, offset, &change[9..])?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let done = match (arguments.seed, &arguments.undo, &arguments.restore) {
        (Some(seed), Some(undo), _) => mutate(&arguments, seed, undo),
        (_, _, Some(undo)) => restore(&arguments, undo),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mutate: {error}");
            ExitCode::FAILURE
        }
    }
}
