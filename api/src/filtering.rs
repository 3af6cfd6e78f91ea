//! Where filters over the present are evaluated: on threads that may take their time, a few at once, each with an end.
//!
//! Every viewer may type a slow filter, so none is evaluated on the threads that answer pages.

use std::time::Duration;

use axum::http::StatusCode;
use fleetps_ingestor::filter::{Deadline, Stopped};

use crate::{
    refusal::Refusal,
    shares::{Bounds, Share},
};

/// Filters over one host: each may take a processor for [`FILTER_FOR`]. A live page filters again with every sample.
pub(crate) const FILTERS: Bounds = Bounds {
    what: "filters under way",
    most: 2,
    of_a_person: 1,
    waiting: 64,
    waiting_of_a_person: 16,
    wait: Duration::from_secs(10),
};
/// How long a filter may take: ten thousand hosts of 300 processes on two processors, or a thousand times as long as an
/// ordinary filter takes for one host.
const FILTER_FOR: Duration = Duration::from_secs(2);

/// Does `work` with a `share`, until it is done, its time is over or the request is gone.
///
/// # Errors
/// When the work panicked.
pub(crate) async fn within<T: Send + 'static>(
    share: Share,
    work: impl FnOnce(&Deadline) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let deadline = Deadline::after(FILTER_FOR);
    let _cancel = deadline.cancel_on_drop();
    let working = tokio::task::spawn_blocking(move || {
        let _share = share;
        work(&deadline)
    });
    working.await.map_err(|error| Refusal::fault("could not filter", &error))
}

/// A filter took longer than it may.
pub(crate) fn too_slow(_: Stopped) -> Refusal {
    let hint = "regular expressions with large repetitions take longest; plain words are quicker, and so is a shorter list";
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "this filter took too long and was stopped", hint)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    };

    use super::*;
    use crate::shares::Shares;

    #[tokio::test]
    async fn work_ends_when_nobody_waits_for_it() {
        let share = Shares::new(FILTERS).take("anna").await.unwrap();
        let ((begun_in, begun), (ended_in, ended)) = (mpsc::channel(), mpsc::channel());
        let working = tokio::spawn(within(share, move |deadline: &Deadline| {
            begun_in.send(()).unwrap();
            let stopped = loop {
                if let Err(stopped) = deadline.check() {
                    break stopped;
                }
            };
            ended_in.send(stopped).unwrap();
        }));
        let begun = tokio::task::spawn_blocking(move || begun.recv());
        begun.await.unwrap().unwrap();
        working.abort();
        let ended = tokio::task::spawn_blocking(move || ended.recv());
        assert_eq!(ended.await.unwrap(), Ok(Stopped::Cancelled));
    }

    #[tokio::test]
    async fn others_go_on_while_work_is_done_although_there_is_one_thread_for_all() {
        let share = Shares::new(FILTERS).take("anna").await.unwrap();
        let is_released = Arc::new(AtomicBool::new(false));
        let until_released = {
            let is_released = Arc::clone(&is_released);
            move |deadline: &Deadline| {
                while !is_released.load(Relaxed) {
                    deadline.check()?;
                }
                Ok(())
            }
        };
        let others = async { is_released.store(true, Relaxed) };
        let (worked, ()) = tokio::join!(within(share, until_released), others);
        assert_eq!(worked, Ok(Ok::<(), Stopped>(())));
    }

    #[tokio::test]
    async fn work_that_takes_too_long_is_stopped_and_leaves_its_room() {
        let shares = Shares::new(Bounds { most: 1, ..FILTERS });
        let endless = |deadline: &Deadline| loop {
            if let Err(stopped) = deadline.check() {
                break stopped;
            }
        };
        let share = shares.take("anna").await.unwrap();
        assert_eq!(within(share, endless).await, Ok(Stopped::TookTooLong));
        shares.take("bert").await.unwrap();
    }
}
