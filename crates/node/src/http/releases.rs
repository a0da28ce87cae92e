//! `/v1/releases`: binaries that the cluster knows, and how one comes in.

use super::asked::Asker;
use super::body::JsonBody;
use super::convert;
use super::error::HttpError;
use super::forward::require_cluster;
use super::upload::{Bounds, Upload};
use crate::app::App;
use crate::background;
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use ironcache_api::{AllowRelease, Done, StagedRelease};
use ironcache_control::{Command, ControlState, Rejection, ReleaseInfo, StageHold};
use ironcache_spine::{Artifact, ArtifactError};
use ironcache_types::{MAX_ARTIFACT_BYTES, Manifest, chain};
use std::sync::Arc;

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<StagedRelease>>, HttpError> {
    require_cluster(&app)?;
    let view = app.raft.catch_up().await?;
    let mut known: Vec<_> = view.state.releases.values().map(|info| staged(&view.state, info)).collect();
    known.sort_by(|a, b| a.release.cmp(&b.release));
    Ok(Json(known))
}

/// `?hold=1`: no policy starts what is staged.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StageQuery {
    hold: Option<String>,
}

impl StageQuery {
    fn hold(&self) -> Result<StageHold, HttpError> {
        match self.hold.as_deref() {
            None | Some("0") => Ok(StageHold::None),
            Some("1") => Ok(StageHold::Held),
            Some(other) => Err(HttpError::BadRequest(format!("hold={other}: 0 or 1 is expected"))),
        }
    }
}

/// What was declined may be started by the policy again.
pub(super) async fn allow(
    State(app): State<Arc<App>>,
    asker: Asker,
    JsonBody(request): JsonBody<AllowRelease>,
) -> Result<Json<Done>, HttpError> {
    require_cluster(&app)?;
    let AllowRelease { version } = request;
    let view = app.raft.catch_up().await?;
    let known = view.state.release_by_version(&version);
    let digest = known.ok_or_else(|| Rejection::UnknownRelease { version: version.clone() })?.release.digest;
    app.raft.propose(asker.asks(Command::AllowRelease { digest })).await?.outcome?;
    Ok(Json(Done { done: format!("release {version} is declined no more: the policy may start it") }))
}

/// Takes the binary in: to a slot of this node, then to the log, from which the others learn where it is.
pub(super) async fn stage(
    State(app): State<Arc<App>>,
    Query(asked): Query<StageQuery>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<StagedRelease>, HttpError> {
    require_cluster(&app)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    // Said before a gigabyte has been sent in vain.
    if announced.is_some_and(|bytes| bytes > MAX_ARTIFACT_BYTES) {
        return Err(HttpError::TooLarge { max_bytes: MAX_ARTIFACT_BYTES });
    }
    let place = Arc::clone(&app.uploads).try_acquire_owned().map_err(|_| {
        HttpError::refused(
            "uploads",
            "other binaries are coming in on this node; try again in a moment".to_owned(),
        )
    })?;
    let dir = app.config.data_dir.join("staged");
    let upload = Upload::receive(body, &dir, Bounds::of_a_binary(&dir)?).await?;
    if upload.size_bytes == 0 {
        return Err(HttpError::BadRequest("the body is empty; it has to be the binary itself".to_owned()));
    }
    // It goes on when whoever asked hangs up: a binary in its slot that the log does not know is garbage.
    let hold = asked.hold()?;
    let taken = tokio::spawn(async move {
        let _place = place;
        take_in(app, asker, upload, hold).await
    });
    let taken = taken.await;
    taken.map_err(|error| HttpError::Internal(error.to_string()))?
}

async fn take_in(
    app: Arc<App>,
    asker: Asker,
    upload: Upload,
    hold: StageHold,
) -> Result<Json<StagedRelease>, HttpError> {
    let _incoming = app.incoming.read().await;
    let Artifact { release, size_bytes, manifest } = install(&app, upload).await?;
    let digest = release.digest;
    // What the release can read is what the artifact says, whatever this node itself can.
    let Manifest { version: _, levels, launcher_protocol, min_from, critical: _ } = manifest;
    let info = ReleaseInfo { release, size_bytes, min_from, levels, launcher_protocol, hold };
    app.raft.propose(asker.asks(Command::RegisterRelease { info: info.clone() })).await?.outcome?;
    app.raft.propose(Command::ReportStaged { node: app.me.node, digest }).await?.outcome?;
    tracing::info!(release = %info.release, size_bytes, "a release was staged here");
    let view = app.raft.catch_up().await?;
    Ok(Json(staged(&view.state, &info)))
}

/// Hashes the upload and moves it into its slot.
async fn install(app: &App, upload: Upload) -> Result<Artifact, HttpError> {
    let store = Arc::clone(&app.slots);
    let installed = background::run(move || store.install_file(upload.path())).await;
    let installed = installed.map_err(|error| HttpError::Internal(chain(&error)))?;
    installed.map_err(|error| match error {
        // The path says nothing to who sent the file.
        ArtifactError::NoRelease { source, .. } => HttpError::BadRequest(source.to_string()),
        ArtifactError::Size { .. }
        | ArtifactError::Busy { .. }
        | ArtifactError::OutOfOrder { .. }
        | ArtifactError::TooLong { .. }
        | ArtifactError::Truncated { .. }
        | ArtifactError::WrongDigest { .. }
        | ArtifactError::WrongVersion { .. }
        | ArtifactError::Disk(_) => HttpError::Internal(chain(&error)),
    })
}

fn staged(state: &ControlState, info: &ReleaseInfo) -> StagedRelease {
    let ReleaseInfo { release, size_bytes, min_from, levels, launcher_protocol: _, hold } = info;
    let digest = release.digest;
    let holds =
        |node: &&ironcache_control::Node| node.staged.contains(&digest) || node.release.digest == digest;
    StagedRelease {
        release: release.clone(),
        size_bytes: *size_bytes,
        held_by: state.nodes.values().filter(holds).count(),
        nodes: state.nodes.len(),
        levels: Some(*levels),
        min_from: min_from.clone(),
        hold: convert::is_held(*hold),
        quarantined: state.quarantined.get(&digest).map(convert::quarantine),
        declined: state.declined.get(&digest).map(convert::declined),
    }
}
