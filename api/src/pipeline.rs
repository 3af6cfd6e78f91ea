//! The whole pipeline in one process, and the web server alone.
//!
//! Starting goes with the stream (broker, ingestor, web server, agent), stopping too: first nothing new is sampled,
//! then what was sampled is sealed, then the broker goes. While it starts, each part waits for the broker, whatever becomes
//! of that meanwhile, and a page says what is waited for.

use std::{future::Future, time::Duration};

use anyhow::Context;
use fleetps_agent::{sample::os_host_name, simulate::SimulationSettings};
use fleetps_nats::{
    HostName,
    admission::AdmissionService,
    audit::{Audit, AuditError},
    bucket::BucketError,
    lock::FolderLock,
    output,
    patience::{Passing, patiently},
    server::{Part, ServerHealth},
    stream::StreamError,
    units, with_causes,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    backups::{Backups, keep_backing_up},
    brokers::Brokers,
    config::Config,
    people::{Accounts, Addresses, Auth, Local, People, PeopleError, Secret},
    recovery::{self, Found, StateHealth},
    server,
    starting::{Starting, listen},
    tls::Door,
};

/// Processes on each host of a demonstration.
const DEMO_PROCESSES: usize = 200;
/// How long the agent beside the server is left alone after it failed: what keeps it from running is mended by hand.
const AGENT_AGAIN: Duration = Duration::from_secs(10);
/// How long stopping may take: sealing what is buffered takes seconds. What is not stored then is still in the stream.
const STOP_WITHIN: Duration = Duration::from_secs(30);

type Parts = JoinSet<anyhow::Result<()>>;

/// Serves pages and JSON for a broker that runs elsewhere, until `ended`.
///
/// # Errors
/// When no broker is named or it cannot be reached, or the address cannot be listened on.
pub async fn serve(config: Config, ended: CancellationToken) -> anyhow::Result<()> {
    let broker = config
        .given_broker()
        .context("`fleetps serve` needs a broker: name it with --nats nats://HOST:4222")?;
    fleetps_ingestor::check_library()?;
    let Some(listening) = ended.run_until_cancelled(listen(&config)).await else { return Ok(()) };
    let (doors, address) = listening?;
    let (door, starting) = doors.open(&config, ServerHealth::default());
    let start = async {
        let client = patiently("the web server", || broker.connect("fleetps serve")).await?;
        let found = find_losses(&client, &config, None).await?;
        let admission = patiently("admission", || async {
            AdmissionService::of_settings(&broker, client.clone(), config.admission.clone()).await
        });
        let admission = admission.await?;
        let people = people(&config, &client, &address).await?;
        let sign_in = first_sign_in(&people, &address, &found, &config).await?;
        anyhow::Ok((client, admission, people, found.health(), sign_in))
    };
    let Some(started) = ended.run_until_cancelled(start).await else { return Ok(()) };
    let (client, _admission, people, health, sign_in) = started?;
    starting.end().await;
    output::announce(format_args!("fleetps serves {address}{sign_in}\nstop it with Ctrl-C\n"));
    let stop_saving = ended.child_token();
    let saving = recovery::keep_saving(client.clone(), &config.data, &health, stop_saving.clone());
    let of_broker = server::Health { broker: ServerHealth::default(), records: health.clone() };
    let serving = async {
        let served = server::run(door, client, of_broker, config.history, people, ended).await;
        // Also where serving failed: the program then ends.
        stop_saving.cancel();
        served
    };
    tokio::join!(serving, saving).0
}

/// Runs the whole pipeline until `ended` or until a part of it fails.
///
/// # Errors
/// When a part cannot be started or fails, for another reason than a broker that is not there.
pub async fn run_everything(mut config: Config, ended: CancellationToken) -> anyhow::Result<()> {
    fleetps_ingestor::check_library()?;
    let _lock = FolderLock::take(&config.data)?;
    let host = config.host.clone().unwrap_or_else(|| HostName::from_os_name(&os_host_name()));
    if config.broker.nats.is_none() {
        config.history = config.history.with_broker_in(config.data.join("nats"));
    }
    let Some(listening) = ended.run_until_cancelled(listen(&config)).await else { return Ok(()) };
    let (doors, address) = listening?;
    let health = ServerHealth::default();
    let doors = doors.open(&config, health.clone());
    let Some(brokers) = Brokers::open(&config, &health, &ended).await? else { return Ok(()) };
    let config = without_broken_agent(config, &brokers);
    let mut pipeline = Pipeline::default();
    let start = pipeline.start(&config, &brokers, &host, doors, &address);
    let outcome = match ended.run_until_cancelled(start).await {
        Some(Ok(sign_in)) => {
            output::announce(format_args!("{}", started(&config, &(address + &sign_in), &host)));
            pipeline.until(&ended).await
        }
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    let sealed = tokio::time::timeout(STOP_WITHIN, pipeline.stop()).await.unwrap_or_else(|_| {
        tracing::error!("some parts did not stop within {} s and are cut off", STOP_WITHIN.as_secs());
        Ok(())
    });
    brokers.stop().await;
    outcome.and(sealed)
}

/// `config` without this machine's agent where the agent's key cannot be read: everything else runs.
fn without_broken_agent(mut config: Config, brokers: &Brokers) -> Config {
    if config.local.sample_this_host
        && let Err(error) = brokers.of(Part::Agent).check_key()
    {
        tracing::error!("this machine is not sampled: {}", with_causes(&error));
        config.local.sample_this_host = false;
    }
    config
}

/// The block that says where to look.
fn started(config: &Config, address: &str, host: &HostName) -> String {
    let broker = config.broker.nats.as_deref().unwrap_or("a local nats-server, managed");
    let samples = if config.local.sample_this_host {
        format!("this machine as {host}, every {}", units::format_duration(config.sample.interval))
    } else {
        "not this machine".to_owned()
    };
    let demo = if config.local.demo_hosts > 0 {
        format!("; {} simulated hosts", config.local.demo_hosts)
    } else {
        String::new()
    };
    format!(
        "\n  fleetps {version} is running\n\n    look      {address}\n    data      {data}\n    \
         broker    {broker}\n    samples   {samples}{demo}\n    query     duckdb -init {attach}\n    \
         stop      Ctrl-C\n\n",
        version = env!("CARGO_PKG_VERSION"),
        data = config.data.display(),
        attach = config.history.history.join(fleetps_ingestor::ATTACH_SQL).display(),
    )
}

/// Whoever may ask, as the settings say. Commands on this machine find the way in the data folder.
async fn people(config: &Config, client: &async_nats::Client, address: &str) -> anyhow::Result<People> {
    let addresses = Addresses::new(&config.sign_in, config.tls.files(&config.data)?.is_some());
    let local = Secret::new()?;
    let people = match config.web.auth {
        Auth::On => {
            let audit = patiently("the audit", || Audit::open(client)).await?;
            let accounts = patiently("sign-in", || async {
                Accounts::open(client, audit.clone(), config.sign_in.clone(), Some(&local)).await
            });
            People::of(accounts.await?, addresses)
        }
        Auth::Off => People::anybody(addresses),
    };
    let local = Local::new(address.to_owned(), Some(&local).filter(|_| config.web.auth == Auth::On));
    if let Err(error) = local.write(&config.data) {
        tracing::warn!(%error, data = %config.data.display(), "commands on this machine need --server and a token");
    }
    Ok(people)
}

/// How a first administrator comes in, where there is none; empty otherwise. Waits for the broker.
async fn first_sign_in(
    people: &People,
    address: &str,
    found: &Found,
    config: &Config,
) -> anyhow::Result<String> {
    let asking = || async { try_first_sign_in(people, address, found, config).await.map_err(StartError) };
    Ok(patiently("the first link", asking).await?)
}

/// What the broker lost. Waits for it.
async fn find_losses(
    client: &async_nats::Client,
    config: &Config,
    this_host: Option<&HostName>,
) -> anyhow::Result<Found> {
    let finding = || async {
        recovery::at_start(client, &config.data, config.recover, this_host).await.map_err(StartError)
    };
    Ok(patiently("the start", finding).await?)
}

/// A step of the start failed.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct StartError(anyhow::Error);

impl Passing for StartError {
    /// Where it was the broker that failed, and not a file or a setting.
    fn is_passing(&self) -> bool {
        self.0.chain().any(|cause| {
            cause.is::<BucketError>()
                || cause.is::<StreamError>()
                || cause.is::<AuditError>()
                || cause.downcast_ref::<PeopleError>().is_some_and(Passing::is_passing)
        })
    }
}

/// Where there was an administrator before, only `--recover` makes another.
async fn try_first_sign_in(
    people: &People,
    address: &str,
    found: &Found,
    config: &Config,
) -> anyhow::Result<String> {
    let Some(accounts) = people.accounts().filter(|accounts| !accounts.has_administrator()) else {
        return Ok(String::new());
    };
    let sign = recovery::sign_of_administrator(found, accounts.audit(), &config.history.history).await?;
    let link = match sign {
        Some(sign) if !config.recover => {
            return Ok(format!(
                "\n    sign in   no administrator can, and no link makes one: {sign}\n              {}",
                recovery::way_on(found.saved.as_ref())
            ));
        }
        Some(sign) => Some(accounts.recovery_link(&sign).await?),
        None => accounts.first_link().await?,
    };
    Ok(link.map_or_else(String::new, |link| {
        let link = format!("{address}/welcome/{}", link.text());
        format!("\n    sign in   {link}\n              (works once, within an hour, and makes the first administrator)")
    }))
}

/// The parts that run, in the two groups in which they stop.
#[derive(Default)]
struct Pipeline {
    /// The ingestor: it stops last, when nothing more can come.
    storing: Parts,
    stop_storing: CancellationToken,
    /// Everything else.
    rest: Parts,
    stop_rest: CancellationToken,
}

impl Pipeline {
    async fn start(
        &mut self,
        config: &Config,
        brokers: &Brokers,
        host: &HostName,
        (door, starting): (Door, Starting),
        address: &str,
    ) -> anyhow::Result<String> {
        let ingestors = brokers.of(Part::Ingestor);
        let client = patiently("the ingestor", || ingestors.connect("fleetps-ingestor")).await?;
        if let Brokers::Managed(server) = brokers {
            patiently("the start", || server.mend_buckets()).await?;
        }
        patiently("restoring", || async {
            fleetps_ingestor::backup::bring_back_state(&client, &config.data).await
        })
        .await?;
        let own = Some(host).filter(|_| config.broker.nats.is_none());
        let found = find_losses(&client, config, own).await?;
        let (settings, stop) = (config.history.clone(), self.stop_storing.clone());
        // Makes the streams, which the others wait for.
        run_part(&mut self.storing, "the ingestor", async move {
            Ok(fleetps_ingestor::run(client, settings, stop).await?)
        });
        if let Some(admission) = brokers.admission(config, host).await? {
            let stop = self.stop_rest.clone();
            run_part(&mut self.rest, "admission", async move {
                stop.run_until_cancelled(admission.run()).await;
                Ok(())
            });
        }
        let api = brokers.of(Part::Api);
        let client = patiently("the web server", || api.connect("fleetps")).await?;
        let people = people(config, &client, address).await?;
        let sign_in = first_sign_in(&people, address, &found, config).await?;
        let records = found.health();
        self.keep_state(client.clone(), config, records.clone());
        starting.end().await;
        let health = server::Health { broker: brokers.health(), records };
        let stop = self.stop_rest.clone();
        run_part(
            &mut self.rest,
            "the web server",
            server::run(door, client, health, config.history.clone(), people, stop),
        );
        if config.local.sample_this_host {
            let (settings, broker) = (config.sample.clone(), brokers.of(Part::Agent));
            let (host, stop) = (host.clone(), self.stop_rest.clone());
            run_part(&mut self.rest, "the agent", async move {
                while let Err(error) =
                    fleetps_agent::run(settings.clone(), broker.clone(), host.clone(), stop.clone()).await
                {
                    let error = anyhow::Error::from(error);
                    tracing::error!("this machine is not sampled: {error:#}; trying again");
                    if stop.run_until_cancelled(tokio::time::sleep(AGENT_AGAIN)).await.is_none() {
                        break;
                    }
                }
                Ok(())
            });
        }
        if config.local.demo_hosts > 0 {
            let broker = brokers.of(Part::Simulator);
            let settings = SimulationSettings {
                hosts: config.local.demo_hosts,
                processes: DEMO_PROCESSES,
                interval: config.sample.interval,
                ..SimulationSettings::default()
            };
            let stop = self.stop_rest.clone();
            run_part(&mut self.rest, "the simulated fleet", async move {
                fleetps_agent::simulate::run(settings, broker, stop).await?;
                Ok(())
            });
        }
        Ok(sign_in)
    }

    /// Saves the broker's records from now on, and takes the backups that are asked for.
    fn keep_state(&mut self, client: async_nats::Client, config: &Config, health: StateHealth) {
        let (data, stop) = (config.data.clone(), self.stop_rest.clone());
        let backups = Backups {
            settings: config.backup.clone(),
            data: data.clone(),
            settings_file: config.settings_file.clone(),
        };
        let backing_up = keep_backing_up(client.clone(), backups, health.clone(), stop.clone());
        run_part(&mut self.rest, "saving the broker's records", async move {
            tokio::join!(recovery::keep_saving(client, &data, &health, stop), backing_up);
            Ok(())
        });
    }

    /// Returns when `ended`, or when a part has ended by itself.
    async fn until(&mut self, ended: &CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = ended.cancelled() => Ok(()),
            Some(done) = self.rest.join_next() => done?,
            Some(done) = self.storing.join_next() => done?,
        }
    }

    /// Stops everything; an error is the ingestor's.
    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_rest.cancel();
        while self.rest.join_next().await.is_some() {}
        self.stop_storing.cancel();
        match self.storing.join_next().await {
            Some(done) => done?,
            None => Ok(()),
        }
    }
}

fn run_part(
    parts: &mut Parts,
    name: &'static str,
    part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) {
    parts.spawn(async move { part.await.with_context(|| format!("{name} failed")) });
}
