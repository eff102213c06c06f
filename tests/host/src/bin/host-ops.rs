// SPDX-License-Identifier: GPL-2.0

//! The workbench on the host: random operations on an image, through libxfs and a real log.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};
use xfs_host::{
    image::{Disk, Disks, FileDisk},
    libxfs::{error::Error as XfsError, log::recover::Options},
    listing::list,
    log_journal::{Behaviour, LogJournal, Volume},
    power::{CachedDisk, Power},
    random::Random,
    workload::{Op, Workload},
};

const USAGE: &str = "\
usage: host-ops --image FILE --seed S --ops N [--log FILE] [--rt FILE] [--only OP,...]
                [--list OUT] [--cut K] [--spare-c]

Opens the XFS on FILE, recovers its log if there is anything in it, runs N random operations, and
unmounts; then names, contents and attributes are compared with what they should be. The same seed
does the same again. --only takes some kinds of operation out of:
  create mkdir link symlink unlink rmdir rename tmpfile setattr
  write truncate punch zero prealloc collapse insert unshare
  clone dedupe exchange setxattr removexattr

--list writes a line for each path below the root, in byte order, with seven fields between |: path,
letter of the type, inode number, links, mode in octal, size (empty for a directory), SHA-256 of a
file's content or of a link's target (empty for others). --cut stops after the K-th write as a power
cut would: of what was not flushed some writes are lost, and none is torn, as the C driver recovers
no block that is. The log is dirty then, and nothing is listed. --spare-c leaves out exchanges that
change the sizes of files, as the C driver's recovery of these frees what lies past the old size.";

/// What was asked for.
struct Arguments {
    image: PathBuf,
    log: Option<PathBuf>,
    rt: Option<PathBuf>,
    seed: u64,
    ops: u64,
    only: Vec<Op>,
    list: Option<PathBuf>,
    cut: Option<u64>,
    spare_c: bool,
}

impl Arguments {
    fn parse() -> Option<Self> {
        let (mut image, mut seed, mut ops) = (None, None, None);
        let (mut log, mut rt, mut list, mut cut) = (None, None, None, None);
        let mut spare_c = false;
        let mut only = Op::ALL.to_vec();
        let mut given = env::args_os().skip(1);
        while let Some(option) = given.next() {
            if option == "--spare-c" {
                spare_c = true;
                continue;
            }
            let value = given.next()?;
            let number = || value.to_str()?.parse::<u64>().ok();
            match option.to_str()? {
                "--image" => image = Some(PathBuf::from(value)),
                "--log" => log = Some(PathBuf::from(value)),
                "--rt" => rt = Some(PathBuf::from(value)),
                "--list" => list = Some(PathBuf::from(value)),
                "--seed" => seed = Some(number()?),
                "--ops" => ops = Some(number()?),
                "--cut" => cut = Some(number()?),
                "--only" => {
                    only = value
                        .to_str()?
                        .split(',')
                        .map(Op::named)
                        .collect::<Option<_>>()?
                }
                _ => return None,
            }
        }
        Some(Self {
            image: image?,
            log,
            rt,
            seed: seed?,
            ops: ops?,
            only,
            list,
            cut,
            spare_c,
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

/// The disks, each with a cache.
fn disks(arguments: &Arguments, power: &Power) -> Result<(Disks, Vec<Arc<CachedDisk>>), String> {
    let mut all = Vec::new();
    let mut open = |path: &Path| -> Result<Arc<dyn Disk>, String> {
        let disk = FileDisk::open_rw(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let disk = Arc::new(CachedDisk::new(Arc::new(disk), power));
        all.push(disk.clone());
        Ok(disk)
    };
    let disks = Disks {
        data: open(&arguments.image)?,
        log: arguments.log.as_deref().map(&mut open).transpose()?,
        rt: arguments.rt.as_deref().map(&mut open).transpose()?,
    };
    Ok((disks, all))
}

fn work(arguments: &Arguments, disks: &Disks) -> Result<(), Box<dyn Error>> {
    let mut volume = Volume::open(disks.clone()).map_err(|refused| refused.to_string())?;
    let replayed = volume.replay(Options::default()).map_err(said)?;
    let mut random = Random::new(arguments.seed);
    let behaviour = Behaviour {
        batch: 1 + random.below(16),
        write_back: 1 + random.below(8),
        seed: arguments.seed,
    };
    let journal = LogJournal::open(&volume, replayed.as_ref(), behaviour).map_err(said)?;
    if let Some(replayed) = replayed {
        let (transactions, blocks) = (replayed.transactions, replayed.blocks);
        let done = journal.finish(replayed).map_err(said)?;
        println!(
            "recovered: {transactions} transactions, {blocks} blocks, {} intents, {} inodes without \
             a name, {} staged extents",
            done.intents, done.unlinked.freed, done.staged
        );
    }
    let mut workload = Workload::new(&journal, arguments.seed, &arguments.only).map_err(said)?;
    if arguments.spare_c {
        workload.spare_c();
    }
    for number in 0..arguments.ops {
        if let Err(error) = workload.step() {
            return Err(format!("operation {number}: {}", said(error)).into());
        }
    }
    workload.close().map_err(said)?;
    for (op, outcome) in workload.outcomes() {
        println!(
            "{}: {} done, {} refused, {} without space",
            op.name(),
            outcome.done,
            outcome.refused,
            outcome.no_space
        );
    }
    let wrong = workload.compare().map_err(said)?;
    if !wrong.is_empty() {
        return Err(wrong.join("\n").into());
    }
    journal.unmount().map_err(said)?;
    if let Some(out) = &arguments.list {
        let mut text = Vec::new();
        for line in list(&journal, disks).map_err(said)? {
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        fs::write(out, text).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    Ok(())
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let power = Power::new();
    if let Some(cut) = arguments.cut {
        power.cut_after(cut);
    }
    let (disks, all) = disks(arguments, &power)?;
    let done = work(arguments, &disks);
    if power.is_off() {
        println!("the power was cut after {} writes", power.writes());
        let mut random = Random::new(arguments.seed ^ power.writes().rotate_left(32));
        for disk in all {
            disk.settle_untorn(&mut random)?;
        }
        return Ok(());
    }
    println!("{} writes", power.writes());
    done
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("host-ops: {error}");
            ExitCode::FAILURE
        }
    }
}
