//! `fleetps user`: which users may sign in. It talks to the broker, so it works without the web server and without a
//! password, and needs only the broker's key.

use clap::Subcommand;
use fleetps_nats::audit::Audit;

use super::table::{Heading, render};
use crate::{
    auth::{Accounts, By, Grant, Local, Secret, SignsIn, User, UserName},
    config::Config,
    display::time,
    url::Url,
};

const HEADINGS: [Heading<'_>; 4] = [heading("NAME"), heading("STATE"), heading("GRANTED"), heading("ADDED")];

const fn heading(name: &str) -> Heading<'_> {
    Heading { name, is_number: false }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user, and print the link by which the user chooses a password
    Add {
        /// Lower-case letters, digits and .-_
        name: UserName,
        /// The user's grants, as in viewer, operator:web,env=prod or viewer:web:no-command-lines
        #[arg(required = true)]
        grants: Vec<Grant>,
    },
    /// List everybody
    List,
    /// Disable a user, and end the user's sessions and tokens
    Disable {
        /// The user
        name: UserName,
    },
    /// Let a disabled user in again
    Enable {
        /// The user
        name: UserName,
    },
    /// Print a link by which a user chooses a new password
    Password {
        /// The user
        name: UserName,
    },
    /// Grant more to a user
    Grant {
        /// The user
        name: UserName,
        /// As in viewer, operator:web,env=prod or viewer:web:no-command-lines
        grant: Grant,
    },
    /// Take a grant back from a user
    Take {
        /// The user
        name: UserName,
        /// As `fleetps user list` writes it
        grant: Grant,
    },
}

/// Does it.
///
/// # Errors
/// When the broker cannot be reached, or it is not possible.
pub(crate) fn user(config: &Config, command: UserCommand) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(make(config, command))
}

async fn make(config: &Config, command: UserCommand) -> anyhow::Result<()> {
    let client = config.broker()?.connect("fleetps user").await?;
    let audit = Audit::open(&client).await?;
    let accounts = Accounts::open(&client, audit, config.sign_in.clone(), None).await?;
    let by = By::command();
    match command {
        UserCommand::Add { name, grants } => {
            print_link(config, &accounts.add_user(&by, &name, grants).await?)
        }
        UserCommand::Password { name } => print_link(config, &accounts.users_link(&by, &name).await?),
        UserCommand::List => fleetps_nats::out!("{}", list(&accounts)),
        UserCommand::Disable { name } => accounts.set_disabled(&by, &name, true).await?,
        UserCommand::Enable { name } => accounts.set_disabled(&by, &name, false).await?,
        UserCommand::Grant { name, grant } => accounts.set_grant(&by, &name, &grant, true).await?,
        UserCommand::Take { name, grant } => {
            check_granted(&accounts, &name, &grant)?;
            accounts.set_grant(&by, &name, &grant, false).await?;
        }
    }
    Ok(())
}

/// Refuses to take what is not there: a right that was meant would stay.
fn check_granted(accounts: &Accounts, name: &UserName, grant: &Grant) -> anyhow::Result<()> {
    let all = accounts.users.all();
    let Some((_, user)) = all.iter().find(|(known, _)| known == name.as_str()) else { return Ok(()) };
    let granted: Vec<String> = user.grants.iter().map(ToString::to_string).collect();
    anyhow::ensure!(
        user.grants.contains(grant),
        "{} has no grant {grant}; take one as it is written: {}",
        name.as_str(),
        if granted.is_empty() { "there is none".to_owned() } else { granted.join("  ") }
    );
    Ok(())
}

fn print_link(config: &Config, secret: &Secret) {
    let server = Local::read(&config.data)
        .map_or_else(|| format!("http://{}", config.web.listen), |local| local.server);
    fleetps_nats::outln!(
        "{server}{}\nworks once, within a day: its owner chooses the password",
        Url::welcome(&secret.text())
    );
}

fn list(accounts: &Accounts) -> String {
    let row = |(name, user): &(String, std::sync::Arc<User>)| {
        let grants: Vec<_> = user.grants.iter().map(ToString::to_string).collect();
        vec![name.clone(), state(user).to_owned(), grants.join(" "), time(user.added_at_us)]
    };
    render(&HEADINGS, accounts.users.all().iter().map(row))
}

fn state(user: &User) -> &'static str {
    match user.signs_in {
        _ if user.is_disabled => "disabled",
        SignsIn::NotYet => "invited",
        SignsIn::Password(_) | SignsIn::OpenIdConnect { .. } => "active",
    }
}
