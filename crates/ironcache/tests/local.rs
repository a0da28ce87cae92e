//! Playground and demo as processes: what they print, how they end, and that nothing is left of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_ironcache");
/// A debug build beside other tests on a small machine.
const BOUND: Duration = Duration::from_secs(60);

/// The binary with its temporary files in `temporary` and none of our variables.
fn command(temporary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("IRONCACHE_") {
            command.env_remove(name);
        }
    }
    command.args(args).env("TMPDIR", temporary);
    command
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < give_up, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Killed with the test, if the test fails.
struct Playground {
    child: Child,
    ready: serde_json::Value,
}

impl Playground {
    fn start(temporary: &Path) -> Self {
        let args = ["playground", "--shards", "1", "--replicas", "1", "--json"];
        let mut child =
            command(temporary, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_default();
        let playground = Self { child, ready };
        assert_eq!(playground.ready["ready"], true, "{line:?}");
        playground
    }

    fn addrs(&self) -> Vec<String> {
        [self.clients(), self.of("http")].concat()
    }

    fn clients(&self) -> Vec<String> {
        self.of("seeds")
    }

    fn of(&self, key: &str) -> Vec<String> {
        let addrs = self.ready[key].as_array().unwrap();
        addrs.iter().map(|addr| addr.as_str().unwrap().to_owned()).collect()
    }

    /// A command to it, as its admin: it is a cluster with keys.
    fn command(&self, temporary: &Path, args: &[&str]) -> Command {
        let mut command = command(temporary, args);
        command.env("IRONCACHE_SEED", &self.addrs()[0]);
        command.env("IRONCACHE_CREDENTIALS", self.ready["credentials"].as_str().unwrap());
        command
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that is answered to this.
fn said(addr: &str, commands: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(commands.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

fn is_up(addr: &String) -> bool {
    TcpStream::connect(addr).is_ok()
}

#[test]
fn a_playground_stops_when_told_and_removes_what_it_made() {
    let temporary = tempfile::tempdir().unwrap();
    let mut playground = Playground::start(temporary.path());
    let addrs = playground.addrs();
    assert_eq!((addrs.len(), playground.ready["pids"].as_array().unwrap().len()), (5, 3));
    assert!(addrs.iter().all(is_up));
    // Who is told that it is ready writes at once.
    let answers =
        playground.clients().into_iter().map(|addr| said(&addr, "FLUSHALL\r\nSET key value\r\nQUIT\r\n"));
    let (served, elsewhere): (Vec<_>, Vec<_>) = answers.partition(|answer| answer == "+OK\r\n+OK\r\n+OK\r\n");
    assert_eq!(served.len(), 1, "{elsewhere:?}");
    assert!(elsewhere.iter().all(|answer| answer.contains("-MOVED ")), "{elsewhere:?}");
    playground.signal(rustix::process::Signal::TERM);
    assert_eq!(playground.child.wait().unwrap().code(), Some(0));
    assert!(!addrs.iter().any(is_up));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_playground_that_is_killed_takes_its_nodes_along() {
    let temporary = tempfile::tempdir().unwrap();
    let mut playground = Playground::start(temporary.path());
    let addrs = playground.addrs();
    playground.signal(rustix::process::Signal::KILL);
    playground.child.wait().unwrap();
    wait_until("a node outlived its playground", || !addrs.iter().any(is_up));
}

#[test]
fn a_node_of_a_playground_whose_launcher_is_killed_is_said_and_started_again() {
    let temporary = tempfile::tempdir().unwrap();
    let mut playground = Playground::start(temporary.path());
    let addrs = playground.addrs();
    let launcher = playground.ready["pids"][0].as_u64().unwrap();
    let log = BufReader::new(playground.child.stderr.take().unwrap());
    let pid = rustix::process::Pid::from_raw(launcher.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let mut lines = log.lines().map(Result::unwrap);
    let port = addrs[0].rsplit_once(':').unwrap().1;
    let said = format!("the node at port {port} ended with signal: 9");
    assert!(lines.any(|line| line.starts_with(&said)), "it is said");
    assert!(lines.any(|line| line.starts_with("it is started again")));
    // The old daemon goes on for a moment; the next one is another.
    let command = ["cluster", "status", "--json"];
    wait_until("every node is back", || {
        let asked = playground.command(temporary.path(), &command).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap_or_default();
        let Some(nodes) = status["nodes"].as_object() else { return false };
        let launchers = std::fs::read_to_string(format!("/proc/{launcher}/stat")).is_err();
        launchers && nodes.len() == 3 && nodes.values().all(|node| node["ready"] == true)
    });
    assert_eq!(playground.child.try_wait().unwrap(), None, "it goes on");
    playground.signal(rustix::process::Signal::TERM);
    assert_eq!(playground.child.wait().unwrap().code(), Some(0));
    assert!(!addrs.iter().any(is_up));
}

/// One shard of a primary and one replica: two voters, neither of which may be away.
#[test]
fn the_smallest_playground_with_a_replica_can_be_upgraded() {
    let temporary = tempfile::tempdir().unwrap();
    let playground = Playground::start(temporary.path());
    let next = temporary.path().join("next");
    let next = next.to_str().unwrap();
    for args in [
        &["release", "stamp", "--version", "9.0.0", "--out", next][..],
        &["release", "stage", next],
        &["cluster", "set-target-version", "9.0.0", "--wait"],
    ] {
        let output = playground.command(temporary.path(), args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The report of a demo that passed.
fn demo(scene: &[&str]) -> serde_json::Value {
    let temporary = tempfile::tempdir().unwrap();
    let args = [&["demo", "--json", "--keys", "3000", "--rate", "100", "--seconds", "1"], scene].concat();
    let output = command(temporary.path(), &args).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(stdout.lines().count(), 1, "{stdout}\n{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["verdict"], "pass", "{stdout}\n{stderr}");
    assert_eq!(output.status.code(), Some(0));
    let shown = [&report["lost_writes"], &report["wrong_values"], &report["client_errors"]];
    assert!(shown.iter().all(|count| **count == 0), "{stdout}");
    assert!(report["acknowledged_writes"].as_u64().unwrap() > 100, "{stdout}");
    assert_eq!(report["order"].as_array().unwrap().len(), 6, "{stdout}");
    assert_eq!(report["handovers"].as_array().unwrap().len(), 3, "{stdout}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    report
}

#[test]
fn a_demo_rolls_loses_nothing_and_leaves_nothing() {
    let report = demo(&[]);
    assert!(report.get("rollback").is_none() && report.get("started_by").is_none(), "{report}");
}

#[test]
fn a_demo_of_the_way_back_goes_there_and_back() {
    let report = demo(&["--rollback"]);
    let back = &report["rollback"];
    assert_eq!(back["order"].as_array().unwrap().len(), 6, "{report}");
    assert_eq!(back["handovers"].as_array().unwrap().len(), 3, "{report}");
    assert!(back["ms"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_demo_of_the_policy_only_stages() {
    assert_eq!(demo(&["--auto"])["started_by"], "policy");
}

#[test]
fn a_demo_whose_roll_is_refused_says_so_and_is_exit_code_3() {
    let temporary = tempfile::tempdir().unwrap();
    // A shard without a replica cannot be left by its one node.
    let args = ["demo", "--json", "--shards", "1", "--replicas", "0", "--keys", "100", "--rate", "50"];
    let output = command(temporary.path(), &args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["refused"]["code"]), (&"fail".into(), &"single_node".into()));
    // The cluster was not touched: what it acknowledged is there.
    assert_eq!(report["lost_writes"], 0);
}
