//! The WebSocket from outside: what each topic sends, at a real listener.

use std::{net::SocketAddr, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
};
use fleetps::testing::{
    auth::{Addresses, Grant, Person, Principal},
    connections::{Connections, Limits, serve},
    routes,
    tls::TlsListener,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::support::{PATIENCE, Site, family, process};

/// A site at a real address. A request says in the header `x-person` who sends it, as `NAME GRANT …`.
pub struct Front {
    pub site: Site,
    pub connections: Connections,
    pub address: SocketAddr,
}

impl Front {
    pub async fn new(site: Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // This process has the descriptors of all tests open.
        let limits = Limits { highest_descriptor: u64::MAX, ..Limits::of(Some(20_000)) };
        let connections = Connections::new(limits, Addresses::default());
        let router = routes::router(site.shared.clone()).layer(middleware::from_fn(as_said));
        let shutdown = site.shared.shutdown.clone();
        tokio::spawn(serve(TlsListener::plaintext(listener), router, connections.clone(), shutdown));
        Self { site, connections, address }
    }

    /// A socket of a person; where there is none, of whoever the credentials name.
    pub async fn open(&self, person: &str) -> Client {
        let headers: &[_] = if person.is_empty() { &[] } else { &[("x-person", person)] };
        Client::open(self.address, headers).await.unwrap()
    }

    pub async fn until(&self, what: &str, is_so: impl Fn(&Site) -> bool) {
        let waiting = async {
            while !is_so(&self.site) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
    }
}

async fn as_said(mut request: Request, next: Next) -> axum::response::Response {
    if let Some(said) = request.headers().get("x-person") {
        let (name, grants) = said.to_str().unwrap().split_once(' ').unwrap();
        let grants: Vec<Grant> = grants.split(' ').map(|grant| grant.parse().unwrap()).collect();
        let person =
            Person { name: name.to_owned(), grants, ..Person::nobody_in_particular([127, 0, 0, 1].into()) };
        request.extensions_mut().insert(Principal::User(person));
    }
    next.run(request).await
}

/// A client of the WebSocket.
pub struct Client {
    pub stream: WebSocketStream<TcpStream>,
    pub headers: HeaderMap,
}

impl Client {
    /// Opens a socket; the status and body of the answer when it is refused.
    pub async fn open(address: SocketAddr, headers: &[(&str, &str)]) -> Result<Self, (StatusCode, String)> {
        Self::open_on(TcpStream::connect(address).await.unwrap(), address, headers).await
    }

    pub async fn open_on(
        socket: TcpStream,
        address: SocketAddr,
        headers: &[(&str, &str)],
    ) -> Result<Self, (StatusCode, String)> {
        let mut request = format!("ws://{address}/api/v1/ws").into_client_request().unwrap();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            let value = value.parse().unwrap();
            match name == header::HOST {
                true => request.headers_mut().insert(name, value).is_some(),
                false => request.headers_mut().append(name, value),
            };
        }
        match client_async(request, socket).await {
            Ok((stream, answer)) => Ok(Self { stream, headers: answer.headers().clone() }),
            Err(Error::Http(answer)) => {
                let (head, body) = answer.into_parts();
                Err((head.status, String::from_utf8(body.unwrap_or_default()).unwrap()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn say(&mut self, message: Value) {
        self.stream.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        match self.message().await {
            Ok(message) => message,
            Err(close) => panic!("closed: {close:?}"),
        }
    }

    /// The next message, or the close.
    pub async fn message(&mut self) -> Result<Value, Option<CloseFrame>> {
        let reading = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(close))) => return Err(close),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(None),
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("nothing came")
    }

    /// The code of the close, after messages that are not looked at.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Err(close) = self.message().await {
                return close.map(|close| CloseCode::into(close.code));
            }
        }
    }

    /// Nothing more is on its way: what is asked now is answered next.
    pub async fn nothing_came(&mut self) {
        self.say(json!({"unwatch": "host", "host": "marker"})).await;
        let answer = self.next().await;
        assert_eq!(answer["type"], "error", "{answer}");
    }
}

pub fn names(hosts: &Value) -> Vec<&str> {
    hosts
        .as_array()
        .unwrap()
        .iter()
        .map(|host| host["host"].as_str().unwrap_or_else(|| host.as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_sent_as_the_json_route_has_it_and_then_with_every_sample() {
    let front = Front::new(Site::with("web-1", family())).await;
    let mut client = front.open("").await;
    client.say(json!({"watch": "host", "host": "web-1"})).await;
    let first = client.next().await;
    let head = (&first["topic"], &first["host"], &first["type"], &first["skipped"]);
    assert_eq!(head, (&json!("host"), &json!("web-1"), &json!("snapshot"), &json!(0)));
    let mut list = front.site.json("/api/v1/hosts/web-1/processes?sort=pid").await;
    let mut sent = first["data"].clone();
    for listed in [&mut list, &mut sent] {
        listed["processes"].as_array_mut().unwrap().sort_by_key(|process| process["pid"].as_u64());
    }
    for part in ["processes", "sums", "captured_at", "processes_left_out", "limited_view"] {
        assert_eq!(sent[part], list[part], "{part}");
    }
    let line = &front.site.json("/api/v1/hosts").await["hosts"][0];
    for (field, value) in line.as_object().unwrap() {
        assert_eq!(&sent[field], value, "{field}");
    }
    front.site.tell("web-1", vec![process(1, 0, "init")]);
    let second = client.next().await;
    assert_eq!(second["data"]["processes"].as_array().unwrap().len(), 1);
    client.say(json!({"unwatch": "host", "host": "web-1"})).await;
    assert_eq!(client.next().await, json!({"topic": "host", "host": "web-1", "type": "end"}));
    front.site.tell("web-1", family());
    client.nothing_came().await;
    drop(client);
    let is_closed = |site: &Site| site.shared.sockets.figures().closed.contains_key("by-client");
    front.until("the socket has ended", is_closed).await;
    let metrics = front.site.get("/metrics").await.body;
    for series in [
        "topics 0",
        "opened_total 1",
        "messages_total 4",
        "skipped_total 0",
        "gaps_total 0",
        "closed_total{reason=\"by-client\"} 1",
    ] {
        assert!(metrics.contains(&format!("\nfleetps_websocket_{series}\n")), "{series}: {metrics}");
    }
    assert!(!metrics.contains("\nfleetps_websocket_bytes_total 0\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_is_sent_whole_and_then_as_what_changes_of_it() {
    let front = Front::new(Site::with("web-1", family())).await;
    front.site.tell("web-2", family());
    let mut client = front.open("").await;
    client.say(json!({"watch": "fleet"})).await;
    let first = client.next().await;
    assert_eq!((&first["topic"], &first["type"]), (&json!("fleet"), &json!("snapshot")));
    assert_eq!(first["data"], front.site.json("/api/v1/hosts").await);
    front.site.tell("web-2", vec![process(1, 0, "init")]);
    let patch = client.next().await;
    assert_eq!((&patch["type"], names(&patch["data"]["hosts"])), (&json!("patch"), vec!["web-2"]));
    assert_eq!(patch["data"]["hosts"][0], front.site.json("/api/v1/hosts").await["hosts"][1]);
    assert_eq!(patch["data"]["gone"], json!([]));
    front.site.shared.fleet.leave_out(
        fleetps::testing::live::steady_us(),
        Duration::from_secs(86_400),
        |host| host.as_str() == "web-1",
    );
    let patch = client.next().await;
    assert_eq!((names(&patch["data"]["gone"]), names(&patch["data"]["hosts"])), (vec!["web-1"], vec![]));
    assert_eq!(front.site.shared.sockets.figures().topics, 1);
}
