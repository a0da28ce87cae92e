//! Who may do what, on the peer and the HTTP port.
//!
//! *Invariant:* what the table does not name needs an admin: a new path is not open because nobody thought of it.
//! *Invariant:* a refusal says by name what is missing, and nothing of the cluster.
//! *Invariant:* what an operator reads of the cluster is read by a key that has the role in a log as new as the answer: whoever
//! was revoked before the question reads nothing, through whatever node.
//! *Invariant:* of whoever is not known no more than [`STRANGER_BYTES_MAX`] of a body are read, and none where the answer is no
//! whatever they say.

use super::{Caller, Doors, Who};
use crate::app::App;
use crate::http::RefusedAs;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ironcache_api::{ApiError, Refused};
use ironcache_control::OperatorRole;
use ironcache_raft::Proved;
use ironcache_types::{KeyHash, NodeId, chain};
use std::sync::Arc;

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Nothing: probes have no key.
    Nothing,
    /// A key, but from this machine, or where the node's settings say so.
    OpenRead,
    /// That the node is new, and obeys a join code.
    NewNode,
    /// That the join code was proved on this connection.
    Code,
    Role(OperatorRole),
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAllowed {
    #[error("this needs a key: of an operator or a member of the cluster, by TLS")]
    NoKey,
    #[error("nobody here is known by the key {0}")]
    UnknownKey(KeyHash),
    #[error("this needs the role {}, and the key is one of {}", needed.word(), has.word())]
    Role { needed: OperatorRole, has: OperatorRole },
    #[error("only members speak here, and the key is an operator's")]
    NotAMember,
    #[error("node {0} was removed from this cluster")]
    Removed(NodeId),
    #[error(
        "this node belongs to a cluster, or obeys no join code; start it with an empty data directory, and without `insecure`"
    )]
    NotPristine,
    #[error("the join code has to be proved first, on this connection (/v1/join/prove)")]
    NoCode,
    #[error("that the key still has its role could not be confirmed: {why}")]
    NotConfirmed { why: String },
    #[error(
        "whoever is not known here sends no more than {max_bytes} bytes, and says before how many (Content-Length)"
    )]
    TooMuch { max_bytes: u64 },
}

impl NotAllowed {
    /// 403 says between nodes that the asker was removed: nothing else may on the peer port.
    fn status(&self) -> StatusCode {
        match self {
            NotAllowed::NoKey | NotAllowed::UnknownKey(_) | NotAllowed::NotAMember => {
                StatusCode::UNAUTHORIZED
            }
            NotAllowed::Role { .. } | NotAllowed::Removed(_) | NotAllowed::NoCode => StatusCode::FORBIDDEN,
            NotAllowed::NotPristine => StatusCode::CONFLICT,
            NotAllowed::TooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            NotAllowed::NotConfirmed { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            NotAllowed::NoKey => "no_key",
            NotAllowed::UnknownKey(_) => "unknown_key",
            NotAllowed::Role { .. } => "not_allowed",
            NotAllowed::NotAMember => "not_a_member",
            NotAllowed::Removed(_) => "removed",
            NotAllowed::NotPristine => "not_pristine",
            NotAllowed::NoCode => "no_code",
            NotAllowed::TooMuch { .. } => "too_much",
            NotAllowed::NotConfirmed { .. } => "not_confirmed",
        }
    }
}

impl IntoResponse for NotAllowed {
    fn into_response(self) -> Response {
        let refused = Refused { code: self.code().to_owned(), detail: self.to_string() };
        let code = Extension(RefusedAs(self.code().to_owned()));
        (self.status(), code, Json(ApiError { error: self.to_string(), refused: Some(refused) }))
            .into_response()
    }
}

fn needs(method: &Method, path: &str) -> Needs {
    use OperatorRole::{Admin, Operator, Viewer};
    let get = *method == Method::GET || *method == Method::HEAD;
    match path {
        "/livez" | "/readyz" if get => Needs::Nothing,
        "/metrics" | "/status" if get => Needs::OpenRead,
        "/v1/join/prove" => Needs::NewNode,
        "/v1/join/bind" => Needs::Code,
        "/v1/audit" | "/v1/cluster" | "/v1/policy" | "/v1/releases" | "/v1/upgrade" | "/v1/operators"
            if get =>
        {
            Needs::Role(Viewer)
        }
        "/v1/policy" | "/v1/releases" | "/v1/releases/allow" => Needs::Role(Operator),
        upgrade if upgrade.starts_with("/v1/upgrade/") => Needs::Role(Operator),
        _ => Needs::Role(Admin),
    }
}

/// What a node itself says to whoever asks.
#[derive(Clone, Copy, Debug)]
struct Here {
    open_reads: bool,
    obeys_code: bool,
}

fn may(needs: Needs, who: &Who, caller: &Caller, here: Here) -> Result<(), NotAllowed> {
    let Here { open_reads, obeys_code } = here;
    let has_role = |needed: OperatorRole| match who {
        Who::Open | Who::Member(_) => Ok(()),
        Who::Operator { role, .. } if *role >= needed => Ok(()),
        Who::Operator { role, .. } => Err(NotAllowed::Role { needed, has: *role }),
        Who::Nobody => Err(NotAllowed::NoKey),
        Who::Unknown(key) | Who::Met(key) => Err(NotAllowed::UnknownKey(*key)),
    };
    match needs {
        Needs::Nothing => Ok(()),
        Needs::OpenRead if open_reads || caller.is_local() || matches!(who, Who::Met(_)) => Ok(()),
        Needs::OpenRead => has_role(OperatorRole::Viewer),
        Needs::NewNode | Needs::Code if !obeys_code => Err(NotAllowed::NotPristine),
        Needs::NewNode => Ok(()),
        // Whoever has bound the node binds it anew with the code alone.
        Needs::Code if caller.has_met() => Ok(()),
        Needs::Code => Err(NotAllowed::NoCode),
        Needs::Role(needed) => has_role(needed),
    }
}

/// Of the body of whoever is not known: a proof of the join code has 80. Larger, and strangers hold memory that operators want.
const STRANGER_BYTES_MAX: u64 = 1 << 10;

/// May so much come? `bytes` is what the request says; `None`: nothing.
fn may_send(who: &Who, bytes: Option<u64>) -> Result<(), NotAllowed> {
    match who {
        Who::Open | Who::Member(_) | Who::Operator { .. } | Who::Met(_) => Ok(()),
        Who::Nobody | Who::Unknown(_) => match bytes {
            Some(0..=STRANGER_BYTES_MAX) => Ok(()),
            Some(_) | None => Err(NotAllowed::TooMuch { max_bytes: STRANGER_BYTES_MAX }),
        },
    }
}

/// Says of a request who sends it, before anything else looks at it. To be the outermost layer of a port.
pub(crate) async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    // Whoever came by no door has no key.
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_else(|| Caller::plain(false));
    request.extensions_mut().insert(caller.who(&app.doors));
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// The HTTP port's: a role for each path.
pub(crate) async fn http(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(who): Extension<Who>,
    request: Request,
    next: Next,
) -> Response {
    let needs = needs(request.method(), request.uri().path());
    let here = Here { open_reads: app.config.open_reads, obeys_code: app.doors.code().is_some() };
    let bytes = request.body().size_hint().exact();
    let path = request.uri().path().to_owned();
    let is_read = *request.method() == Method::GET || *request.method() == Method::HEAD;
    match may(needs, &who, &caller, here).and_then(|()| may_send(&who, bytes)) {
        Ok(()) if is_read && matches!((needs, &who), (Needs::Role(_), Who::Operator { .. })) => {
            let answer = next.run(request).await;
            confirmed(&app, needs, &caller, here, answer).await
        }
        Ok(()) => next.run(request).await,
        Err(why) => refuse(&app.doors, why, &path),
    }
}

/// An operator's answer, if the key still has the role in a log that is as new as the answer: this node may have been behind
/// when the question came.
async fn confirmed(app: &App, needs: Needs, caller: &Caller, here: Here, answer: Response) -> Response {
    if !answer.status().is_success() || app.raft.cluster().is_none() {
        return answer;
    }
    let still_may = match app.raft.catch_up().await {
        Ok(_) => may(needs, &caller.who(&app.doors), caller, here),
        Err(error) => Err(NotAllowed::NotConfirmed { why: chain(&error) }),
    };
    match still_may {
        Ok(()) => answer,
        Err(why) => why.into_response(),
    }
}

/// The peer port's: members, and as themselves.
pub(crate) async fn peer(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    mut request: Request,
    next: Next,
) -> Response {
    let why = match who {
        Who::Open => return next.run(request).await,
        Who::Member(node) => {
            request.extensions_mut().insert(Proved(node));
            return next.run(request).await;
        }
        Who::Nobody => NotAllowed::NoKey,
        Who::Unknown(key) | Who::Met(key) => match app.doors.removed(key) {
            Some(node) => NotAllowed::Removed(node),
            None => NotAllowed::UnknownKey(key),
        },
        Who::Operator { .. } => NotAllowed::NotAMember,
    };
    refuse(&app.doors, why, request.uri().path())
}

fn refuse(doors: &Doors, why: NotAllowed, path: &str) -> Response {
    tracing::debug!(%why, path, "a request is refused");
    if matches!(why, NotAllowed::UnknownKey(_)) {
        doors.unknown.notify_one();
    }
    why.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::Digest;

    const HERE: Here = Here { open_reads: false, obeys_code: false };
    const KEY: KeyHash = KeyHash(Digest([7; 32]));

    fn operator(role: OperatorRole) -> Who {
        Who::Operator { key: KEY, name: "ada".to_owned(), role }
    }

    fn asked(method: &Method, path: &str, who: &Who, is_local: bool) -> Result<(), NotAllowed> {
        may(needs(method, path), who, &Caller::plain(is_local), HERE)
    }

    #[test]
    fn each_role_may_what_the_ones_before_it_may() {
        use OperatorRole::{Admin, Operator, Viewer};
        for (method, path, least) in [
            (Method::GET, "/v1/cluster", Viewer),
            (Method::GET, "/v1/operators", Viewer),
            (Method::POST, "/v1/releases", Operator),
            (Method::POST, "/v1/policy", Operator),
            (Method::POST, "/v1/upgrade/plan", Operator),
            (Method::POST, "/v1/cluster/create", Admin),
            (Method::POST, "/v1/cluster/nodes/remove", Admin),
            (Method::POST, "/v1/cluster/recover", Admin),
            (Method::POST, "/v1/operators/add", Admin),
            (Method::POST, "/v1/operators/revoke", Admin),
            (Method::POST, "/v1/what/nobody/thought/of", Admin),
        ] {
            for role in [Viewer, Operator, Admin] {
                let expected =
                    if role >= least { Ok(()) } else { Err(NotAllowed::Role { needed: least, has: role }) };
                assert_eq!(asked(&method, path, &operator(role), true), expected, "{path}, {role:?}");
            }
            assert_eq!(asked(&method, path, &Who::Member(NodeId(1)), false), Ok(()), "{path}");
            assert_eq!(asked(&method, path, &Who::Nobody, true), Err(NotAllowed::NoKey), "{path}");
            let unknown = asked(&method, path, &Who::Unknown(KEY), true);
            assert_eq!(unknown, Err(NotAllowed::UnknownKey(KEY)), "{path}");
            let met = asked(&method, path, &Who::Met(KEY), true);
            assert_eq!(met, Err(NotAllowed::UnknownKey(KEY)), "{path}");
        }
    }

    #[test]
    fn a_probe_has_no_key_and_a_scraper_of_this_machine_needs_none() {
        for path in ["/livez", "/readyz"] {
            assert_eq!(asked(&Method::GET, path, &Who::Nobody, false), Ok(()));
        }
        for path in ["/metrics", "/status"] {
            assert_eq!(asked(&Method::GET, path, &Who::Nobody, true), Ok(()));
            assert_eq!(asked(&Method::GET, path, &Who::Nobody, false), Err(NotAllowed::NoKey));
            let far = Caller::plain(false);
            let open = Here { open_reads: true, ..HERE };
            assert_eq!(may(needs(&Method::GET, path), &Who::Nobody, &far, open), Ok(()), "by setting");
        }
        assert_eq!(asked(&Method::POST, "/livez", &Who::Nobody, true), Err(NotAllowed::NoKey));
    }

    #[test]
    fn who_is_not_known_sends_little_and_says_how_much() {
        let much = Err(NotAllowed::TooMuch { max_bytes: STRANGER_BYTES_MAX });
        for who in [Who::Nobody, Who::Unknown(KEY)] {
            assert_eq!(may_send(&who, Some(0)), Ok(()));
            assert_eq!(may_send(&who, Some(STRANGER_BYTES_MAX)), Ok(()));
            assert_eq!(may_send(&who, Some(STRANGER_BYTES_MAX + 1)), much);
            assert_eq!(may_send(&who, None), much);
        }
        for who in [Who::Open, Who::Member(NodeId(1)), operator(OperatorRole::Viewer), Who::Met(KEY)] {
            assert_eq!(may_send(&who, None), Ok(()));
        }
    }

    #[test]
    fn a_join_code_is_asked_for_by_new_nodes_alone_and_a_binding_by_who_has_proved_it() {
        let (post, new) = (Method::POST, Here { obeys_code: true, ..HERE });
        let (met, far) = (Caller::plain(true), Caller::plain(true));
        met.meet();
        for path in ["/v1/join/prove", "/v1/join/bind"] {
            for who in [Who::Nobody, Who::Open, Who::Member(NodeId(1)), operator(OperatorRole::Admin)] {
                assert_eq!(asked(&post, path, &who, true), Err(NotAllowed::NotPristine), "{path}");
                assert_eq!(may(needs(&post, path), &who, &met, HERE), Err(NotAllowed::NotPristine));
            }
            assert_eq!(may(needs(&post, path), &Who::Met(KEY), &met, new), Ok(()));
        }
        assert_eq!(may(needs(&post, "/v1/join/prove"), &Who::Unknown(KEY), &far, new), Ok(()));
        let unmet = may(needs(&post, "/v1/join/bind"), &Who::Unknown(KEY), &far, new);
        assert_eq!(unmet, Err(NotAllowed::NoCode));
    }
}
