//! The web server alone, for a broker that runs elsewhere.

use anyhow::Context;
use fleetps_nats::{
    admission::AdmissionService, output, patience::patiently, server::ServerHealth, service_manager,
};
use tokio_util::sync::CancellationToken;

use super::{
    auth::{first_sign_in, people},
    losses::find_losses,
    web::dispatching,
};
use crate::{config::Config, legacy::LegacyDoor, recovery, server, starting::listen};

/// Serves pages and JSON for a broker that runs elsewhere, until `ended`.
///
/// # Errors
/// When no broker is named or it cannot be reached, or the address cannot be listened on.
pub(crate) async fn serve(config: Config, ended: CancellationToken) -> anyhow::Result<()> {
    let broker = config
        .given_broker()
        .context("`fleetps serve` needs a broker: name it with --nats nats://HOST:4222")?;
    fleetps_ingestor::check_library()?;
    let Some(listening) = ended.run_until_cancelled(listen(&config)).await else { return Ok(()) };
    let (doors, address) = listening?;
    let metrics = doors.metrics_line();
    let (doors, starting) = doors.open(&config, ServerHealth::default());
    service_manager::ready();
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
    let legacy = LegacyDoor::open(&config.legacy, &config.tls, &config.data).await?;
    let dispatch = Some(dispatching(&config, &address));
    let (control_key, commands_need_reason) = (config.control_key()?, config.control.needs_reason());
    let doors = server::Doors { legacy, control_key, commands_need_reason, dispatch, ..doors };
    output::announce(format_args!("fleetps serves {address}{sign_in}{metrics}\nstop it with Ctrl-C\n"));
    let stop_saving = ended.child_token();
    let saving = recovery::keep_saving(client.clone(), &config.data, &health, stop_saving.clone());
    let of_broker = server::Health { broker: ServerHealth::default(), records: health.clone() };
    let serving = async {
        let Config { history, questions, .. } = config;
        let served = server::run(doors, client, of_broker, history, questions, people, ended).await;
        // Also where serving failed: the program then ends.
        stop_saving.cancel();
        served
    };
    tokio::join!(serving, saving).0
}
