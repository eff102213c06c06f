// SPDX-License-Identifier: GPL-2.0

//! Recovers an XFS: replays its log, and does what that has left.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};
use xfs_host::{
    image::{Disk, Disks, FileDisk, ImageStore},
    libxfs::{
        ag::{read_agf, read_agi, refcount},
        error::Error as XfsError,
        format::{
            btree::{Domain, RefcountKey},
            log::item::ItemKind,
            units::{AgBlock, AgNumber, RtGroup, RtGroupBlock},
        },
        items::Work,
        log::recover::Options,
        rt::{self, GroupFile},
        space::Groups,
        store::{Device, Store},
    },
    log_journal::{Behaviour, LogJournal, Replayed, Volume},
};

const USAGE: &str = "\
usage: recover [--log FILE] [--rt FILE] [--quota] DATA

Replays the log of the XFS on the file or device DATA, says what it found, and does what is left:
carries out intents, and frees extents staged for copy on write. The log is clean then, and the
status 0. What cannot be done yet (inodes without a name, intents about files, attributes and the
realtime device) is listed; then nothing that is left is done, the log stays as it is, to be
replayed again by whoever can do the rest, and the status is 3.";

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
        let open = |path: &Path| -> Result<Arc<dyn Disk>, Box<dyn Error>> {
            let disk = FileDisk::open_rw(path).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(Arc::new(disk))
        };
        Ok(Disks {
            data: open(&self.data)?,
            log: self.log.as_deref().map(open).transpose()?,
            rt: self.rt.as_deref().map(open).transpose()?,
        })
    }
}

/// What libxfs reports.
fn said(error: XfsError) -> Box<dyn Error> {
    match error {
        XfsError::Corrupt(corruption) => corruption.to_string().into(),
        other => format!("{other:?}").into(),
    }
}

/// Whether work can be done.
fn can_be_done(work: &Work) -> bool {
    matches!(
        work,
        Work::ExtentFree(Device::Data, _)
            | Work::RmapUpdate(Device::Data, _)
            | Work::RefcountUpdate(Device::Data, _)
    )
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let mut volume = Volume::open(arguments.disks()?).map_err(|refused| refused.to_string())?;
    let options = Options {
        quota: arguments.quota,
    };
    let Some(replayed) = volume.replay(options).map_err(said)? else {
        println!("the log is clean");
        return Ok(ExitCode::SUCCESS);
    };
    println!(
        "{} transactions, {} blocks written",
        replayed.transactions, replayed.blocks
    );
    for intent in &replayed.intents {
        println!(
            "intent {} {:#x} of record {}:{}",
            intent.work.kind().map_or("", ItemKind::name),
            intent.id.0,
            intent.lsn.cycle(),
            intent.lsn.block()
        );
    }
    let store = ImageStore::with_geometry(volume.disks().clone(), volume.geometry().clone());
    let unlinked = unlinked(&store)?;
    let (staged, rt_staged) = staged(&store)?;
    let intents = replayed.intents.len();
    let left = format!(
        "{intents} intents, {unlinked} lists of unlinked inodes and {} staged extents",
        staged + rt_staged
    );
    let all = replayed.intents.iter().all(|left| can_be_done(&left.work));
    if unlinked != 0 || rt_staged != 0 || !all {
        println!("{left} are left");
        return Ok(ExitCode::from(3));
    }
    finish(&volume, replayed).map_err(said)?;
    println!("{left} were left, and are done");
    Ok(ExitCode::SUCCESS)
}

/// Does what replaying has left, and makes the log a clean one.
fn finish(volume: &Volume, replayed: Replayed) -> Result<(), XfsError> {
    let journal = LogJournal::open(volume, Some(&replayed), Behaviour::default())?;
    journal.finish(replayed, &mut Groups, |_| Err(XfsError::Unsupported))?;
    journal.unmount()
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

/// Extents that were staged for copy on write: of the data device, and of the realtime device.
fn staged(store: &ImageStore) -> Result<(usize, usize), Box<dyn Error>> {
    let geo = store.geometry();
    let (mut data, mut realtime) = (0, 0);
    if !geo.features.reflink() {
        return Ok((data, realtime));
    }
    for ag in (0..geo.ag_count).map(AgNumber) {
        let agf = read_agf(store, ag).map_err(said)?;
        let mut cursor = refcount(store, ag, &agf).map_err(said)?;
        let key = |start| RefcountKey {
            domain: Domain::Cow,
            start: AgBlock(start),
        };
        let mut records = cursor.range(key(0), key(u32::MAX));
        while records.next().map_err(said)?.is_some() {
            data += 1;
        }
    }
    for group in (0..geo.rt_group_count).map(RtGroup) {
        let file = rt::open(store, Some(group), GroupFile::Refcount).map_err(said)?;
        let mut cursor = rt::refcount(store, group, &file).map_err(said)?;
        let key = |start| RefcountKey {
            domain: Domain::Cow,
            start: RtGroupBlock(start),
        };
        let mut records = cursor.range(key(0), key(u32::MAX));
        while records.next().map_err(said)?.is_some() {
            realtime += 1;
        }
    }
    Ok((data, realtime))
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
