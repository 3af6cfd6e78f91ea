//! A certificate authority of one's own, for machines that have no certificate from elsewhere.
//!
//! In the folder `tls` of the data folder: `ca.pem` is public, and clients are told to trust it; `ca.key` signs; the
//! pages and the broker present `server.pem` and `server.key`; the parts on this machine present `client.pem` and
//! `client.key` to the broker where it asks for a certificate. The authority is made once; the server's certificate is
//! made again at every call, and is used without a restart.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use fleetps_nats::{HostName, file};
use jiff::{ToSpan, Zoned, civil::Date};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The authority's name.
const AUTHORITY_NAME: &str = "fleetps certificate authority";
/// Clients must be told anew when it ends.
const AUTHORITY_YEARS: i32 = 10;
/// The longest that browsers accept from public authorities; renewing is one command.
const CERTIFICATE_DAYS: i32 = 397;
/// The file with the names that the certificate is for, beside it.
const NAMES: &str = "server.names";
/// This machine is always reached by these.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The files that were made.
#[derive(Debug)]
pub struct Made {
    /// The authority's certificate, for clients to trust.
    pub authority: PathBuf,
    /// Whether the authority was made now, and not before.
    pub is_new: bool,
    /// The names and addresses that the certificate is for.
    pub names: Vec<String>,
    /// The day on which the certificate ends.
    pub ends: Date,
}

/// The certificates cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A name is none.
    #[error("{0:?} is no host name or address")]
    Name(String),
    /// There is a certificate for names that are not known any longer.
    #[error(
        "the certificate that is there may be for other names than this machine's own; say all of them again: \
         fleetps tls init --name NAME …"
    )]
    UnknownNames,
    /// A name is none, or the key of the authority is not one.
    #[error(
        "the certificate cannot be made; are the names host names or addresses, and is ca.key as it was made?"
    )]
    Make(#[from] rcgen::Error),
    /// The clock says something that no certificate can.
    #[error("the date cannot be computed; is the clock right?")]
    Date(#[from] jiff::Error),
}

impl AuthorityError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// Makes in `folder` a certificate for `names` (beside this machine's own; without any, for those of the certificate that is
/// there), a client certificate for the parts on this machine, and the authority when there is none.
///
/// # Errors
/// When a name is none, or the folder cannot be written.
pub fn make(folder: &Path, names: &[String]) -> Result<Made, AuthorityError> {
    if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
        return Err(AuthorityError::Name(wrong.clone()));
    }
    make_private_folder(folder)?;
    let names = if names.is_empty() { known_names(folder)? } else { names.to_vec() };
    let authority = folder.join("ca.pem");
    let is_new = !folder.join("ca.key").exists();
    if is_new {
        let key = KeyPair::generate()?;
        let certificate = authority_params(Zoned::now().date())?.self_signed(&key)?;
        write(&folder.join("ca.key"), &key.serialize_pem())?;
        write(&authority, &certificate.pem())?;
    }
    let mut all: Vec<String> = OWN_NAMES.map(str::to_owned).to_vec();
    all.extend(names.iter().filter(|name| !OWN_NAMES.contains(&name.as_str())).cloned());
    let ends = issue(folder, &folder.join("server"), "fleetps", &all, ExtendedKeyUsagePurpose::ServerAuth)?;
    issue(folder, &folder.join("client"), "fleetps", &[], ExtendedKeyUsagePurpose::ClientAuth)?;
    write(&folder.join(NAMES), &names.join("\n"))?;
    Ok(Made { authority, is_new, names: all, ends })
}

/// The names of the certificate that is there, without this machine's own; none where there is none.
fn known_names(folder: &Path) -> Result<Vec<String>, AuthorityError> {
    let path = folder.join(NAMES);
    match file::read_text(&path) {
        Ok(text) => Ok(text.lines().filter(|name| is_name(name)).map(str::to_owned).collect()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(AuthorityError::at(&path)(error)),
        // Earlier versions did not note the names.
        Err(_) if folder.join("server.pem").exists() => Err(AuthorityError::UnknownNames),
        Err(_) => Ok(Vec::new()),
    }
}

/// Whether a certificate can be for it: an address, or a host name, with a star for its first part at most.
fn is_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.parse::<std::net::IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(is_part))
}

/// Makes a client certificate for the agent of `host`: `clients/HOST.pem` and `clients/HOST.key` in `folder`. Returns
/// the day on which it expires.
///
/// # Errors
/// When there is no authority in `folder`, or it cannot be written.
pub fn make_client(folder: &Path, host: &HostName) -> Result<Date, AuthorityError> {
    let clients = folder.join("clients");
    make_private_folder(&clients)?;
    issue(folder, &clients.join(host.as_str()), host.as_str(), &[], ExtendedKeyUsagePurpose::ClientAuth)
}

/// Has the authority in `folder` sign a new key, for `files`.pem and `files`.key; until the day that is returned.
fn issue(
    folder: &Path,
    files: &Path,
    common_name: &str,
    names: &[String],
    usage: ExtendedKeyUsagePurpose,
) -> Result<Date, AuthorityError> {
    let authority = folder.join("ca.key");
    let authority_key = file::read_text(&authority).map_err(AuthorityError::at(&authority))?;
    let today = Zoned::now().date();
    // Only its name and key count for signing, not its dates.
    let issuer = Issuer::new(authority_params(today)?, KeyPair::from_pem(&authority_key)?);
    let ends = today.checked_add(CERTIFICATE_DAYS.days())?;
    let mut params = named(common_name, names)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    valid(&mut params, today, ends)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    // The key first: a reader in between finds a pair that does not match, and keeps its present one.
    write(&files.with_added_extension("key"), &key.serialize_pem())?;
    write(&files.with_added_extension("pem"), &certificate.pem())?;
    Ok(ends)
}

fn authority_params(today: Date) -> Result<CertificateParams, AuthorityError> {
    let mut params = named(AUTHORITY_NAME, &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params, today, today.checked_add(AUTHORITY_YEARS.years())?)?;
    Ok(params)
}

fn named(common_name: &str, names: &[String]) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

/// From yesterday on: clocks differ.
fn valid(params: &mut CertificateParams, today: Date, ends: Date) -> Result<(), AuthorityError> {
    let moment = |date: Date| {
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        rcgen::date_time_ymd(date.year().into(), month, day)
    };
    params.not_before = moment(today.yesterday()?);
    params.not_after = moment(ends);
    Ok(())
}

/// Writes a file for its owner only, as a whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), AuthorityError> {
    let temporary = path.with_added_extension("tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(AuthorityError::at(path))
}

fn make_private_folder(folder: &Path) -> Result<(), AuthorityError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(AuthorityError::at(folder))
}
