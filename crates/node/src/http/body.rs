//! A JSON body, whatever its content type says: `curl -d` sends none that fits.

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
            HttpError::BadRequest(format!("the body is not the JSON that is expected here: {error}"))
        })
    }
}
