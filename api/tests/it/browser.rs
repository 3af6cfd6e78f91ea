//! In a real browser: Chromium, driven by chromedriver.
//!
//! Without them these tests say that they were skipped, past the test harness, and pass; with
//! `FLEETPS_REQUIRE_BROWSER=1` they fail instead.

use std::{
    io::{Read, Write},
    path::Path,
    process::Stdio,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, error::CmdError};
use fleetps_nats::snapshot::Process;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
};

use crate::support::{PATIENCE, Site, family, process};

/// A site, served, and a browser to look at it. The driver ends with this, and the browser with the driver.
pub struct Browser {
    pub site: Site,
    pub client: Client,
    pub address: String,
    session: String,
    driver_port: u16,
    _driver: Child,
}

/// Also when a test fails: a driver that is killed leaves its browser behind, so the browser is ended first.
impl Drop for Browser {
    fn drop(&mut self) {
        let Ok(mut socket) = std::net::TcpStream::connect(("127.0.0.1", self.driver_port)) else { return };
        let _ = socket.set_read_timeout(Some(PATIENCE));
        let end = format!("DELETE /session/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", self.session);
        let _ = socket.write_all(end.as_bytes());
        let _ = socket.read(&mut [0; 64]);
    }
}

impl Browser {
    /// `None` when there is no browser here, and none is required.
    pub async fn open(site: Site, scripts: bool) -> Option<Self> {
        let Some((driver, port)) = start_driver().await else {
            let required = std::env::var_os("FLEETPS_REQUIRE_BROWSER").is_some_and(|value| value == "1");
            assert!(
                !required,
                "chromium and chromedriver are required (FLEETPS_REQUIRE_BROWSER=1) but not on PATH"
            );
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED a browser test: chromium and chromedriver are not on PATH"
            );
            return None;
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = site.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let capabilities = json!({"goog:chromeOptions": options(scripts)}).as_object().unwrap().clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let session = client.session_id().await.unwrap().unwrap();
        Some(Self { site, client, address, session, driver_port: port, _driver: driver })
    }

    /// Looks at what is served at `address` from now on, and not at its own site.
    #[must_use]
    pub fn in_front_of(mut self, address: String) -> Self {
        self.address = address;
        self
    }

    pub async fn go(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.address)).await.unwrap();
    }

    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until a script's value is `wanted`. A script that fails is not there yet:
    /// between two pages it meets a document without its elements.
    pub async fn until(&self, script: &str, wanted: Value) {
        let mut last = String::new();
        let waiting = async {
            loop {
                match self.client.execute(script, Vec::new()).await {
                    Ok(value) if value == wanted => return,
                    Ok(value) => last = value.to_string(),
                    Err(error) => last = error.to_string(),
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{script} is {last}, not {wanted}");
        }
    }

    /// Clicks on the first element that `selector` finds, when it is there: a page may be on its way, or bring another one
    /// in its place.
    pub async fn click(&self, selector: &str) {
        let clicking = async {
            while self.try_click(selector).await.is_err() {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        let clicked = tokio::time::timeout(PATIENCE, clicking).await;
        assert!(clicked.is_ok(), "{selector} cannot be clicked");
    }

    async fn try_click(&self, selector: &str) -> Result<(), CmdError> {
        self.client.find(Locator::Css(selector)).await?.click().await
    }

    /// Waits until an attribute of the first element that `selector` finds is `wanted`; needs no scripts.
    pub async fn until_attribute(&self, selector: &str, name: &str, wanted: &str) {
        let mut last = None;
        let waiting = async {
            loop {
                if let Ok(element) = self.client.find(Locator::Css(selector)).await {
                    last = element.attr(name).await.ok().flatten();
                }
                if last.as_deref() == Some(wanted) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{name} of {selector} is {last:?}, not {wanted:?}");
        }
    }

    pub async fn until_live(&self) {
        self.until("return document.getElementById('live-dot').textContent", json!("live")).await;
    }

    pub async fn press(&self, key: &str) {
        let script = format!(
            "(document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent('keydown', {{key: {key:?}, bubbles: true}}))"
        );
        self.run(&script).await;
    }
}

/// With scripts, the browser is the headless shell where it is installed: the same engine without windows and profiles,
/// which starts with a quarter of the processor time. Only a profile can forbid scripts, so without them it is the whole
/// browser.
fn options(scripts: bool) -> Value {
    let mut arguments =
        vec!["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1440,900"];
    match headless_shell().filter(|_| scripts) {
        Some(shell) => json!({"args": arguments, "binary": shell}),
        None => {
            let content_setting = if scripts { 1 } else { 2 };
            arguments.push("--headless=new");
            json!({
                "args": arguments,
                "prefs": {"profile.managed_default_content_settings.javascript": content_setting},
            })
        }
    }
}

/// Where Debian puts it. On PATH there is only a script that starts it: the driver would end the script and leave the browser
/// running.
fn headless_shell() -> Option<&'static str> {
    Some("/usr/lib/chromium/chromium-headless-shell").filter(|path| Path::new(path).is_file())
}

/// It takes a port of one kind of address and then wants the same of the other, which another program may have by then:
/// tests of connections have thousands. It ends, and is started again.
async fn start_driver() -> Option<(Child, u16)> {
    for _ in 0..20 {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut driver = command.spawn().ok()?;
        let mut lines = BufReader::new(driver.stdout.take()?).lines();
        if let Ok(Some(port)) = tokio::time::timeout(PATIENCE, port_said_in(&mut lines)).await {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some((driver, port));
        }
    }
    None
}

async fn port_said_in(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<u16> {
    while let Some(line) = lines.next_line().await.ok()? {
        if let Some((_, port)) = line.split_once("successfully on port ") {
            return port.trim_end_matches('.').parse().ok();
        }
    }
    None
}

const PIDS: &str = "return [...document.querySelectorAll('#processes tbody tr:not(.gone) td.pid')].map((cell) => cell.textContent).join(' ')";

#[tokio::test]
async fn a_live_update_changes_cells_brings_rows_and_strikes_gone_ones_through() {
    let Some(browser) = Browser::open(Site::with("web-1", family()), true).await else { return };
    browser.go("/hosts/web-1").await;
    browser.until_live().await;
    browser.run("window.kept = document.querySelector('tr[id^=p11-]')").await;
    let mut changed = family();
    changed[2].cpu_percent = Some(77.7);
    changed.remove(4);
    changed.push(Process { cpu_percent: Some(3.0), ..process(30, 1, "fresh") });
    browser.site.tell("web-1", changed.clone());
    browser.until("return document.querySelector('tr[id^=p11-] td.cpu').textContent", json!("77.7")).await;
    browser.until(PIDS, json!("1 10 11 12 30")).await;
    browser.until("return document.querySelector('tr.gone td.pid').textContent", json!("20")).await;
    browser.until("return document.querySelector('tr.fresh td.pid').textContent", json!("30")).await;
    browser.until("return window.kept.isConnected", json!(true)).await;
    changed[2].cpu_percent = Some(5.0);
    browser.site.tell("web-1", changed);
    browser.until("return document.querySelectorAll('tr.gone, tr.fresh').length", json!(0)).await;
}

#[tokio::test]
async fn rows_stay_where_they_are_while_frozen_and_move_afterwards() {
    let Some(browser) = Browser::open(Site::with("web-1", family()), true).await else { return };
    browser.go("/hosts/web-1").await;
    browser.until_live().await;
    browser.until(PIDS, json!("1 10 11 12 20")).await;
    browser.press("f").await;
    let mut changed = family();
    changed[4].cpu_percent = Some(90.0);
    browser.site.tell("web-1", changed);
    browser.until("return document.querySelector('tr[id^=p20-] td.cpu').textContent", json!("90.0")).await;
    browser.until(PIDS, json!("1 10 11 12 20")).await;
    browser.press("f").await;
    browser.until(PIDS, json!("1 20 10 11 12")).await;
}

#[tokio::test]
async fn the_tree_opens_and_closes_by_mouse_and_by_keyboard() {
    let Some(browser) = Browser::open(Site::with("web-1", family()), true).await else { return };
    browser.go("/hosts/web-1").await;
    browser.until_live().await;
    browser.run("window.samePage = true").await;
    let twist = browser.client.find(Locator::Css("tr[id^=p10-] .twist")).await.unwrap();
    twist.click().await.unwrap();
    browser.until(PIDS, json!("1 10 20")).await;
    browser.until("return document.activeElement.id.split('-')[0]", json!("p10")).await;
    browser.press("ArrowRight").await;
    browser.until(PIDS, json!("1 10 11 12 20")).await;
    browser.press("j").await;
    browser.until("return document.activeElement.id.split('-')[0]", json!("p11")).await;
    browser.press("ArrowLeft").await;
    browser.until("return document.activeElement.id.split('-')[0]", json!("p10")).await;
    browser.press("ArrowLeft").await;
    browser.until(PIDS, json!("1 10 20")).await;
    browser.until("return window.samePage", json!(true)).await;
}

#[tokio::test]
async fn typing_a_filter_keeps_ancestors_and_the_caret() {
    let Some(browser) = Browser::open(Site::with("web-1", family()), true).await else { return };
    browser.go("/hosts/web-1").await;
    browser.until_live().await;
    browser.press("/").await;
    browser.client.active_element().await.unwrap().send_keys("worker").await.unwrap();
    browser.until(PIDS, json!("1 10 11 12")).await;
    browser.until("return document.querySelectorAll('tr.dim').length", json!(2)).await;
    browser.until("return location.search", json!("?q=worker")).await;
    browser
        .until("return document.activeElement.id + document.activeElement.selectionStart", json!("q6"))
        .await;
}

#[tokio::test]
async fn the_back_button_restores_the_view() {
    let Some(browser) = Browser::open(Site::with("web-1", family()), true).await else { return };
    browser.go("/").await;
    browser.until_live().await;
    browser.run("window.samePage = true").await;
    browser.click("td.host a").await;
    browser.until(PIDS, json!("1 10 11 12 20")).await;
    browser.click("[data-view=Flat]").await;
    browser.until(PIDS, json!("11 1 10 12 20")).await;
    browser.client.back().await.unwrap();
    browser.until(PIDS, json!("1 10 11 12 20")).await;
    browser.client.back().await.unwrap();
    browser.until("return document.querySelectorAll('#hosts tbody tr').length", json!(1)).await;
    browser.until("return window.samePage", json!(true)).await;
}

#[tokio::test]
async fn everything_works_without_scripts() {
    let Some(browser) = Browser::open(Site::with("web-1", family()), false).await else { return };
    browser.go("/").await;
    browser.click("td.host a").await;
    browser
        .client
        .wait()
        .for_element(Locator::Css("tr[id^=p10-] .twist"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    browser.client.wait().for_element(Locator::Css("tr[id^=p10-][aria-expanded=false]")).await.unwrap();
    assert_eq!(browser.client.find_all(Locator::Css("#processes tbody tr")).await.unwrap().len(), 3);
    let filter = browser.client.find(Locator::Id("q")).await.unwrap();
    filter.send_keys("sshd").await.unwrap();
    browser.click(".filter button").await;
    browser.client.wait().for_element(Locator::Css("tr.dim")).await.unwrap();
    let url = browser.client.current_url().await.unwrap();
    assert!(
        url.query().is_some_and(|query| query.contains("q=sshd") && query.contains("closed=10")),
        "{url}"
    );
    browser.click("#columns summary").await;
    browser.click("#columns input[value=parent]").await;
    browser.click("#columns button").await;
    browser.client.wait().for_element(Locator::Css("th.parent")).await.unwrap();
}

#[tokio::test]
async fn a_process_that_is_called_like_markup_is_text_and_nothing_runs() {
    let name = "<img src=x onerror=\"window.ran=1\">";
    let site = Site::with("web-1", vec![process(1, 0, "init"), process(2, 1, name)]);
    let Some(browser) = Browser::open(site, true).await else { return };
    browser.go("/hosts/web-1").await;
    browser.until_live().await;
    let mut more = vec![process(1, 0, "init"), process(2, 1, name)];
    more.push(process(3, 1, "</td><script>window.ran=1</script>"));
    more[1].user_name = Some(name.to_owned());
    browser.site.tell("web-1", more);
    browser.until(PIDS, json!("1 2 3")).await;
    browser.until("return document.querySelector('tr[id^=p2-] td.user').textContent", json!(name)).await;
    browser.until("return document.querySelector('tr[id^=p2-] td.name .t').textContent", json!(name)).await;
    assert_eq!(browser.run("return [window.ran ?? null, document.images.length]").await, json!([null, 0]));
}
