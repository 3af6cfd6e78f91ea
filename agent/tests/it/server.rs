//! The publisher through a web server that answers everything that one, or a proxy before it, may answer.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use fleetps_agent::{
    publish::{Outbox, Publisher},
    server::{Server, ServerError, Session},
};
use fleetps_nats::{
    TlsOptions, key,
    signed::{self, SignedRequest},
};
use tokio_util::sync::CancellationToken;

use crate::support::{host, until, within};

/// What came, as it was signed, with the sequence and what it says came last.
type Came = Arc<Mutex<Vec<(String, Option<(u64, u64)>)>>>;

/// A server that gives these answers (status and body) to posts of snapshots, one after the other, and admits everybody.
fn fake(answers: &[(u16, &str)]) -> (String, Came) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers: VecDeque<_> = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
    let (answers, came) = (Arc::new(Mutex::new(answers)), Came::default());
    let seen = Arc::clone(&came);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
            thread::spawn(move || _ = converse(socket.unwrap(), &answers, &seen));
        }
    });
    (url, came)
}

/// Answers until the client closes the connection.
fn converse(
    socket: TcpStream,
    answers: &Mutex<VecDeque<(u16, String)>>,
    came: &Came,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut reader = BufReader::new(socket);
    loop {
        let head: Vec<String> =
            reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let path = head.first().and_then(|first| first.split(' ').nth(1)).ok_or("closed")?.to_owned();
        let header = |name: &str| {
            let known = |line: &String| {
                line.split_once(": ").filter(|(known, _)| known.eq_ignore_ascii_case(name)).is_some()
            };
            head.iter().find(|line| known(line)).and_then(|line| Some(line.split_once(": ")?.1))
        };
        let mut body = vec![0; header("content-length").ok_or("no length")?.parse()?];
        reader.read_exact(&mut body)?;
        let signed = SignedRequest::read(&path, header)?;
        signed.verify(header(signed::SIGNATURE))?;
        assert_eq!(signed.body, signed::body_hash(&body));
        came.lock().unwrap().push((path.clone(), signed.label.map(|label| (label.sequence, label.after))));
        let (status, said) = match path == signed::INGEST {
            true => answers.lock().unwrap().pop_front().unwrap_or((202, r#"{"sequence":1}"#.to_owned())),
            false => (200, r#"{"state":"admitted"}"#.to_owned()),
        };
        write!(reader.get_mut(), "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{said}", said.len())?;
    }
}

fn session(url: &str, folder: &tempfile::TempDir) -> Session {
    let file = folder.path().join("host.nk");
    key::make(&file).unwrap();
    let server = Server { url: url.to_owned(), nkey_file: Some(file), wire: TlsOptions::default() };
    server.session(&host()).unwrap()
}

#[tokio::test]
async fn what_the_server_or_a_proxy_answers_decides_what_becomes_of_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let page = "<html>Bad gateway</html>";
    let (url, came) = fake(&[
        (502, page),
        (503, r#"{"error":"the stream does not acknowledge just now"}"#),
        (404, page),
        (302, ""),
        (401, r#"{"error":"this key does not speak for this host"}"#),
        (409, r#"{"after":9}"#),
        (202, r#"{"sequence":12,"duplicate":false,"rotate":false}"#),
        (422, r#"{"error":"the message is not zstd","reason":"not_zstd"}"#),
        (200, page),
        (202, r#"{"sequence":13,"duplicate":true,"rotate":false}"#),
    ]);
    let outbox = Outbox::new(1 << 20);
    let shutdown = CancellationToken::new();
    let publisher = Publisher::through_server(session(&url, &folder), "run".to_owned(), outbox.clone());
    let publisher = tokio::spawn(publisher.run(shutdown.clone()));
    (1..=3).for_each(|sequence| outbox.push(sequence, vec![7; 1000], 0));
    until("nothing is waiting", || outbox.waiting() == 0).await;
    assert_eq!(outbox.dropped(), 1, "only what the server never takes");
    shutdown.cancel();
    within(publisher).await.unwrap();
    let ingest = |sequence, after| (signed::INGEST.to_owned(), Some((sequence, after)));
    let mut expected = vec![ingest(1, 0); 5];
    expected.push((signed::ENROL.to_owned(), None));
    expected.extend([ingest(1, 0), ingest(1, 9), ingest(2, 12), ingest(3, 12), ingest(3, 12)]);
    assert_eq!(*came.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_202_that_names_no_sequence_is_none_of_the_server_and_the_snapshot_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let (url, came) = fake(&[
        (202, "<html>Your request was accepted</html>"),
        (202, "{}"),
        (202, r#"{"sequence":"12"}"#),
        (202, r#"{"sequence":12,"duplicate":false,"rotate":false}"#),
    ]);
    let outbox = Outbox::new(1 << 20);
    let shutdown = CancellationToken::new();
    let publisher = Publisher::through_server(session(&url, &folder), "run".to_owned(), outbox.clone());
    let publisher = tokio::spawn(publisher.run(shutdown.clone()));
    outbox.push(1, vec![7; 1000], 0);
    until("nothing is waiting", || outbox.waiting() == 0).await;
    shutdown.cancel();
    within(publisher).await.unwrap();
    assert_eq!(came.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn without_a_server_it_waits_and_stops_at_once_and_bad_settings_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let session = session("http://127.0.0.1:9", &folder);
    let outbox = Outbox::new(1 << 20);
    outbox.push(1, vec![7; 1000], 0);
    let shutdown = CancellationToken::new();
    let publisher = Publisher::through_server(session, "run".to_owned(), outbox.clone());
    let publisher = tokio::spawn(publisher.run(shutdown.clone()));
    shutdown.cancel();
    within(publisher).await.unwrap();
    assert_eq!((outbox.waiting(), outbox.dropped()), (1, 0));
    let server =
        |url: &str, nkey_file| Server { url: url.to_owned(), nkey_file, wire: TlsOptions::default() };
    let key_file = Some(folder.path().join("host.nk"));
    let error = server("http://fleet.example.com", key_file.clone()).session(&host()).unwrap_err();
    assert!(matches!(error, ServerError::Plaintext { .. }), "{error}");
    let error = server("https://fleet.example.com", None).session(&host()).unwrap_err();
    assert!(matches!(error, ServerError::NoKey), "{error}");
    let other = Some(folder.path().join("other.nk"));
    let error = server("https://fleet.example.com", other).session(&host()).unwrap_err();
    assert!(matches!(error, ServerError::Key(_)), "{error}");
}
