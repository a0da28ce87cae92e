//! A cluster that is bound to the IPv6 loopback: what its nodes tell each other and their clients can be followed.

use crate::PRODUCT;
use ironcache_tests::{Ports, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Killed with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn clean(args: &[&str]) -> Command {
    let mut command = Command::new(PRODUCT);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("IRONCACHE_") {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

fn start(dir: &Path, ports: Ports) -> Server {
    let [client, peer, http] = [ports.client, ports.peer, ports.http].map(|port| port.to_string());
    let data_dir = dir.join(&client);
    let mut command = clean(&["server", "--bind", "::1", "--announce-host", "::1", "--port", &client]);
    command.args(["--peer-port", &peer, "--http-port", &http]).arg("--data-dir").arg(data_dir);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Server(command.spawn().expect("the binary can be started"))
}

/// The first line of the answer, if the node is there.
fn ask(host: &str, port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect((host, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).ok()? {
            0 => break,
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    String::from_utf8(answer).ok()?.lines().next().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_on_the_ipv6_loopback_serves_and_says_where_to_go_as_redis_does() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let ports = Ports::free(2);
    let _servers: Vec<_> = ports.iter().map(|ports| start(dir.path(), *ports)).collect();
    let newcomer = |ports: &Ports| {
        let code = dir.path().join(ports.client.to_string()).join("join.code");
        format!("[::1]:{}=@{}", ports.http, code.display())
    };
    let (first, second) = (newcomer(&ports[0]), newcomer(&ports[1]));
    let credentials = dir.path().join("credentials.json");
    until("both nodes answer, and become a cluster", async || {
        let mut create = clean(&["cluster", "create", &first, &second, "--replicas", "0", "--yes"]);
        let created = create.env("IRONCACHE_CREDENTIALS", &credentials).output();
        created.expect("the binary can be started").status.success().then_some(())
    })
    .await;
    // One of the two owns the key, and the other says which, in a form that is split at its last colon.
    let moved = until("one node serves the key, and the other knows whose it is", async || {
        let answers: Vec<_> = ports.iter().map(|ports| ask("::1", ports.client, "SET k v")).collect();
        let moved = answers.iter().flatten().find(|answer| answer.starts_with("-MOVED"))?.clone();
        answers.iter().flatten().any(|answer| answer == "+OK").then_some(moved)
    })
    .await;
    let to = moved.rsplit(' ').next().expect("it ends with the address");
    let (host, port) = to.rsplit_once(':').expect("host:port");
    assert_eq!(host, "::1", "{moved}");
    let port = port.parse().expect("a port");
    assert_eq!(ask(host, port, "SET k w").as_deref(), Some("+OK"));
    // The command line asks one node for the others, over the same addresses.
    let mut nodes = clean(&["cluster", "nodes"]);
    nodes.env("IRONCACHE_SEED", format!("[::1]:{port}")).env("IRONCACHE_CREDENTIALS", &credentials);
    let shown = nodes.output();
    let shown = String::from_utf8(shown.expect("the binary can be started").stdout).expect("text");
    for ports in &ports {
        assert!(shown.contains(&format!("[::1]:{}", ports.client)), "{shown}");
    }
}
