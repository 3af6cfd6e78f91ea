//! Temporary: the web server alone, for development.

use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let url = std::env::var("FLEETPS_NATS").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let client = fleetps_nats::connection::Broker { url, nkey_file: None }.connect("fleetps web").await?;
    fleetps_nats::stream::ensure(&async_nats::jetstream::new(client.clone()), 1 << 30).await?;
    let address = std::env::var("FLEETPS_LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let at_signal = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        at_signal.cancel();
    });
    fleetps::web::run(listener, client, shutdown).await
}
