//! The binary as a process: its version, its exit codes, its configuration check.

use std::path::Path;
use std::process::{Command, Output, Stdio};

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

fn preflight(binary: impl AsRef<Path>, args: &[&str]) -> (Option<i32>, serde_json::Value) {
    let args = [&["server-preflight", "--launcher-protocol", "1-1"], args].concat();
    let output = run(binary, &args, &[]);
    let report = serde_json::from_str(&stdout(&output));
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output))))
}

/// (code, key) of each problem.
fn codes(report: &serde_json::Value) -> Vec<(&str, &str)> {
    let problems = report["problems"].as_array().unwrap();
    problems.iter().map(|p| (p["code"].as_str().unwrap(), p["key"].as_str().unwrap_or(""))).collect()
}

/// Every file of a directory, with its bytes.
fn content(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|p| (p.clone(), std::fs::read(p).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_preflight_finds_nothing_wrong_with_its_own_node_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (code, report) = preflight(BINARY, &["--data-dir", data.to_str().unwrap(), "--port", "7001"]);
    assert_eq!((code, report), (Some(0), serde_json::json!({ "problems": [] })));
    assert!(!data.exists());
}

#[test]
fn a_preflight_names_everything_that_would_keep_the_node_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    let text = "zone = \"north\"\nport = 7001\nmaxclients = -1\nquota = 3\nbind = \"home\"\n";
    std::fs::write(&file, text).unwrap();
    let (code, report) = preflight(BINARY, &["--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    let mut keys: Vec<_> =
        codes(&report).into_iter().filter(|(code, _)| *code == "configuration").map(|(_, key)| key).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["bind", "maxclients", "quota", "zone"]);
    let (code, report) = preflight(BINARY, &["--zone", "north"]);
    assert_eq!((code, codes(&report)), (Some(3), vec![("configuration", "--zone")]));
}

#[test]
fn a_preflight_reads_the_data_directory_and_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let level = ironcache_spine::LevelFile::line(ironcache_types::Level(99));
    std::fs::write(dir.path().join("level"), level).unwrap();
    std::fs::write(dir.path().join("node.json"), "{\"format\":9}").unwrap();
    let before = content(dir.path());
    let (code, report) = preflight(BINARY, &["--data-dir", dir.path().to_str().unwrap()]);
    assert_eq!((code, codes(&report)), (Some(3), vec![("above_level", "level"), ("data_dir", "node.json")]));
    assert_eq!(content(dir.path()), before);
}

#[test]
fn a_launcher_of_another_protocol_is_named() {
    let output = run(BINARY, &["server-preflight", "--launcher-protocol", "7-9"], &[]);
    let report = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((output.status.code(), codes(&report)), (Some(3), vec![("launcher_protocol", "")]));
}

#[test]
fn a_stamp_that_claims_what_the_code_lacks_is_found_by_its_preflight() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("liar");
    let args = ["release", "stamp", "--version", "0.2.0", "--levels", "1-9", "--out", out.to_str().unwrap()];
    let output = run(BINARY, &args, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (code, report) = preflight(&out, &[]);
    assert_eq!((code, codes(&report)), (Some(3), vec![("claims", "levels")]));
}

#[test]
fn a_stamp_with_a_critical_word_is_refused_by_that_word() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("next");
    let out = out.to_str().unwrap();
    let args = [
        "release",
        "stamp",
        "--version",
        "0.2.0",
        "--critical",
        "zones",
        "--min-from",
        "0.1.0",
        "--out",
        out,
    ];
    let output = run(BINARY, &args, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(BINARY, &["release", "stage", "--seed", "127.0.0.1:9", out], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("\"zones\""), "{}", stderr(&output));
}

/// The launcher that the state names is this very test's executable, which runs the tests called `server`: none.
#[test]
fn an_old_launcher_makes_way_before_it_reads_what_it_does_not_know() {
    use ironcache_spine::{DataDir, SlotStore, State, StateFile};
    use ironcache_types::{Release, Version};
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::new(dir.path().join("data"));
    SlotStore::open(&data).unwrap();
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    let digest = ironcache_spine::inspect(&mut &bytes[..]).unwrap().digest;
    let slot = data.root().join("slots").join(digest.to_string());
    std::fs::create_dir_all(&slot).unwrap();
    std::fs::copy("/proc/self/exe", slot.join("ironcache")).unwrap();
    StateFile::new(&data).write(&State::new(Release { version: Version::new(9, 0, 0), digest })).unwrap();
    let file = dir.path().join("node.toml");
    std::fs::write(&file, format!("zone = 1\ndata-dir = {:?}\n", data.root())).unwrap();
    let config = [("IRONCACHE_CONFIG", file.to_str().unwrap())];
    let output = run(BINARY, &["server"], &config);
    assert!(stdout(&output).contains("running 0 tests"), "{}{}", stdout(&output), stderr(&output));
    let output = run(BINARY, &["server", "--check"], &config);
    assert_eq!((output.status.code(), stderr(&output).contains("zone")), (Some(2), true));
}

/// A launcher that hands over to one that cannot even read its configuration; the way back is this test's executable.
#[test]
fn a_launcher_that_cannot_begin_goes_back_to_the_one_that_handed_over() {
    use rustix::io::FdFlags;
    use std::io::Write;
    use std::os::fd::{AsFd, AsRawFd};
    let mut left = tempfile::tempfile().unwrap();
    let back = std::fs::File::open("/proc/self/exe").unwrap();
    write!(left, "ironcache-handover 1\nback {}\nnot looked at\n", back.as_raw_fd()).unwrap();
    for fd in [left.as_fd(), back.as_fd()] {
        rustix::io::fcntl_setfd(fd, FdFlags::empty()).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    std::fs::write(&file, "zone = 1\n").unwrap();
    let number = left.as_raw_fd().to_string();
    let variables = [("IRONCACHE_CONFIG", file.to_str().unwrap()), ("IRONCACHE_HANDOVER", &number)];
    let output = run(BINARY, &["server"], &variables);
    assert!(stdout(&output).contains("running 0 tests"), "{}{}", stdout(&output), stderr(&output));
    // It goes back once: the old launcher is not sent on again.
    let again = [&variables[..], &[("IRONCACHE_HANDOVER_REFUSED", "it was told so")]].concat();
    let output = run(BINARY, &["server"], &again);
    assert_eq!(
        (output.status.code(), stderr(&output).contains("zone")),
        (Some(2), true),
        "{}",
        stdout(&output)
    );
}

/// The codes that `server --check --json` finds, and its exit code.
fn checked(args: &[&str]) -> (Option<i32>, Vec<String>, serde_json::Value) {
    let args: Vec<&str> = ["server", "--check", "--json"].iter().chain(args).copied().collect();
    let output = run(BINARY, &args, &[]);
    let said: serde_json::Value =
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    let findings = said["findings"].as_array().unwrap();
    // What this machine lacks is its own affair.
    let errors = findings.iter().filter(|f| f["weight"] == "error" || f["code"] == "moved");
    let codes = errors.map(|f| f["code"].as_str().unwrap().to_owned()).collect();
    (output.status.code(), codes, said)
}

#[test]
fn check_says_what_a_start_would_use_and_what_is_in_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let held: Vec<_> = (0..6).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<String> = held.iter().map(|l| l.local_addr().unwrap().port().to_string()).collect();
    let data_dir = data.to_str().unwrap();
    let [args, elsewhere] = [0, 3].map(|first| {
        let [port, peer, http] = [0, 1, 2].map(|n| ports[first + n].as_str());
        ["--data-dir", data_dir, "--port", port, "--peer-port", peer, "--http-port", http]
    });
    let (code, codes, said) = checked(&args);
    assert_eq!((code, codes), (Some(1), vec!["port_in_use".to_owned(); 3]), "{said}");
    assert_eq!(said["findings"][0]["setting"], "port");
    assert!(said["findings"][0]["do_this"].as_str().unwrap().contains("another port"));
    drop(held);
    let (code, codes, said) = checked(&args);
    assert_eq!((code, codes), (Some(0), Vec::new()), "{said}");
    assert_eq!((&said["ok"], &said["uses"]["data_dir"]["node"]), (&true.into(), &serde_json::Value::Null));
    let port = said["settings"].as_array().unwrap().iter().find(|s| s["name"] == "port").unwrap();
    assert_eq!(port["from"], "--port");
    assert!(said["uses"]["descriptors"]["limit"].as_u64() > Some(0), "{said}");
    assert!(said["uses"]["disk"]["free_bytes"].as_u64() > Some(0), "{said}");
    assert!(!data.exists());

    // Beside the node itself, and after it, elsewhere.
    let mut node = Command::new(BINARY).arg("server").args(args).stderr(Stdio::null()).spawn().unwrap();
    let there = data.join("node.json");
    let began = std::time::Instant::now();
    while !there.exists() && began.elapsed().as_secs() < 30 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let (code, codes, said) = checked(&args);
    assert_eq!((code, codes), (Some(1), vec!["data_dir_in_use".to_owned()]), "{said}");
    let pid = rustix::process::Pid::from_child(&node);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(node.wait().unwrap().success());
    let (code, codes, said) = checked(&args);
    assert_eq!((code, codes), (Some(0), Vec::new()), "{said}");
    assert!(said["uses"]["data_dir"]["node"].is_string(), "{said}");
    let (code, codes, said) = checked(&elsewhere);
    assert_eq!((code, codes), (Some(0), vec!["moved".to_owned()]), "{said}");
}

#[test]
fn a_limit_of_descriptors_that_leaves_none_for_clients_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "ulimit -n 200; exec {BINARY} server --check --json --port 7998 --data-dir {}",
        dir.path().display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(stdout(&output).contains("no_descriptors"), "{said}");
    assert_eq!(said["uses"]["descriptors"]["clients_max"], 0);
}
