//! What a page shows where its question was not answered: it took too long, needed too much, or too many ask. The page keeps its
//! head, its forms and what was typed, says what happened and what to narrow, and leads to a shorter range.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{refusal::Refusal, url::Url};

/// A shorter range: what it is called, and the same page over it.
pub(crate) type Shorter = (&'static str, Url);

/// Why a page has no answer.
#[derive(Debug, Clone)]
pub(crate) struct Unanswered {
    /// What happened, and what to do next.
    pub refusal: Refusal,
    /// The same page over a shorter range, where it has one that would help.
    pub shorter: Option<Shorter>,
}

impl Unanswered {
    /// The answer, or why the page has none. `narrow` says what can be narrowed on it.
    ///
    /// # Errors
    /// With a refusal that is not of the question, and so takes the whole page: an unknown host, for instance.
    pub(crate) fn or<T>(
        answer: Result<T, Refusal>,
        narrow: &str,
        shorter: impl FnOnce() -> Option<Shorter>,
    ) -> Result<Result<T, Self>, Refusal> {
        match answer {
            Ok(answer) => Ok(Ok(answer)),
            Err(refusal) if is_too_much(&refusal) => {
                let refusal = Refusal { hint: narrow.to_owned(), ..refusal };
                Ok(Err(Self { refusal, shorter: shorter() }))
            }
            Err(refusal) if is_for_now(&refusal) => Ok(Err(Self { refusal, shorter: None })),
            Err(refusal) => Err(refusal),
        }
    }

    /// Gives the page that says so the status of the refusal.
    pub(crate) fn dress(why: Option<&Self>, response: Response) -> Response {
        let Some(Self { refusal, .. }) = why else { return response };
        let mut response = (refusal.status, response).into_response();
        if let Some(wait) = refusal.retry_after_s() {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// Whether less would have been answered.
fn is_too_much(refusal: &Refusal) -> bool {
    matches!(refusal.status, StatusCode::GATEWAY_TIMEOUT | StatusCode::UNPROCESSABLE_ENTITY)
}

/// Whether the same may be answered a little later.
fn is_for_now(refusal: &Refusal) -> bool {
    matches!(refusal.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_too_much_says_what_to_narrow_and_what_is_busy_says_to_wait() {
        let refused = |status: u16| {
            let refusal = Refusal::new(StatusCode::from_u16(status).unwrap(), "no", "its own hint");
            Unanswered::or::<()>(Err(refusal), "choose less", || Some(("1 h", Url::top())))
        };
        for (status, hint, has_shorter) in [
            (504, "choose less", true),
            (422, "choose less", true),
            (503, "its own hint", false),
            (429, "its own hint", false),
        ] {
            let why = refused(status).unwrap().unwrap_err();
            assert_eq!((why.refusal.hint.as_str(), why.shorter.is_some()), (hint, has_shorter), "{status}");
        }
        assert_eq!(refused(404).unwrap_err().status, StatusCode::NOT_FOUND);
    }
}
