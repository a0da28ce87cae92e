//! The binary as a process: its version, its exit codes, its configuration check.

use std::path::Path;
use std::process::{Command, Output};

const BINARY: &str = env!("CARGO_BIN_EXE_ironcache");

fn run(binary: impl AsRef<Path>, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary.as_ref());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("IRONCACHE_") {
            command.env_remove(name);
        }
    }
    command.args(args).envs(variables.iter().copied()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_stamped_copy_says_its_version_from_inside() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("renamed-on-purpose");
    let out = copy.to_str().unwrap();
    let output = run(BINARY, &["release", "stamp", "--version", "7.8.9-rc.1", "--out", out], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stdout(&run(BINARY, &["--version"], &[])).trim(),
        concat!("ironcache ", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(stdout(&run(&copy, &["--version"], &[])).trim(), "ironcache 7.8.9-rc.1");
    assert_ne!(std::fs::read(BINARY).unwrap(), std::fs::read(&copy).unwrap());
    // And a copy can be stamped again: there is still exactly one stamp in it.
    let again = dir.path().join("again");
    let output =
        run(&copy, &["release", "stamp", "--version", "8.0.0", "--out", again.to_str().unwrap()], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&run(&again, &["--version"], &[])).trim(), "ironcache 8.0.0");
}

#[test]
fn a_mistake_on_the_command_line_is_exit_code_2() {
    for args in
        [&["no-such-command"][..], &["demo", "--nodes", "3"], &["cluster", "set-target-version", "one"]]
    {
        let output = run(BINARY, args, &[]);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_cluster_that_does_not_answer_is_exit_code_4() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let seed = listener.local_addr().unwrap().to_string();
    drop(listener);
    let output = run(BINARY, &["cluster", "status", "--json"], &[("IRONCACHE_SEED", &seed)]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains(&seed), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn check_shows_what_the_sources_come_to_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    std::fs::write(&file, "port = 7001\nlog = \"warn\"\nrequirepass = \"secret\"").unwrap();
    let data = dir.path().join("data");
    let args =
        ["server", "--check", "--config", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    let output = run(BINARY, &args, &[("IRONCACHE_PORT", "7002"), ("IRONCACHE_PROT", "1")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let table: toml::Table = toml::from_str(text.strip_prefix("OK\n").unwrap()).unwrap();
    assert_eq!((table["port"].as_integer(), table["http-port"].as_integer()), (Some(7002), Some(27002)));
    assert_eq!(table["log"].as_str(), Some("warn"));
    assert!(!text.contains("secret"));
    assert!(stderr(&output).contains("IRONCACHE_PROT"));
    assert!(!data.exists());
}

#[test]
fn a_wrong_configuration_is_exit_code_2_and_names_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    std::fs::write(&file, "prot = 7001").unwrap();
    let output = run(BINARY, &["server", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(
        (output.status.code(), stderr(&output).contains("prot = 7001")),
        (Some(2), true),
        "{}",
        stderr(&output)
    );
    let output = run(BINARY, &["server", "--check", "--port", "60000"], &[]);
    assert_eq!((output.status.code(), stderr(&output).contains("peer-port")), (Some(2), true));
}

#[test]
fn a_port_in_use_is_said_by_its_key() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    // The others are given too: those derived from a high port would not be ports.
    let args = ["server", "--data-dir", data, "--port", &port, "--peer-port", "7", "--http-port", "9"];
    let output = run(BINARY, &args, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&port), "{}", stderr(&output));
}
