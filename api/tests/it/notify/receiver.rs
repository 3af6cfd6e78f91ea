//! A receiver of webhooks that does what each address of it is called.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::stream;
use tokio::net::TcpListener;

/// A post that came.
#[derive(Debug, Clone)]
pub struct Got {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn key(&self) -> String {
        self.header("idempotency-key")
    }

    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The receiver; ends with the test's runtime.
#[derive(Clone, Default)]
pub struct Receiver {
    got: Arc<Mutex<Vec<Got>>>,
    /// Posts, for the address that fails now and then.
    count: Arc<AtomicUsize>,
}

impl Receiver {
    /// One at a port of its own.
    pub async fn start() -> (Self, String) {
        let receiver = Self::default();
        let router = Router::new().route("/{*path}", post(answer)).with_state(receiver.clone());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, format!("http://{address}"))
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// What was taken at `path`.
    pub fn at(&self, path: &str) -> Vec<Got> {
        self.got().into_iter().filter(|got| got.path == path).collect()
    }
}

async fn answer(
    State(receiver): State<Receiver>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let number = receiver.count.fetch_add(1, Ordering::SeqCst);
    let keep = || {
        receiver.got.lock().unwrap().push(Got {
            path: path.clone(),
            headers: headers.clone(),
            body: body.clone(),
        })
    };
    let busy = || (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "7")]).into_response();
    match path.as_str() {
        "ok" | "ok2" => {
            keep();
            StatusCode::NO_CONTENT.into_response()
        }
        "fails-first" if number == 0 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "fails-first" => {
            keep();
            StatusCode::OK.into_response()
        }
        "busy" => busy(),
        "broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "gone" => StatusCode::GONE.into_response(),
        "elsewhere" => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/ok")]).into_response(),
        "hangs" => std::future::pending().await,
        "endless" => {
            keep();
            endless(StatusCode::OK)
        }
        "endlessly-broken" => endless(StatusCode::BAD_GATEWAY),
        // Takes it, and says so late, never, or that it did not.
        "flaky" => match number % 5 {
            0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            1 => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "0")]).into_response(),
            2 => {
                keep();
                tokio::time::sleep(Duration::from_millis(20)).await;
                StatusCode::OK.into_response()
            }
            _ => {
                keep();
                StatusCode::OK.into_response()
            }
        },
        other => panic!("{other} is not known"),
    }
}

/// An answer that goes on for ever.
fn endless(status: StatusCode) -> Response {
    let body = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 4096])));
    (status, Body::from_stream(body)).into_response()
}
