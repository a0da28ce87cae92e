//! What a person reads in `docs/limits.md`, held against the constants: a bound that moves takes its line along.

use crate::app::UPLOADS_MAX;
use crate::data::{
    ACL_FILE_BYTES_MAX, HANDSHAKE_BYTES_MAX, HANDSHAKE_WITHIN, HANDSHAKES_MAX, HANDSHAKES_SIGNED_MAX,
};
use crate::descriptors::RESERVED;
use crate::doorkeeper::{FREE_BYTES, HTTP, PEER};
use crate::http::{JSON_BYTES_MAX, KEEP_FREE_BYTES, KEEP_FREE_SHARE};
use crate::messages::{MESSAGE_BYTES_MAX, QUEUE_BYTES_MAX};
use crate::tls::{CA_FILES_MAX, FILE_BYTES_MAX};
use ironcache_control::ControlState;
use ironcache_resp::Limits;
use ironcache_script::{SCRIPT_BYTES_MAX, SCRIPTS_MAX};
use ironcache_session::{COMMAND_BYTES_MAX, WATCHED_BYTES_MAX};
use ironcache_types::{MAX_ARTIFACT_BYTES, SLOT_COUNT};

/// Rows of the page: what, and how much of it.
fn rows() -> Vec<(&'static str, String)> {
    let Limits { bulk_bytes_max, args_max, inline_bytes_max } = Limits::default();
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    vec![
        ("a key, a value, any argument", mib(bulk_bytes_max)),
        ("arguments of one command", args_max.to_string()),
        ("an inline command", kib(inline_bytes_max)),
        ("a command, and what is queued since `MULTI`", mib(COMMAND_BYTES_MAX)),
        ("keys that a client watches, with 160 bytes for each", mib(WATCHED_BYTES_MAX)),
        ("handshakes of TLS at a time", HANDSHAKES_MAX.to_string()),
        (
            "handshakes that are signed for at a time",
            format!("half of the processors, {HANDSHAKES_SIGNED_MAX} at most"),
        ),
        ("for a handshake", seconds(HANDSHAKE_WITHIN)),
        ("what a client sends for a handshake", kib(HANDSHAKE_BYTES_MAX)),
        ("a file of certificates, or of a key", mib(FILE_BYTES_MAX as usize)),
        ("an `aclfile`", mib(ACL_FILE_BYTES_MAX as usize)),
        ("files of `tls-ca-cert-dir`", CA_FILES_MAX.to_string()),
        ("a message of a channel that goes to other nodes", mib(MESSAGE_BYTES_MAX)),
        ("messages that wait for one other node", mib(QUEUE_BYTES_MAX)),
        ("scripts that a node knows", format!("{SCRIPTS_MAX}, of {} together", mib(SCRIPT_BYTES_MAX))),
        ("slots", SLOT_COUNT.to_string()),
        ("voters", ControlState::VOTERS_MAX.to_string()),
        ("releases that are known", ControlState::RELEASES_MAX.to_string()),
        ("ended plans in the history", ControlState::HISTORY_MAX.to_string()),
        ("nodes that left and are known by name", ControlState::REMOVED_MAX.to_string()),
        ("a release's binary", mib(MAX_ARTIFACT_BYTES as usize)),
        ("binaries that come in at a node at a time", UPLOADS_MAX.to_string()),
        (
            "disk that a binary leaves to the node",
            format!("{}, of a small one a {KEEP_FREE_SHARE}th", mib(KEEP_FREE_BYTES as usize)),
        ),
        ("a request to the HTTP port, but for a binary", mib(JSON_BYTES_MAX)),
        ("connections at the HTTP port", HTTP.visits_max.to_string()),
        ("connections at the peer port before a hello", PEER.visits_max.to_string()),
        ("a request's head; a body without asking for more", kib(FREE_BYTES)),
        ("larger bodies that come in at the HTTP port, together", mib((HTTP.large_kib as usize) << 10)),
        ("larger bodies that come in at the peer port, together", mib((PEER.large_kib as usize) << 10)),
        (
            "answers of more than 32 KiB that are not taken yet at the HTTP port, together",
            mib((HTTP.large_kib as usize) << 10),
        ),
        ("the same at the peer port", mib((PEER.large_kib as usize) << 10)),
        ("for a head, a hello, and each 32 KiB of a body", seconds(PEER.patience.stranger)),
        ("between two requests", seconds(PEER.patience.idle)),
        ("for an answer that is not taken", seconds(PEER.patience.stuck)),
        ("descriptors that clients never get", RESERVED.to_string()),
    ]
}

fn mib(bytes: usize) -> String {
    assert_eq!(bytes % (1 << 20), 0, "another unit is needed");
    format!("{} MiB", bytes >> 20)
}

fn kib(bytes: usize) -> String {
    assert_eq!(bytes % (1 << 10), 0, "another unit is needed");
    format!("{} KiB", bytes >> 10)
}

#[test]
fn the_page_says_what_the_constants_say() {
    let page = include_str!("../../../docs/limits.md");
    for (what, much) in rows() {
        let row = format!("| {what} | {much} |");
        assert!(page.contains(&row), "docs/limits.md lacks this row:\n{row} …");
    }
}
