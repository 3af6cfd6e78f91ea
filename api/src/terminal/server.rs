//! Asking the running web server.

use std::{path::Path, time::Duration};

use anyhow::Context;
use clap::Args;
use fleetps_nats::model::host::says_processes_are_hidden;
use serde_json::Value;
use ureq::{
    config::RedirectAuthHeaders,
    http::{Method, Request},
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::field::rows;
use crate::{
    auth::{Local, Secret, tokens},
    config::Config,
    display::visible,
    tls::TlsSettings,
    url::Url,
    view::omitted,
};

/// The server that is asked where none is named and none was started on this machine.
const USUAL: &str = "http://127.0.0.1:8080";
/// The longest that an answer may take: a top over the whole history, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer: 20,000 processes with command lines of 4 KiB.
const MAX_ANSWER_BYTES: u64 = 128 << 20;

/// Which server is asked, and how its answer is written.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The web server of a running `fleetps` [default: the one that runs in the data folder of this machine]
    #[arg(long, env = "FLEETPS_SERVER", value_name = "URL")]
    server: Option<String>,
    /// An API token for it, made on the page /account; the server of this machine needs none
    #[arg(long, env = "FLEETPS_TOKEN", hide_env_values = true, value_parser = tokens::parse)]
    token: Option<Secret>,
    /// Write the server's JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl ServerArgs {
    /// Asks for the JSON at `path`, and writes it: as it is with `--json`, otherwise as `table` makes of it.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses.
    pub(super) fn show(
        &self,
        config: &Config,
        path: &Url,
        parameters: &[(&str, String)],
        table: impl FnOnce(&Value) -> String,
    ) -> anyhow::Result<()> {
        let given = parameters.iter().map(|(name, value)| (*name, value.as_str()));
        let path = path.clone().with(&given.collect::<Vec<_>>());
        self.show_answer(config, (Method::GET, &path, None), table)
    }

    /// Asks for a change, or for an answer that takes a body, and writes the answer in the same way.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses.
    pub(super) fn show_answer(
        &self,
        config: &Config,
        (method, path, body): (Method, &Url, Option<Value>),
        table: impl FnOnce(&Value) -> String,
    ) -> anyhow::Result<()> {
        let answer = self.answer(config, (method, path, body))?;
        for line in reservations(&answer) {
            fleetps_nats::errln!("{}", visible(&line));
        }
        self.write(&answer, table)
    }

    /// The answer of the server.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses.
    pub(super) fn answer(
        &self,
        config: &Config,
        (method, path, body): (Method, &Url, Option<Value>),
    ) -> anyhow::Result<Value> {
        self.server(&config.data).ask(method, path, body, roots(config)?)
    }

    /// Writes an answer: as it is with `--json`, otherwise as `table` makes of it.
    pub(super) fn write(&self, answer: &Value, table: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        match self.json {
            true => super::write(&super::json(answer)),
            false => super::write(&table(answer)),
        }
    }

    /// The token of the data folder goes to the address that stands beside it and to no other.
    fn server(&self, data: &Path) -> Local {
        let here = Local::read(data);
        let local_token = || {
            let here = here
                .as_ref()
                .filter(|here| self.server.as_ref().is_none_or(|server| *server == here.server))?;
            here.token.clone()
        };
        let token = self.token.as_ref().map(tokens::text).or_else(local_token);
        let server = self.server.clone().or_else(|| here.as_ref().map(|here| here.server.clone()));
        Local { server: server.unwrap_or_else(|| USUAL.to_owned()), token }
    }
}

impl Local {
    fn ask(
        &self,
        method: Method,
        path: &Url,
        body: Option<Value>,
        roots: RootCerts,
    ) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.server.trim_end_matches('/'));
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // The server is this machine's, or at the other end of a tunnel that begins here.
            .proxy(None)
            // A process is found at an address with its start.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let agent = ureq::Agent::new_with_config(config);
        let asked = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                agent.run(request.body(body.to_string())?)
            }
            None => agent.run(request.body(())?),
        };
        let mut answer = asked.with_context(|| {
            format!(
                "cannot reach fleetps at {}; start it with `fleetps`, or name another one with --server URL",
                self.server
            )
        })?;
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string();
        let body = body.with_context(|| format!("the answer of {url} broke off"))?;
        let status = answer.status();
        let value: Value = serde_json::from_str(&body)
            .with_context(|| format!("{url} answered {status} and no JSON; is it a fleetps?"))?;
        let text = |key: &str| visible(value[key].as_str().unwrap_or_default()).into_owned();
        anyhow::ensure!(status.is_success(), "{}; {}", text("error"), text("hint"));
        Ok(value)
    }
}

/// The authority that must have signed the server's certificate.
fn roots(config: &Config) -> anyhow::Result<RootCerts> {
    let Some(file) = config.wire.ca.clone().or_else(|| TlsSettings::authority(&config.data)) else {
        return Ok(RootCerts::WebPki);
    };
    let pem =
        std::fs::read(&file).with_context(|| format!("cannot read the authority {}", file.display()))?;
    let certificate = Certificate::from_pem(&pem)
        .with_context(|| format!("there is no certificate in {}; expected PEM", file.display()))?;
    Ok(RootCerts::new_with_certs(&[certificate]))
}

/// The limits of an answer about the past, for the reader of the table.
fn reservations(answer: &Value) -> Vec<String> {
    let missing: Vec<_> = rows(answer, "incomplete").iter().filter_map(Value::as_str).collect();
    let missing = (!missing.is_empty()).then(|| {
        format!("Files of the history that cannot be read are missing here: {}", missing.join(", "))
    });
    let coarse = match answer["resolution"].as_str() {
        Some("minutes") => Some("Of this time one sample a minute is kept.".to_owned()),
        Some("hours") => Some("Of this time the sums of every hour are kept.".to_owned()),
        _ => None,
    };
    let limits = answer["limited_view"].as_str().filter(|limits| says_processes_are_hidden(limits));
    let limits = limits.map(|limits| format!("The agent {limits}."));
    missing.into_iter().chain(coarse).chain(omitted(answer)).chain(limits).collect()
}

/// What a host left out of its sample, or shortened in it.
fn omitted(answer: &Value) -> Option<String> {
    let number = |name: &str| answer[name].as_u64().unwrap_or_default();
    let words = omitted::words(number("processes_left_out"), number("texts_shortened"));
    (!words.is_empty()).then(|| format!("Of this sample {words}."))
}
