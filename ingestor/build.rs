//! Links a ready-made libduckdb (`build/libduckdb.rs`), and tells programs where to find it when they start.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

#[path = "build/libduckdb.rs"]
mod libduckdb;
#[path = "build/pins.rs"]
mod pins;

fn main() {
    println!("cargo::rerun-if-changed=build.rs\ncargo::rerun-if-changed=build");
    println!("cargo::rustc-env=FLEETPS_DUCKDB_VERSION={}", pins::VERSION);
    for name in ["DUCKDB_LIB_DIR", "FLEETPS_LIBDUCKDB_ARCHIVE", "FLEETPS_LIBDUCKDB_SHA256", "XDG_CACHE_HOME"]
    {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return;
    }
    match libduckdb::find(&wanted()) {
        Ok(found) => link(&found),
        Err(problem) => problem.iter().for_each(|line| println!("cargo::error={line}")),
    }
}

fn wanted() -> libduckdb::Wanted {
    let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let target = text("TARGET").unwrap_or_default();
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let workspace = package.parent().map(Path::to_owned).unwrap_or_default();
    // Where the cache folder cannot be written, this build keeps the library for itself.
    let own = env::var_os("OUT_DIR").map(PathBuf::from);
    libduckdb::Wanted {
        is_native: text("HOST").is_some_and(|host| host == target),
        named: text("DUCKDB_LIB_DIR").map(|folder| workspace.join(folder)),
        installed: libduckdb::installed_folders(&target),
        caches: libduckdb::cache_folder().into_iter().chain(own).collect(),
        archive: text("FLEETPS_LIBDUCKDB_ARCHIVE"),
        archive_sha256: text("FLEETPS_LIBDUCKDB_SHA256"),
        releases: pins::RELEASES.to_owned(),
        python: if cfg!(windows) { "python" } else { "python3" }.into(),
        script: package.join("build/fetch.py"),
        target,
    }
}

fn link(found: &libduckdb::Found) {
    let folder = found.folder.display();
    for problem in &found.given_up {
        // What was known to be in vain before it was tried is no news.
        if !problem.contains("not tried") {
            println!("cargo::warning=DuckDB: {problem}");
        }
    }
    let library = found.folder.join(libduckdb::file_name(&env::var("TARGET").unwrap_or_default()));
    println!("cargo::rerun-if-changed={}", library.display());
    println!("cargo::rustc-link-search=native={folder}");
    println!("cargo::metadata=dir={folder}");
    set_run_path(&found.folder);
    if let Some(programs) = programs_folder() {
        put_beside(&found.folder, &programs);
    }
}

/// Makes programs look for the library beside themselves, then where it was at the build. `api/build.rs` does the same.
fn set_run_path(folder: &Path) {
    let beside = match env::var("CARGO_CFG_TARGET_OS").unwrap_or_default().as_str() {
        "windows" => return,
        "macos" => "@loader_path",
        _ => "$ORIGIN",
    };
    for argument in ["-rpath", beside, "-rpath", &folder.to_string_lossy()] {
        println!("cargo::rustc-link-arg=-Xlinker\ncargo::rustc-link-arg={argument}");
    }
}

/// The folder in which cargo puts programs, where its layout is the usual one: `OUT_DIR` is
/// `target/release/build/NAME/out`.
fn programs_folder() -> Option<PathBuf> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    let folder = out.ancestors().nth(3)?;
    let is_usual = out.ancestors().nth(2)?.file_name()? == "build" && folder.join("deps").is_dir();
    is_usual.then(|| folder.to_owned())
}

/// Puts the library beside the programs, so that both can be copied elsewhere together. Without it they find the one
/// that they were linked with.
fn put_beside(from: &Path, programs: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let is_library =
            name.to_str().is_some_and(|name| name.starts_with("libduckdb.") || name == "duckdb.dll");
        if is_library && path.is_file() {
            let place = programs.join(name);
            let _ = fs::remove_file(&place);
            let _ = fs::hard_link(&path, &place).or_else(|_| fs::copy(&path, &place).map(drop));
        }
    }
}
