//! Clients that send what no client should.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::{
    support::{Site, family},
    websocket::{Client, Front},
};

fn frame(bytes: Vec<u8>, kind: Data, is_last: bool) -> Message {
    Message::Frame(Frame::message(bytes, OpCode::Data(kind), is_last))
}

/// The server goes on.
async fn is_well(front: &Front) {
    let mut client = front.open("").await;
    client.say(json!({"watch": "host", "host": "web-1"})).await;
    assert_eq!(client.next().await["type"], "snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_answered_with_an_error_and_the_socket_goes_on() {
    let front = Front::new(Site::with("web-1", family())).await;
    let mut client = front.open("").await;
    let deep = format!("{}1{}", r#"{"watch":"#.repeat(1_000), "}".repeat(1_000));
    let lists = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for bad in [
        "",
        "null",
        "{",
        &deep,
        &lists,
        r#"{"watch":"alerts"}"#,
        r#"{"watch":"fleet","surprise":1}"#,
        r#"{"watch":"host","host":"<script>alert(1)</script>"}"#,
        r#"{"watch":"host","host":"\u0000\u202e"}"#,
        r#"{"watch":"fleet","since":"9999999999999999999999-1"}"#,
        &format!(r#"{{"watch":"{}"}}"#, "x".repeat(60_000)),
    ] {
        client.stream.send(Message::text(bad.to_owned())).await.unwrap();
        let answer = client.next().await;
        assert_eq!(answer["type"], "error", "{answer}");
        assert!(answer["hint"].is_string() && answer.to_string().len() < 2_000, "{answer}");
    }
    client.stream.send(Message::binary(vec![0; 100])).await.unwrap();
    assert_eq!(client.next().await["type"], "error");
    // In parts, with a ping between them.
    client.stream.feed(frame(b"{\"watch\":".to_vec(), Data::Text, false)).await.unwrap();
    client.stream.feed(Message::Ping(Vec::new().into())).await.unwrap();
    client.stream.feed(frame(Vec::new(), Data::Continue, false)).await.unwrap();
    client.stream.send(frame(b"\"fleet\"}".to_vec(), Data::Continue, true)).await.unwrap();
    assert_eq!(client.next().await["type"], "snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_protocol_or_its_limits_closes_the_socket_and_no_other() {
    let front = Front::new(Site::with("web-1", family())).await;
    let mut other = front.open("").await;
    other.say(json!({"watch": "host", "host": "web-1"})).await;
    other.next().await;
    let endless = (0..100)
        .map(|part| frame(vec![b' '; 1_000], if part == 0 { Data::Text } else { Data::Continue }, false));
    let cases: Vec<(Vec<Message>, u16)> = vec![
        (vec![Message::text("x".repeat((64 << 10) + 1))], 1009),
        (endless.collect(), 1009),
        (vec![frame(vec![0xff, 0xfe], Data::Text, true)], 1007),
        (vec![frame(b"a".to_vec(), Data::Continue, true)], 1002),
        (vec![frame(b"a".to_vec(), Data::Text, false), frame(b"b".to_vec(), Data::Text, false)], 1002),
        (vec![frame(b"a".to_vec(), Data::Reserved(5), true)], 1002),
    ];
    for (messages, code) in cases {
        let mut client = front.open("").await;
        for message in messages {
            // It may be closed by then.
            let _ = client.stream.feed(message).await;
        }
        let _ = client.stream.flush().await;
        assert_eq!(client.closed().await, Some(code));
    }
    // A frame that says it is longer than any memory, and one that is not masked.
    for bytes in
        [[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4].as_slice(), b"\x81\x02{}"]
    {
        let mut client = front.open("").await;
        let socket = client.stream.get_mut();
        socket.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert!(rest.len() > 2 && rest[0] == 0x88, "{rest:?}");
    }
    front.site.tell("web-1", family());
    assert_eq!(other.next().await["type"], "snapshot");
    is_well(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_sockets_are_refused_in_words() {
    let front = Front::new(Site::with("web-1", family())).await;
    for head in [
        "connection: upgrade\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 8\r\nsec-websocket-key: x\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
        "",
    ] {
        let mut socket = tokio::net::TcpStream::connect(front.address).await.unwrap();
        let request = format!("GET /api/v1/ws HTTP/1.1\r\nhost: localhost\r\n{head}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4_096];
        let read = socket.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("no WebSocket"), "{answer}");
    }
    assert_eq!(front.site.shared.sockets.figures().opened, 0);
}

/// Time is paused: what a flood has to wait for passes at once, and is counted.
#[tokio::test(start_paused = true)]
async fn a_flood_of_messages_waits() {
    let front = Front::new(Site::with("web-1", family())).await;
    let mut client = front.open("").await;
    let begun = tokio::time::Instant::now();
    for _ in 0..464 {
        client.stream.feed(Message::text("{}")).await.unwrap();
    }
    client.stream.flush().await.unwrap();
    for _ in 0..464 {
        assert_eq!(client.next().await["type"], "error");
    }
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(19), "{waited:?}");
    let mut pings = front.open("").await;
    let begun = tokio::time::Instant::now();
    for _ in 0..464 {
        pings.stream.feed(Message::Ping(Vec::new().into())).await.unwrap();
    }
    pings.say(json!({"watch": "fleet"})).await;
    pings.next().await;
    assert!(begun.elapsed() >= Duration::from_secs(19), "pings are free");
}

#[tokio::test(start_paused = true)]
async fn a_socket_without_a_topic_ends_and_one_with_a_topic_stays_as_long_as_its_client_answers() {
    let front = Front::new(Site::with("web-1", family())).await;
    let mut idle = front.open("").await;
    let ending = async {
        loop {
            if let Message::Close(close) = idle.stream.next().await.unwrap().unwrap() {
                return u16::from(close.unwrap().code);
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(90), ending).await, Ok(4408));
    let mut client = front.open("").await;
    client.say(json!({"watch": "host", "host": "web-1"})).await;
    client.next().await;
    let waiting = tokio::time::timeout(Duration::from_secs(40), client.message());
    assert!(waiting.await.is_err(), "it answers pings, and stays");
    // It no longer reads, so it answers nothing; its system still takes what comes, also while that is a sample every 5 s.
    let looks = std::cell::Cell::new(0);
    front
        .until("it is still there", |site| {
            looks.set(looks.get() + 1);
            if looks.get() % 500 == 0 {
                site.tell("web-1", family());
            }
            site.shared.sockets.figures().closed.contains_key("no-pong")
        })
        .await;
    drop(client);
    let _ = Client::open(front.address, &[]).await.unwrap();
}
