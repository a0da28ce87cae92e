//! A JSON body, whatever its content type says: `curl -d` sends none that fits.
//!
//! *Invariant:* of what somebody sent no more is said back than [`SHOWN_CHARS`]: an answer is no larger than its question.

use super::error::HttpError;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

/// A layout of 10,000 nodes is about a quarter of it; more only costs memory.
pub(crate) const MAX_BYTES: usize = 8 << 20;

pub(super) struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                HttpError::TooLarge { max_bytes: MAX_BYTES as u64 }
            }
            broken => HttpError::BadRequest(format!("the body broke off: {broken}")),
        })?;
        serde_json::from_slice(&bytes).map(JsonBody).map_err(|error| {
            HttpError::BadRequest(format!("the body is not the JSON that is expected here: {}", why(&error)))
        })
    }
}

/// Enough for whoever has mistyped a name or a number to see which.
pub(crate) const SHOWN_CHARS: usize = 100;

/// The head of what somebody sent.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// What is wrong, and where. The message of the parser has the value in it that it met.
fn why(error: &serde_json::Error) -> String {
    let (text, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
    match text.strip_suffix(&place) {
        Some(what) => format!("{}{place}", shown(what)),
        None => shown(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_body_is_said_in_few_words_whatever_is_in_it() {
        let error = |text: &str| serde_json::from_str::<Vec<u8>>(text).unwrap_err();
        assert_eq!(why(&error("[7, 256]")), error("[7, 256]").to_string(), "short ones are said whole");
        let huge = format!("[7,\n\"{}\"]", "\\\"ü".repeat(100_000));
        assert!(error(&huge).to_string().len() > 100_000);
        let said = why(&error(&huge));
        assert!(said.chars().count() < SHOWN_CHARS + 40, "{said}");
        assert!(said.starts_with("invalid type: string") && said.contains("… at line 2 column"), "{said}");
    }
}
