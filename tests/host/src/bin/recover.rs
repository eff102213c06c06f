// SPDX-License-Identifier: GPL-2.0

//! Replays the log of an XFS, as far as that takes no transactions.

use std::{
    env,
    error::Error,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};
use xfs_host::{
    image::{Disk, Disks, FileDisk, ImageStore},
    libxfs::{
        ag::{read_agf, read_agi, refcount, sum_counters},
        format::{
            btree::{Domain, RefcountKey},
            crc,
            geometry::Geometry,
            log::item::ItemKind,
            sb::{DiskSuperblock, CRC_OFFSET},
            units::{AgBlock, AgNumber},
        },
        log::{
            recover::{recover, Options, Recovered},
            stale,
            writer::Writer,
        },
        store::Store,
    },
    log::{FileLog, ImageReplay},
};
use zerocopy::FromBytes;

const USAGE: &str = "\
usage: recover [--log FILE] [--rt FILE] [--quota] DATA

Replays the log of the XFS on the file or device DATA and says what it found. Where nothing is left
to do, the log is clean then, and the status 0; where something is that takes transactions (intents
without an answer, unlinked inodes, extents staged for copy on write), that is listed, the log stays
as it is, to be replayed again by whoever can do the rest, and the status is 3.";

/// What was asked for.
#[derive(Default)]
struct Arguments {
    data: PathBuf,
    log: Option<PathBuf>,
    rt: Option<PathBuf>,
    quota: bool,
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
                Some("--quota") => parsed.quota = true,
                Some(option) if option.starts_with('-') => return None,
                _ => data = Some(argument.into()),
            }
        }
        parsed.data = data?;
        Some(parsed)
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
}

fn open(path: &Path) -> Result<File, Box<dyn Error>> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.map_err(|e| format!("{}: {e}", path.display()).into())
}

/// What libxfs reports.
fn said(error: xfs_host::libxfs::error::Error) -> Box<dyn Error> {
    match error {
        xfs_host::libxfs::error::Error::Corrupt(corruption) => corruption.to_string().into(),
        other => format!("{other:?}").into(),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let disks = arguments.disks()?;
    let store = ImageStore::open(disks.clone()).map_err(|refused| refused.to_string())?;
    let geo = store.geometry();
    let file = open(&arguments.data)?;
    let log = FileLog(open(arguments.log.as_ref().unwrap_or(&arguments.data))?);
    let disk = FileDisk::open_rw(&arguments.data)?;
    let mut blocks = ImageReplay::new(disks.data.clone(), Some(&disk));
    let options = Options {
        quota: arguments.quota,
    };
    let Some(recovered) = recover(&log, &mut blocks, geo, options).map_err(said)? else {
        println!("the log is clean");
        return Ok(ExitCode::SUCCESS);
    };
    println!(
        "{} transactions, {} blocks written",
        recovered.transactions, blocks.written
    );
    for intent in &recovered.intents {
        println!(
            "intent {} {:#x} of record {}:{}",
            intent.work.kind().map_or("", ItemKind::name),
            intent.id.0,
            intent.lsn.cycle(),
            intent.lsn.block()
        );
    }
    let geo = &recovered.geometry;
    let store = ImageStore::with_geometry(disks, geo.clone());
    let unlinked = unlinked(&store)?;
    let staged = staged(&store)?;
    println!(
        "{} intents, {unlinked} lists of unlinked inodes and {staged} staged extents are left",
        recovered.intents.len()
    );
    if !recovered.intents.is_empty() || unlinked != 0 || staged != 0 {
        return Ok(ExitCode::from(3));
    }
    count(&store, &file)?;
    end(&log, geo, &recovered).map_err(said)?;
    Ok(ExitCode::SUCCESS)
}

/// Lists of unlinked inodes that are not empty.
fn unlinked(store: &ImageStore) -> Result<usize, Box<dyn Error>> {
    let mut lists = 0;
    for ag in 0..store.geometry().ag_count {
        let agi = read_agi(store, AgNumber(ag)).map_err(said)?;
        lists += agi
            .unlinked
            .iter()
            .filter(|list| list.get() != u32::MAX)
            .count();
    }
    Ok(lists)
}

/// Extents of the data device that were staged for copy on write.
fn staged(store: &ImageStore) -> Result<usize, Box<dyn Error>> {
    let mut extents = 0;
    if !store.geometry().features.reflink() {
        return Ok(extents);
    }
    for ag in (0..store.geometry().ag_count).map(AgNumber) {
        let agf = read_agf(store, ag).map_err(said)?;
        let mut cursor = refcount(store, ag, &agf).map_err(said)?;
        let key = |start| RefcountKey {
            domain: Domain::Cow,
            start: AgBlock(start),
        };
        let mut records = cursor.range(key(0), key(u32::MAX));
        while records.next().map_err(said)?.is_some() {
            extents += 1;
        }
    }
    Ok(extents)
}

/// Sets the superblock's counters to what the groups say: they are not logged.
fn count(store: &ImageStore, file: &File) -> Result<(), Box<dyn Error>> {
    let counters = sum_counters(store).map_err(said)?;
    let mut sector = vec![0; store.geometry().sector_size as usize];
    file.read_exact_at(&mut sector, 0)?;
    let (superblock, _) =
        DiskSuperblock::mut_from_prefix(&mut sector).map_err(|_| "no superblock")?;
    superblock.icount = counters.inodes.into();
    superblock.ifree = counters.free_inodes.into();
    superblock.fdblocks = counters.free_blocks.into();
    crc::set_block_crc(&mut sector, CRC_OFFSET);
    file.write_all_at(&sector, 0)?;
    Ok(file.sync_data()?)
}

/// Makes the log a clean one.
fn end(log: &FileLog, geo: &Geometry, recovered: &Recovered) -> xfs_host::libxfs::error::Result {
    stale::clear(log, geo, &recovered.head)?;
    let mut writer = Writer::new(log, geo, &recovered.head, 32 << 10)?;
    writer.unmount()
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    run(&arguments).unwrap_or_else(|error| {
        eprintln!("recover: {error}");
        ExitCode::FAILURE
    })
}
