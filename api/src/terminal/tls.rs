//! `fleetps tls`: certificates for machines that have none from elsewhere.

use anyhow::Context;
use clap::Subcommand;
use fleetps_nats::HostName;

use crate::{
    config::Config,
    display::visible,
    tls::{self, TlsSettings},
};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// Make a certificate for this machine in the data folder, and the authority that signs it when there is none; run
    /// again, it renews the certificate, which is taken without a restart
    Init {
        /// A name or address that this machine is reached by, beside localhost; may be given several times. Without any, those of the certificate that is there
        #[arg(long, value_name = "HOST")]
        name: Vec<String>,
    },
    /// Make a certificate for the agent of a host, for a broker that asks for one (`tls.agents_show_certificates`)
    Client {
        /// The host
        #[arg(id = "of_host", value_name = "HOST")]
        host: HostName,
    },
}

/// Runs a subcommand.
///
/// # Errors
/// When a name is none, or the data folder cannot be written.
pub(crate) fn tls(config: &Config, command: &TlsCommand) -> anyhow::Result<()> {
    let name = match command {
        TlsCommand::Init { name } => name,
        TlsCommand::Client { host } => return client(config, host),
    };
    let made = tls::make(&TlsSettings::folder(&config.data), name)?;
    let authority = made.authority.display();
    let whose = if made.is_new { "signed by a new authority" } else { "signed by the authority from before" };
    let names: Vec<_> = made.names.iter().map(|name| visible(name)).collect();
    super::write(&format!(
        "A certificate for {}, {whose}, until {}.\n\n\
         fleetps presents it from its next start on, to browsers and to agents. Tell them to trust {authority}:\n  \
         agents      copy it there and name it: fleetps-agent --ca ca.pem …\n  \
         curl        curl --cacert {authority} https://…\n  \
         browsers    import it as an authority for websites\n  \
         Debian      cp {authority} /usr/local/share/ca-certificates/fleetps.crt && update-ca-certificates\n\n\
         Run this again before it ends. Whoever has ca.key beside it can sign for any name; it stays on this machine.\n",
        names.join(", "),
        made.ends,
    ))
}

fn client(config: &Config, host: &HostName) -> anyhow::Result<()> {
    let folder = TlsSettings::folder(&config.data);
    let ends = tls::make_client(&folder, host).context("`fleetps tls init` makes the authority first")?;
    let files = folder.join("clients");
    super::write(&format!(
        "A certificate for the agent of {host}, until {ends}, is in {files}. Take both of its files and ca.pem there:\n  \
         fleetps-agent --ca ca.pem --cert {host}.pem --cert-key {host}.key …\n",
        files = files.display(),
    ))
}
