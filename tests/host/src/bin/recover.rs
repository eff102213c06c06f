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
    image::{Disk, Disks, FileDisk},
    libxfs::{error::Error as XfsError, format::log::item::ItemKind, log::recover::Options},
    log_journal::{Behaviour, LogJournal, Volume},
};

const USAGE: &str = "\
usage: recover [--log FILE] [--rt FILE] [--quota] DATA

Replays the log of the XFS on the file or device DATA, says what it found, and does what is left:
carries out intents, and frees inodes without a name and extents staged for copy on write. The log
is clean then.";

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

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut volume = Volume::open(arguments.disks()?).map_err(|refused| refused.to_string())?;
    let options = Options {
        quota: arguments.quota,
    };
    let Some(replayed) = volume.replay(options).map_err(said)? else {
        println!("the log is clean");
        return Ok(());
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
    let journal = LogJournal::open(&volume, Some(&replayed), Behaviour::default()).map_err(said)?;
    let done = journal.finish(replayed).map_err(said)?;
    journal.unmount().map_err(said)?;
    println!(
        "{} intents carried out, {} inodes without a name and {} staged extents freed",
        done.intents, done.unlinked.freed, done.staged
    );
    if done.unlinked.forgotten != 0 {
        println!(
            "{} lists of inodes without a name were corrupt, and are forgotten",
            done.unlinked.forgotten
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("recover: {error}");
            ExitCode::FAILURE
        }
    }
}
