//! TLS for the pages: certificates and keys from PEM files, and a certificate authority of one's own.
//!
//! `certificate` reads the files, and again when they change (`end` is when one ends); `listener` accepts connections, with
//! or without TLS; `authority` makes certificates for machines that have none, `settings` says which is presented.

mod authority;
mod certificate;
mod end;
mod listener;
mod settings;

pub use authority::{make, make_client};
pub(crate) use certificate::CertificateEnd;
pub use certificate::{Certificates, TlsFiles};
pub(crate) use listener::Peer;
pub use listener::TlsListener;
pub use settings::TlsSettings;
