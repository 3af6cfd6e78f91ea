//! Finds a libduckdb to link, so that nobody has to compile DuckDB, which takes half an hour on two cores.
//!
//! In this order: the folder that the user names; an installed one; one that was fetched before; the archive of the
//! release; the wheel on PyPI. What is fetched is kept in the user's cache folder, outside of the clone, and shared by
//! all clones. `ingestor/tests/it/ready_made_library.rs` has this file as a module, too.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use super::pins::{self, Pin, VERSION};

/// What a library is looked for with.
pub struct Wanted {
    /// The target triple.
    pub target: String,
    /// Whether what is built runs on this machine, so that a library can be asked for its version.
    pub is_native: bool,
    /// `DUCKDB_LIB_DIR`.
    pub named: Option<PathBuf>,
    /// Folders in which an installed library is looked for.
    pub installed: Vec<PathBuf>,
    /// Where what is fetched is kept: the first of them that can be written.
    pub caches: Vec<PathBuf>,
    /// `FLEETPS_LIBDUCKDB_ARCHIVE`: an archive to take instead of the release's, a file or a URL.
    pub archive: Option<String>,
    /// `FLEETPS_LIBDUCKDB_SHA256`: the archive's checksum.
    pub archive_sha256: Option<String>,
    /// Where DuckDB's releases are: [`pins::RELEASES`], but for tests.
    pub releases: String,
    /// The Python that fetches.
    pub python: PathBuf,
    /// `fetch.py`.
    pub script: PathBuf,
}

/// A library that was found.
#[derive(Debug)]
pub struct Found {
    /// The folder with the library.
    pub folder: PathBuf,
    /// What was tried before in vain, a line each; empty where nothing had to be fetched.
    pub given_up: Vec<String>,
}

/// Why there is no library, and what to do: one message, line by line.
pub type Problem = Vec<String>;

/// The library's name on a target.
pub fn file_name(target: &str) -> &'static str {
    match target {
        target if target.contains("windows") => "duckdb.dll",
        target if target.contains("apple") => "libduckdb.dylib",
        _ => "libduckdb.so",
    }
}

/// The folders in which package managers and people put libraries.
pub fn installed_folders(target: &str) -> Vec<PathBuf> {
    let arch = target.split('-').next().unwrap_or_default();
    let folders: &[&str] = match file_name(target) {
        "libduckdb.so" => &["/usr/local/lib", "/usr/lib", "/usr/lib64"],
        "libduckdb.dylib" => &["/opt/homebrew/lib", "/usr/local/lib"],
        _ => &[],
    };
    let debian = PathBuf::from(format!("/usr/lib/{arch}-linux-gnu"));
    folders.iter().map(PathBuf::from).chain([debian]).collect()
}

/// The user's cache folder of fleetps, where nats-server is kept as well.
pub fn cache_folder() -> Option<PathBuf> {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = match env::consts::OS {
        "windows" => named("LOCALAPPDATA"),
        "macos" => env::home_dir().map(|home| home.join("Library/Caches")),
        _ => named("XDG_CACHE_HOME").or_else(|| env::home_dir().map(|home| home.join(".cache"))),
    };
    cache.map(|folder| folder.join("fleetps"))
}

/// Finds a library, or says why there is none.
pub fn find(wanted: &Wanted) -> Result<Found, Problem> {
    if let Some(folder) = &wanted.named {
        return match check(wanted, folder) {
            Ok(()) => Ok(Found { folder: folder.clone(), given_up: Vec::new() }),
            Err(problem) => Err(vec![format!("DUCKDB_LIB_DIR: {problem}")]),
        };
    }
    let (mut given_up, name) = (Vec::new(), file_name(&wanted.target));
    for folder in wanted.installed.iter().filter(|folder| folder.join(name).exists()) {
        match check(wanted, folder) {
            Ok(()) => return Ok(Found { folder: folder.clone(), given_up }),
            Err(problem) => given_up.push(format!("installed: {problem}")),
        }
    }
    for cache in &wanted.caches {
        match Fetching::new(wanted, cache).library() {
            Ok(folder) => return Ok(Found { folder, given_up }),
            Err(Failure::NoFolder(problem)) => given_up.push(problem),
            Err(Failure::NoLibrary(problems)) => {
                given_up.extend(problems);
                break;
            }
        }
    }
    Err(nothing_found(wanted, given_up))
}

fn nothing_found(wanted: &Wanted, given_up: Vec<String>) -> Problem {
    let (target, name) = (&wanted.target, file_name(&wanted.target));
    let url = pins::of(target).map_or_else(
        || "an archive with that library".to_owned(),
        |pin| format!("such as {}", pins::archive_url(&wanted.releases, &pin.archive)),
    );
    let mut lines =
        vec![format!("DuckDB {VERSION} is needed, and no ready-made library for {target} can be had:")];
    lines.extend(given_up.into_iter().map(|line| format!("  - {line}")));
    lines.extend([
        "there are three ways on:".to_owned(),
        format!("  1. DUCKDB_LIB_DIR=FOLDER, a folder with the {name} of DuckDB {}", compatible()),
        format!("  2. FLEETPS_LIBDUCKDB_ARCHIVE=FILE FLEETPS_LIBDUCKDB_SHA256=SUM, {url}"),
        "  3. --features bundled, which compiles DuckDB: half an hour on two cores, and a C++ compiler"
            .to_owned(),
    ]);
    lines
}

/// The versions that do: the pinned one and others of the same interface, as "2.0".
fn compatible() -> &'static str {
    VERSION.rsplit_once('.').map_or(VERSION, |(interface, _)| interface)
}

/// Whether a folder has a library that does.
fn check(wanted: &Wanted, folder: &Path) -> Result<(), String> {
    let library = folder.join(file_name(&wanted.target));
    if !library.is_file() {
        return Err(format!("there is no {}", library.display()));
    }
    if !wanted.is_native {
        return Ok(());
    }
    let version = version_of(&library).map_err(|error| format!("{}: {error}", library.display()))?;
    let is_right = version.strip_prefix('v').is_some_and(|version| {
        version.strip_prefix(compatible()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    if is_right {
        return Ok(());
    }
    Err(format!("{} is DuckDB {version}; {} is needed", library.display(), compatible()))
}

/// What a library says that it is, as "v2.0.0".
#[expect(unsafe_code, reason = "only the library itself can say which version it is")]
fn version_of(library: &Path) -> Result<String, libloading::Error> {
    type Version = unsafe extern "C" fn() -> *const std::ffi::c_char;
    // SAFETY: a libduckdb does nothing when it is loaded, and `duckdb_library_version` takes nothing and returns a
    // string that lives as long as the library (duckdb.h).
    unsafe {
        let library = libloading::Library::new(library)?;
        let version = library.get::<Version>(b"duckdb_library_version")?;
        Ok(std::ffi::CStr::from_ptr(version()).to_string_lossy().into_owned())
    }
}

enum Failure {
    /// This cache folder cannot be used; the next one may.
    NoFolder(String),
    /// No library can be had.
    NoLibrary(Vec<String>),
}

/// One try to have a library in a cache folder.
struct Fetching<'a> {
    wanted: &'a Wanted,
    pin: Option<&'static Pin>,
    folder: PathBuf,
}

impl<'a> Fetching<'a> {
    fn new(wanted: &'a Wanted, cache: &Path) -> Self {
        // An archive that the user names is kept apart from what is fetched without being told.
        let named = wanted.archive.as_ref().and(wanted.archive_sha256.as_ref());
        let suffix = named.map(|sum| format!("-{}", &sum[..sum.len().min(12)])).unwrap_or_default();
        let folder = cache.join(format!("libduckdb-{VERSION}-{}{suffix}", wanted.target));
        Self { wanted, pin: pins::of(&wanted.target), folder }
    }

    fn library(&self) -> Result<PathBuf, Failure> {
        // Asked before the lock, so that a filled cache that is read-only serves.
        if check(self.wanted, &self.folder).is_ok() {
            return Ok(self.folder.clone());
        }
        let no_folder =
            |error| Failure::NoFolder(format!("{} cannot be written: {error}", self.folder.display()));
        fs::create_dir_all(&self.folder).map_err(no_folder)?;
        // One build fetches, others wait. The system lets go of the lock of a build that is killed.
        let lock = fs::File::create(self.folder.join("lock")).map_err(no_folder)?;
        lock.lock().map_err(no_folder)?;
        if check(self.wanted, &self.folder).is_err() {
            self.fetch()?;
        }
        Ok(self.folder.clone())
    }

    fn fetch(&self) -> Result<(), Failure> {
        let mut problems = Vec::new();
        for way in self.ways() {
            let new = self.folder.join("new");
            let _ = fs::remove_dir_all(&new);
            fs::create_dir(&new)
                .map_err(|error| Failure::NoFolder(format!("{} cannot be made: {error}", new.display())))?;
            let result = way
                .arguments
                .and_then(|arguments| self.run(&arguments, &new))
                .and_then(|()| check(self.wanted, &new))
                .and_then(|()| self.keep(&new).map_err(|error| error.to_string()));
            let _ = fs::remove_dir_all(&new);
            match result {
                Ok(()) => return Ok(()),
                Err(problem) => problems.push(format!("{}: {problem}", way.name)),
            }
        }
        Err(Failure::NoLibrary(problems))
    }

    /// The ways to get one, in their order.
    fn ways(&self) -> Vec<Way> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let sum = self.wanted.archive_sha256.as_deref();
        if let Some(archive) = &self.wanted.archive {
            let pinned = self.pin.and_then(|pin| pin.archive.sha256);
            let arguments = sum.or(pinned).map(|sum| words(&["archive", archive, sum]));
            let arguments =
                arguments.ok_or_else(|| "it needs its checksum, too: FLEETPS_LIBDUCKDB_SHA256".to_owned());
            return vec![Way { name: format!("the archive {archive}"), arguments }];
        }
        let Some(pin) = self.pin else {
            return vec![Way {
                name: "fetching".to_owned(),
                arguments: Err(format!("nothing is known for {}", self.wanted.target)),
            }];
        };
        let url = pins::archive_url(&self.wanted.releases, &pin.archive);
        let archive = sum.or(pin.archive.sha256).map(|sum| words(&["archive", &url, sum]));
        let wheel = pin.wheel.as_ref().map(|wheel| words(&["wheel", VERSION, wheel.platform, wheel.sha256]));
        vec![
            Way {
                name: format!("the archive {url}"),
                arguments: archive.ok_or_else(|| "not tried, its checksum is not known".to_owned()),
            },
            Way {
                name: format!("the wheel duckdb=={VERSION}"),
                arguments: wheel.ok_or_else(|| "not tried, it cannot be linked on this system".to_owned()),
            },
        ]
    }

    fn run(&self, arguments: &[String], folder: &Path) -> Result<(), String> {
        let python = &self.wanted.python;
        let mut command = Command::new(python);
        command.arg(&self.wanted.script).args(arguments).current_dir(folder).stdin(Stdio::null());
        let output =
            command.output().map_err(|error| format!("{} cannot be run: {error}", python.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("it failed without a word")
            .to_owned())
    }

    /// Puts what was fetched in its place.
    fn keep(&self, new: &Path) -> std::io::Result<()> {
        let library = file_name(&self.wanted.target);
        let (mut last, mut first) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(new)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_owned();
            if !name.to_string_lossy().contains("duckdb") || path.is_dir() {
                continue;
            }
            if !path.is_symlink() {
                // cargo takes a file for changed that is newer than the build which fetched it.
                fs::File::options().write(true).open(&path)?.set_modified(SystemTime::UNIX_EPOCH)?;
            }
            if name == library { &mut last } else { &mut first }.push((path, self.folder.join(name)));
        }
        // The name that is looked for comes last: where it is, everything is.
        first.into_iter().chain(last).try_for_each(|(from, to)| fs::rename(from, to))
    }
}

/// One way to get a library: the arguments of `fetch.py`, or why it is not tried.
struct Way {
    name: String,
    arguments: Result<Vec<String>, String>,
}
