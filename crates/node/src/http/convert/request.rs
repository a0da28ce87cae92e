//! From a request to the log's types.

use super::super::error::HttpError;
use ironcache_api as api;
use ironcache_control::AckMode;

/// # Errors
/// A mode of another release: it must not be taken for one of ours.
pub(in super::super) fn log_ack_mode(mode: &api::AckMode) -> Result<AckMode, HttpError> {
    match mode {
        api::AckMode::Primary => Ok(AckMode::Primary),
        api::AckMode::InSync => Ok(AckMode::InSync),
        api::AckMode::Unknown(word) => Err(HttpError::BadRequest(format!(
            "mode {word:?} is not known here: primary or in-sync is expected"
        ))),
    }
}
