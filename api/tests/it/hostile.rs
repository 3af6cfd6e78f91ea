//! Hostile strings from hosts, which must do no harm.

use fleetps_nats::snapshot::Process;

use crate::support::{Site, process, snapshot, texts};

const NAMES: [&str; 16] = [
    "<img src=x onerror=alert(1)>",
    "</td></tr></table><script>alert(1)</script>",
    "\"><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "{{7*7}}${7*7}",
    "javascript:alert(1)",
    "a\0b\r\nc\x1b[31m",
    "\u{202e}exe.gpj",
    "\u{200b}\u{feff}",
    "=cmd|' /C calc'!A0",
    "'; DROP TABLE process; --",
    "../../etc/passwd",
    "]]>",
    "data: x\n\nevent: y",
    "",
];

fn processes() -> Vec<Process> {
    let long = format!("{}<script>", "x".repeat(4_000));
    let hostile = |(pid, name): (u32, &str)| Process {
        command_line: Some(name.to_owned()),
        user_name: Some(name.to_owned()),
        unit: Some(name.to_owned()),
        executable: Some(name.to_owned()),
        ..process(pid, 0, name)
    };
    let mut processes: Vec<Process> = (1..).zip(NAMES).map(hostile).collect();
    processes.push(process(99, 0, &long));
    processes
}

#[tokio::test]
async fn hostile_strings_are_text_on_every_page_and_exact_in_json() {
    let site = Site::new();
    let mut hostile = snapshot(1, processes());
    hostile.host_info.os = Some(NAMES[0].to_owned());
    hostile.os_host_name = NAMES[1].to_owned();
    site.tell_snapshot("bad", hostile, fleetps::testing::live::now_us());
    let clean = Site::with("bad", vec![process(1, 0, "init")]);
    for url in [
        "/",
        "/hosts/bad",
        "/hosts/bad?view=flat&cols=user,unit,executable,command",
        "/hosts/bad?view=program",
        "/hosts/bad?view=user&q=%3Cscript%3E",
        "/hosts/bad/system",
    ] {
        let html = site.page(url).await;
        let scripts = texts(&clean.page(url).await, "script").len();
        assert_eq!(texts(&html, "script").len(), scripts, "{url}");
        assert!(texts(&html, "img, svg:not(.spark), b:not(.brand b):not(.figure b)").is_empty(), "{url}");
        let raw = site.get(url).await.body;
        let hidden = raw.chars().find(
            |c| matches!(c, '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{200b}' | '\u{202e}' | '\u{feff}'),
        );
        assert_eq!(hidden, None, "{url}");
    }
    let flat = site.page("/hosts/bad?view=flat&sort=pid").await;
    assert_eq!(texts(&flat, "#processes td.name")[0], NAMES[0]);
    let listed = site.json("/api/v1/hosts/bad/processes?sort=pid").await;
    for (index, name) in NAMES.iter().enumerate() {
        assert_eq!(listed["processes"][index]["name"], *name);
    }
}

#[tokio::test]
async fn an_address_cannot_put_markup_into_a_page() {
    let site = Site::with("web-1", vec![process(1, 0, "init")]);
    for url in
        ["/%3Cimg%20src=x%3E", "/hosts/%3Cimg%3E", "/hosts/web-1?q=%22%3E%3Cimg%3E", "/?sort=%3Cimg%3E"]
    {
        let html = scraper::Html::parse_document(&site.get(url).await.body);
        assert!(texts(&html, "img").is_empty(), "{url}");
    }
}
