//! Finding nats-server: the one that was named, one on PATH that is new enough, the one installed earlier, else
//! installing it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use super::{ServerError, install, pins};

/// The program's file name here.
pub(super) const PROGRAM: &str = if cfg!(windows) { "nats-server.exe" } else { "nats-server" };

/// One installation at a time: the tests of one process all start servers.
static INSTALLING: Mutex<()> = Mutex::new(());

/// The nats-server to run.
pub(super) fn find_or_install(named: Option<&Path>, progress: &dyn Fn(&str)) -> Result<PathBuf, ServerError> {
    if let Some(path) = named {
        return match version_of(path) {
            Ok(version) if version >= pins::MINIMUM_VERSION => Ok(path.to_owned()),
            Ok((major, minor)) => Err(ServerError::Program {
                path: path.to_owned(),
                problem: format!("it is version {major}.{minor}; {} or newer is needed", minimum()),
            }),
            Err(problem) => Err(ServerError::Program { path: path.to_owned(), problem }),
        };
    }
    if let Some(path) = on_path() {
        return Ok(path);
    }
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = install::cache_folder();
    let installed = folder.join(PROGRAM);
    if version_of(&installed).is_ok_and(|version| version >= pins::MINIMUM_VERSION) {
        return Ok(installed);
    }
    install::install(&folder, progress)?;
    Ok(installed)
}

/// The oldest version that works, for messages.
pub(super) fn minimum() -> String {
    let (major, minor) = pins::MINIMUM_VERSION;
    format!("{major}.{minor}")
}

fn on_path() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let candidates = std::env::split_paths(&folders).map(|folder| folder.join(PROGRAM));
    candidates.filter(|path| path.is_file()).find(|path| match version_of(path) {
        Ok(version) if version >= pins::MINIMUM_VERSION => true,
        Ok((major, minor)) => {
            tracing::info!(path = %path.display(), "passing over nats-server {major}.{minor}: {} is needed", minimum());
            false
        }
        Err(problem) => {
            tracing::info!(path = %path.display(), "passing over a nats-server that does not run: {problem}");
            false
        }
    })
}

/// Major and minor version, as the program itself says it.
pub(super) fn version_of(program: &Path) -> Result<(u32, u32), String> {
    let output = Command::new(program).arg("--version").output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| format!("it does not say its version but {:?}", text.trim()))
}

/// Reads "nats-server: v2.15.1".
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_program_prints() {
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.9.11-debian\n"), Some((2, 9)));
        assert_eq!(parse_version("command not found"), None);
    }

    #[test]
    fn a_program_that_is_no_nats_server_is_refused_by_name() {
        let refusal = find_or_install(Some(Path::new("/bin/true")), &|_| {}).unwrap_err().to_string();
        assert!(refusal.contains("/bin/true"), "{refusal}");
    }
}
