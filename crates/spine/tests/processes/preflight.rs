//! Preflights as real processes, good and bad. The version's pre-release text says how one behaves: `-hangs` never answers,
//! `-floods` never ends its answer, `-mute` ends without one, `-lies` ends well and names problems.

use crate::node::{Node, is_alive};
use crate::own_version;
use ironcache_spine::{
    FDS_VARIABLE, LAUNCHER_PROTOCOL, PROBLEMS_FOUND, PreflightError, PreflightOf, PreflightReport, Problem,
    preflight,
};
use std::ffi::OsString;
use std::io::Write;
use std::time::{Duration, Instant};

pub(crate) const ALL: &[(&str, fn())] = cases! {
    a_preflight_says_what_it_was_asked_with
    a_preflight_that_hangs_is_ended_by_its_id
    a_preflight_without_an_end_or_an_answer_is_an_error
};

/// `server-preflight --launcher-protocol 1-1 ARGS…`: tells what it was given, as problems.
pub(crate) fn main(args: &[String]) -> ! {
    let problems = |detail: String| PreflightReport {
        problems: vec![Problem { code: "told".to_owned(), key: std::env::var("TOLD").ok(), detail }],
    };
    let tell = |report: &PreflightReport| println!("{}", serde_json::to_string(report).unwrap());
    match own_version().pre.as_str() {
        "hangs" => {
            // Where the test looks for it.
            std::fs::write(&args[2], std::process::id().to_string()).unwrap();
            loop {
                std::thread::park();
            }
        }
        "floods" => loop {
            // Ended by the reader's patience, or by SIGPIPE's error.
            if std::io::stdout().write_all(&[b' '; 4096]).is_err() {
                std::process::exit(1);
            }
        },
        "mute" => {
            eprintln!("no words");
            std::process::exit(0);
        }
        "lies" => {
            tell(&problems("and yet".to_owned()));
            std::process::exit(0);
        }
        _ => {}
    }
    if args.iter().any(|arg| arg == "--good") {
        tell(&PreflightReport::default());
        std::process::exit(0);
    }
    let inherits = std::env::var_os(FDS_VARIABLE).is_some();
    tell(&problems(format!("{} inherits={inherits}", args.join(" "))));
    std::process::exit(PROBLEMS_FOUND.into())
}

fn ask(node: &Node, version: &str, args: &[&str], timeout: Duration) -> Result<Vec<Problem>, PreflightError> {
    let binary = node.store().open_verified(&node.stage(version).digest).unwrap();
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let env = [("TOLD".into(), "by the environment".into())];
    preflight(&binary, &PreflightOf { launcher_protocol: LAUNCHER_PROTOCOL, args: &args, env: &env, timeout })
}

const PATIENCE: Duration = Duration::from_secs(30);

fn a_preflight_says_what_it_was_asked_with() {
    let node = Node::new();
    assert_eq!(ask(&node, "0.2.0", &["--good"], PATIENCE).unwrap(), []);
    let told = ask(&node, "0.2.0", &["--port", "7"], PATIENCE).unwrap();
    let detail = "--launcher-protocol 1-1 --port 7 inherits=false".to_owned();
    assert_eq!(
        told,
        [Problem { code: "told".to_owned(), key: Some("by the environment".to_owned()), detail }]
    );
}

fn a_preflight_that_hangs_is_ended_by_its_id() {
    let node = Node::new();
    node.store();
    let its_id = node.dir().root().join("its-id");
    let began = Instant::now();
    let error = ask(&node, "0.2.0-hangs", &[its_id.to_str().unwrap()], Duration::from_secs(2)).unwrap_err();
    assert!(matches!(error, PreflightError::TimedOut { timeout_ms: 2_000 }), "{error}");
    assert!(began.elapsed() < PATIENCE);
    let id = std::fs::read_to_string(its_id).unwrap().parse().unwrap();
    assert!(!is_alive(id), "process {id} was left behind");
}

fn a_preflight_without_an_end_or_an_answer_is_an_error() {
    let node = Node::new();
    let error = ask(&node, "0.2.0-floods", &[], PATIENCE).unwrap_err();
    assert!(matches!(error, PreflightError::TooMuch), "{error}");
    let error = ask(&node, "0.2.0-mute", &[], PATIENCE).unwrap_err().to_string();
    assert!(error.contains("no words"), "{error}");
    let error = ask(&node, "0.2.0-lies", &[], PATIENCE).unwrap_err();
    assert!(matches!(error, PreflightError::NoReport { .. }), "{error}");
}
