//! Waiting for a broker that is not there yet, or goes away in the middle of something.

use std::error::Error;

use crate::{
    connection::{ConnectionError, reconnect_delay},
    error_chain,
};

/// An error that may be about a broker that is not there now.
pub trait Passing: Error + 'static {
    /// Whether a retry may succeed without a change of settings or keys.
    fn is_passing(&self) -> bool;
}

impl Passing for ConnectionError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Connect { .. }) && !self.is_refusal()
    }
}

/// Does `work` until it succeeds, with growing waits of up to 8 s between, drawn at random. What it waits for is logged as
/// `what`, once for each different reason.
///
/// # Errors
/// The first that is not passing.
pub async fn patiently<T, E: Passing, Work: Future<Output = Result<T, E>>>(
    what: &'static str,
    mut work: impl FnMut() -> Work,
) -> Result<T, E> {
    let (mut failures, mut said) = (0, String::new());
    loop {
        match work().await {
            Ok(done) => {
                if failures > 0 {
                    tracing::warn!("{what}: the broker is there");
                }
                return Ok(done);
            }
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => {
                let text = error_chain(&error);
                if text != said {
                    tracing::warn!("{what} waits for the broker: {text}");
                    said = text;
                }
            }
        }
        tokio::time::sleep(reconnect_delay(failures)).await;
        failures += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed")]
    struct Failed {
        passing: bool,
    }

    impl Passing for Failed {
        fn is_passing(&self) -> bool {
            self.passing
        }
    }

    #[tokio::test]
    async fn what_passes_is_waited_for_and_what_does_not_is_said_at_once() {
        for ends_well in [true, false] {
            let tries = Cell::new(0);
            let outcome = patiently("a test", || async {
                tries.set(tries.get() + 1);
                match (tries.get(), ends_well) {
                    (1 | 2, _) => Err(Failed { passing: true }),
                    (_, true) => Ok(()),
                    (_, false) => Err(Failed { passing: false }),
                }
            })
            .await;
            assert_eq!((tries.get(), outcome.is_ok()), (3, ends_well));
        }
    }
}
