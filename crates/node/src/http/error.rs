//! What goes wrong with a request, and how it is told: always [`ApiError`] as JSON.

use super::refused::RefusedAs;
use crate::data::DataStopped;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use ironcache_api::{ApiError, Refused};
use ironcache_control::Rejection;
use ironcache_raft::{AskError, Refusal};
use ironcache_settings::BadSetting;

#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("{0}")]
    BadRequest(String),
    #[error("the body is larger than the {max_bytes} bytes accepted here")]
    TooLarge { max_bytes: u64 },
    #[error("{0}")]
    NoLength(String),
    #[error(
        "the body comes too slowly, or not at all any more: after {received_bytes} bytes less than {pace_bytes} came within \
         {within_ms} ms; nothing of it was kept"
    )]
    Stalled { received_bytes: u64, pace_bytes: u64, within_ms: u64 },
    #[error(
        "nothing answers {method} {path}; there are GET /livez /readyz /metrics /status /v1/audit /v1/cluster \
         /v1/operators /v1/policy \
         /v1/releases /v1/upgrade and POST /v1/cluster/create /v1/cluster/nodes/add /v1/cluster/nodes/replace \
         /v1/cluster/nodes/remove /v1/cluster/recover /v1/join/bind /v1/join/prove /v1/operators/add /v1/operators/revoke /v1/policy \
         /v1/releases /v1/releases/allow \
         /v1/upgrade/plan /v1/upgrade/pause /v1/upgrade/resume /v1/upgrade/abort /v1/upgrade/rollback \
         /v1/upgrade/finalize"
    )]
    NoSuchPath { method: Method, path: String },
    #[error("{path} is not for {method}; the response header `allow` has the methods that it is for")]
    WrongMethod { method: Method, path: String },
    /// A guardrail's answer.
    #[error("{}", .0.detail)]
    Refused(Refused),
    /// Whoever asks may not.
    #[error("{}", .0.detail)]
    Denied(Refused),
    /// Nobody who could do it can be reached, or whether it was done is unknown.
    #[error("{0}")]
    Unavailable(String),
    /// This node fails at its own part.
    #[error("{0}")]
    Internal(String),
}

impl HttpError {
    pub(super) fn refused(code: &str, detail: String) -> Self {
        HttpError::Refused(Refused { code: code.to_owned(), detail })
    }

    pub(super) fn denied(code: &str, detail: String) -> Self {
        HttpError::Denied(Refused { code: code.to_owned(), detail })
    }

    fn status(&self) -> StatusCode {
        match self {
            HttpError::BadRequest(_) => StatusCode::BAD_REQUEST,
            HttpError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            HttpError::NoLength(_) => StatusCode::LENGTH_REQUIRED,
            HttpError::Stalled { .. } => StatusCode::REQUEST_TIMEOUT,
            HttpError::NoSuchPath { .. } => StatusCode::NOT_FOUND,
            HttpError::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            HttpError::Refused(_) => StatusCode::CONFLICT,
            HttpError::Denied(_) => StatusCode::FORBIDDEN,
            HttpError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            HttpError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let (status, error) = (self.status(), self.to_string());
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error, "a request failed");
        }
        let refused = match self {
            HttpError::Refused(refused) | HttpError::Denied(refused) => Some(refused),
            HttpError::BadRequest(_)
            | HttpError::TooLarge { .. }
            | HttpError::NoLength(_)
            | HttpError::Stalled { .. }
            | HttpError::NoSuchPath { .. }
            | HttpError::WrongMethod { .. }
            | HttpError::Unavailable(_)
            | HttpError::Internal(_) => None,
        };
        let code = refused.as_ref().map(|refused| RefusedAs(refused.code.clone()));
        let mut response = (status, Json(ApiError { error, refused })).into_response();
        if let Some(code) = code {
            response.extensions_mut().insert(code);
        }
        response
    }
}

impl From<Rejection> for HttpError {
    fn from(rejection: Rejection) -> Self {
        HttpError::refused(rejection.code(), rejection.to_string())
    }
}

impl From<BadSetting> for HttpError {
    fn from(bad: BadSetting) -> Self {
        HttpError::refused(BadSetting::CODE, bad.to_string())
    }
}

impl From<Refusal> for HttpError {
    fn from(Refusal { code, text }: Refusal) -> Self {
        HttpError::Refused(Refused { code, detail: text })
    }
}

impl From<AskError> for HttpError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Unknown { .. } => HttpError::Unavailable(error.to_string()),
            AskError::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<DataStopped> for HttpError {
    fn from(error: DataStopped) -> Self {
        HttpError::Unavailable(error.to_string())
    }
}
