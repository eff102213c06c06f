// SPDX-License-Identifier: GPL-2.0

//! Images that the real `mkfs.xfs` makes and fills, one of each shape, kept in the target folder.
//!
//! Needs xfsprogs 7.2 on the path; `scripts/in-builder cargo test` has it.

pub mod names;
pub mod space;
pub mod synthetic;
pub mod tree;

use crate::image::{Disk, Disks, FileDisk, Overlay};
use std::{
    collections::HashMap,
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc, Mutex,
    },
};
use tree::{Size, Space};

/// Bytes of each device; the files are sparse.
const DATA_SIZE: u64 = 768 << 20;
const LOG_SIZE: u64 = 64 << 20;
const RT_SIZE: u64 = 512 << 20;

/// The uuid of every image.
const UUID: &str = "6f1a4a5e-3a1c-4c56-9d5b-1f0c7b2e8d31";

/// How `mkfs.xfs` is called.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Name, fit for a file's.
    pub name: &'static str,
    /// Arguments, but for devices and population.
    pub args: &'static [&'static str],
    /// Whether the log has a device of its own.
    pub log: bool,
    /// Whether there is a realtime device.
    pub rt: bool,
    /// What files are put in.
    pub filled: Option<Size>,
}

const fn shape(name: &'static str, args: &'static [&'static str]) -> Shape {
    Shape {
        name,
        args,
        log: false,
        rt: false,
        filled: Some(Size::Full),
    }
}

const fn rt(name: &'static str, args: &'static [&'static str]) -> Shape {
    Shape {
        rt: true,
        ..shape(name, args)
    }
}

/// Every shape that the tests cover.
pub const SHAPES: &[Shape] = &[
    shape("default", &[]),
    shape("block-1k", &["-b", "size=1024"]),
    shape("block-16k", &["-b", "size=16384"]),
    shape("block-64k", &["-b", "size=65536"]),
    shape("sector-4k", &["-s", "size=4096"]),
    shape("sector-32k", &["-b", "size=32768", "-s", "size=32768"]),
    shape("inode-1024", &["-i", "size=1024"]),
    shape("inode-2048", &["-i", "size=2048"]),
    shape("dir-64k", &["-n", "size=65536"]),
    shape("block-1k-dir-64k", &["-b", "size=1024", "-n", "size=65536"]),
    shape("no-rmapbt", &["-m", "rmapbt=0"]),
    shape("no-reflink", &["-m", "reflink=0"]),
    shape("no-finobt", &["-m", "finobt=0"]),
    shape("no-inobtcount", &["-m", "inobtcount=0"]),
    shape("no-bigtime", &["-m", "bigtime=0"]),
    shape("no-nrext64", &["-i", "nrext64=0"]),
    shape("no-parent", &["-n", "parent=0"]),
    shape("bare", BARE),
    shape("many-groups", &["-d", "agcount=8"]),
    shape("stripes", &["-d", "su=64k,sw=4", "-l", "su=32k"]),
    shape("metadir", &["-m", "metadir=1"]),
    shape("quota", &["-m", "metadir=1,uquota,gquota,pquota"]),
    Shape {
        log: true,
        ..shape("external-log", &[])
    },
    rt("rt", &["-m", "metadir=0"]),
    rt(
        "rt-extent-64k",
        &["-m", "metadir=0,reflink=0", "-r", "extsize=64k"],
    ),
    rt("rt-groups", &["-m", "metadir=1", "-r", "rgcount=4"]),
    rt(
        "rt-groups-1k",
        &["-b", "size=1024", "-m", "metadir=1", "-r", "rgcount=4"],
    ),
    rt(
        "rt-groups-extent-16k",
        &["-m", "metadir=1,reflink=0", "-r", "extsize=16k"],
    ),
    Shape {
        // mkfs.xfs fills no realtime files, and in a zoned file system all are.
        filled: None,
        ..rt("zoned", &["-m", "metadir=1", "-r", "zoned=1,rgsize=64m"])
    },
    Shape {
        filled: None,
        ..shape("empty", &[])
    },
];

/// A shape that is refused: directories are hashed with the case folded.
pub static ASCII_CI: Shape = Shape {
    filled: None,
    ..shape("ascii-ci", &["-n", "version=ci"])
};

/// With every feature off that can be.
const BARE: &[&str] = &[
    "-m",
    "finobt=0,rmapbt=0,reflink=0,inobtcount=0,bigtime=0",
    "-i",
    "nrext64=0,sparse=0,exchange=0",
    "-n",
    "parent=0",
];

/// The shape of that name.
pub fn named(name: &str) -> &'static Shape {
    SHAPES
        .iter()
        .find(|shape| shape.name == name)
        .expect("a shape of that name")
}

/// An image of a shape. It is shared by all tests: open it for reading alone.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it is.
    pub shape: &'static Shape,
    /// The data device.
    pub data: PathBuf,
    /// The log's own device.
    pub log: Option<PathBuf>,
    /// The realtime device.
    pub rt: Option<PathBuf>,
    /// How much is in it.
    pub size: Option<Size>,
    /// The folder that it was filled from.
    pub tree: Option<PathBuf>,
}

impl Image {
    /// The image of a shape, made if this is the first time.
    pub fn of(shape: &'static Shape) -> Self {
        Self::filled(shape, shape.filled)
    }

    /// The image of a shape with few files, or none if the shape wants none.
    pub fn small(shape: &'static Shape) -> Self {
        Self::filled(shape, shape.filled.and(Some(Size::Small)))
    }

    /// The image of a shape with nothing in it.
    pub fn empty(shape: &'static Shape) -> Self {
        Self::filled(shape, None)
    }

    fn filled(shape: &'static Shape, size: Option<Size>) -> Self {
        let store = fixtures();
        // One at a time: threads of one test run ask for the same ones.
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(|e| e.into_inner());
        let tree = size.map(|size| {
            let name = format!("tree-{}-{}", size.name(), tree::VERSION);
            kept(&store.join(name), |new| {
                fs::create_dir(new)?;
                tree::make(new, size)
            })
        });
        let content = size.map_or("empty", Size::name);
        let key = format!("{}-{content}-{:016x}", shape.name, fingerprint(shape));
        let at = |dir: &Path| Self {
            shape,
            size,
            data: dir.join("data"),
            log: shape.log.then(|| dir.join("log")),
            rt: shape.rt.then(|| dir.join("rt")),
            tree: tree.clone(),
        };
        at(&kept(&store.join(key), |new| {
            fs::create_dir(new)?;
            at(new).make()
        }))
    }

    fn make(&self) -> io::Result<()> {
        let mut mkfs = Command::new("mkfs.xfs");
        mkfs.arg("-q").args(self.shape.args);
        // The same each time, so that what was found in an image is found again.
        mkfs.arg("-m").arg(format!("uuid={UUID}"));
        File::create(&self.data)?.set_len(DATA_SIZE)?;
        if let Some(log) = &self.log {
            File::create(log)?.set_len(LOG_SIZE)?;
            mkfs.arg("-l").arg(option("logdev", log));
        }
        if let Some(rt) = &self.rt {
            File::create(rt)?.set_len(RT_SIZE)?;
            mkfs.arg("-r").arg(option("rtdev", rt));
        }
        if let Some(tree) = &self.tree {
            mkfs.arg("-p").arg(tree);
        }
        run(mkfs.arg(&self.data));
        if let Some(size) = self.size {
            self.set_attrs(size);
        }
        let mut repair = Command::new("xfs_repair");
        repair.arg("-n");
        if let Some(log) = &self.log {
            repair.arg("-l").arg(log);
        }
        if let Some(rt) = &self.rt {
            repair.arg("-r").arg(rt);
        }
        run(repair.arg("-f").arg(&self.data));
        Ok(())
    }

    /// That `xfs_repair -n` finds nothing in the image with those changes in its data.
    pub fn check_changed(&self, data: &Overlay) {
        self.check_all(data, None, None);
    }

    /// That `xfs_repair -n` finds nothing in the image with those changes of its devices.
    pub fn check_all(&self, data: &Overlay, log: Option<&Overlay>, rt: Option<&Overlay>) {
        let data = Copied::of(&self.data, data);
        let copied = |path: &Option<PathBuf>, changes: Option<&Overlay>| {
            Some(Copied::of(path.as_ref()?, changes?))
        };
        let (log, rt) = (copied(&self.log, log), copied(&self.rt, rt));
        let mut repair = Command::new("xfs_repair");
        repair.args(["-n", "-f"]);
        if let Some(path) = &self.log {
            repair
                .arg("-l")
                .arg(log.as_ref().map_or(path, |log| &log.0));
        }
        if let Some(path) = &self.rt {
            repair.arg("-r").arg(rt.as_ref().map_or(path, |rt| &rt.0));
        }
        run(repair.arg(&data.0));
    }

    fn set_attrs(&self, size: Size) {
        let mut at = "";
        let mut commands = Vec::new();
        for attr in tree::attrs(size) {
            if attr.path != at {
                at = attr.path;
                commands.push(format!("path /{at}"));
            }
            let space = match attr.space {
                Space::User => "-u",
                Space::Root => "-r",
                Space::Secure => "-s",
            };
            commands.push(format!("attr_set {space} -v {} {}", attr.len, attr.name));
        }
        self.xfs_db("-x", &self.data, &commands);
    }

    /// What `xfs_db` prints for some commands.
    pub fn db<S: AsRef<str>>(&self, commands: &[S]) -> String {
        self.xfs_db("-r", &self.data, commands)
    }

    /// The fields that `xfs_db` prints after some commands, as numbers; `null` is all ones.
    ///
    /// What is not one number is left out.
    pub fn fields<S: AsRef<str>>(&self, commands: &[S]) -> HashMap<String, u64> {
        fields_in(&self.db(commands))
    }

    /// As [`fields`](Self::fields), in the image with those changes in its data.
    pub fn fields_changed<S: AsRef<str>>(
        &self,
        data: &Overlay,
        commands: &[S],
    ) -> HashMap<String, u64> {
        let data = Copied::of(&self.data, data);
        fields_in(&self.xfs_db("-r", &data.0, commands))
    }

    fn xfs_db<S: AsRef<str>>(&self, access: &str, data: &Path, commands: &[S]) -> String {
        let mut db = Command::new("xfs_db");
        db.arg(access).arg("-f");
        if let Some(log) = &self.log {
            db.arg("-l").arg(log);
        }
        if let Some(rt) = &self.rt {
            db.arg("-R").arg(rt);
        }
        for command in commands {
            db.arg("-c").arg(command.as_ref());
        }
        run(db.arg(data))
    }

    /// The image's files as disks.
    pub fn disks(&self) -> Disks {
        let open = |path: &PathBuf| -> Arc<dyn Disk> {
            Arc::new(FileDisk::open(path).expect("the image was just made"))
        };
        Disks {
            data: open(&self.data),
            log: self.log.as_ref().map(open),
            rt: self.rt.as_ref().map(open),
        }
    }
}

/// A copy of a device with changes; gone when this is dropped.
struct Copied(PathBuf);

impl Copied {
    fn of(path: &Path, changes: &Overlay) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let copy = env::temp_dir().join(format!(
            "xfs-rust-{}-{}",
            process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        run(Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .arg(path)
            .arg(&copy));
        let disk = FileDisk::open_rw(&copy).expect("it was just made");
        for (at, bytes) in changes.changes() {
            disk.write(at, bytes).expect("it has that size");
        }
        Self(copy)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // What is left there is no one's loss.
        let _ = fs::remove_file(&self.0);
    }
}

/// The fields that `xfs_db` printed, those that are one number.
fn fields_in(text: &str) -> HashMap<String, u64> {
    let fields = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(" = ")?;
        Some((name.to_owned(), number(value.trim())?))
    });
    fields.collect()
}

/// A number as `xfs_db` prints it.
pub fn number(text: &str) -> Option<u64> {
    let text = text.split(' ').next()?;
    match text.strip_prefix("0x") {
        _ if text == "null" => Some(u64::MAX),
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text
            .parse()
            .ok()
            .or_else(|| text.parse::<i64>().ok().map(|v| v as u64)),
    }
}

/// `NAME=PATH`.
fn option(name: &str, path: &Path) -> OsString {
    let mut arg = OsString::from(name);
    arg.push("=");
    arg.push(path);
    arg
}

/// Runs a program of xfsprogs; what it prints. Failing fails the test, with its output.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!(
            "{}: {e}: xfsprogs 7.2 is missing; run the tests with scripts/in-builder",
            command.get_program().to_string_lossy()
        )
    });
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Where images are kept between runs: in the workshop's cache, where all checkouts find them, else
/// with what cargo builds.
fn fixtures() -> PathBuf {
    let kept = env::var_os("XFS_RUST_CACHE").or_else(|| env::var_os("CARGO_TARGET_DIR"));
    let kept = kept.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let dir = kept.join("images");
    fs::create_dir_all(&dir).expect("the target folder can be written");
    dir
}

/// `path`, made by `make` under another name first, so that it is whole wherever it is seen.
fn kept(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if !path.exists() {
        let new = path.with_extension(format!(
            "new-{}-{}",
            process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        make(&new).unwrap_or_else(|e| panic!("{}: {e}", new.display()));
        if fs::rename(&new, path).is_err() {
            // Another process was faster.
            fs::remove_dir_all(&new).expect("what was made can be removed");
            assert!(path.exists());
        }
    }
    path.to_owned()
}

/// What an image was made from, as one number.
fn fingerprint(shape: &Shape) -> u64 {
    let version = run(Command::new("mkfs.xfs").arg("-V"));
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for word in shape.args.iter().chain(&[UUID, version.trim()]) {
        for byte in word.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    for number in [u64::from(tree::VERSION), DATA_SIZE, LOG_SIZE, RT_SIZE] {
        hash = (hash ^ number).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
