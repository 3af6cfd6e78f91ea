//! Finding nats-server: the one that was named, one beside this program or on PATH that is new enough, the one installed earlier,
//! else installing it.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    ServerError, install, pins,
    program::{PROGRAM, minimum, version_of},
};

/// One installation at a time: the tests of one process all start servers.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Finds the nats-server to run: the `named` one, else one that is found or installed. `progress` gets messages about
/// the installation.
///
/// # Errors
/// When the named one cannot be used, or there is none and none can be installed.
pub fn find_or_install(named: Option<&Path>, progress: &dyn Fn(&str)) -> Result<PathBuf, ServerError> {
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
    if let Some(path) = at_hand() {
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

/// One beside this program, where packages put it, or on PATH.
fn at_hand() -> Option<PathBuf> {
    let own = std::env::current_exe().and_then(|program| program.canonicalize()).ok();
    let beside = own.and_then(|program| Some(program.parent()?.to_owned()));
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let candidates =
        beside.into_iter().chain(std::env::split_paths(&folders)).map(|folder| folder.join(PROGRAM));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_nats_server_is_refused_by_name() {
        let refusal = find_or_install(Some(Path::new("/bin/true")), &|_| {}).unwrap_err().to_string();
        assert!(refusal.contains("/bin/true"), "{refusal}");
    }
}
