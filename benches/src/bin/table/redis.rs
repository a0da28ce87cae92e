//! redis-server as the peer, and redis-benchmark as the load on both sides.

use crate::Bench;
use crate::client::Client;
use crate::process::{Running, wait_for};
use crate::tls::Certificate;
use anyhow::{Context, Result, ensure};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Where and with what redis-server serves clients by TLS.
#[derive(Clone, Debug)]
struct ByTls {
    addr: String,
    certificate: Certificate,
}

/// A redis-server that keeps nothing on disk.
pub(crate) struct RedisServer {
    running: Running,
    pub addr: String,
    by_tls: Option<ByTls>,
    dir: PathBuf,
    of: Option<String>,
}

impl RedisServer {
    pub(crate) fn start(bench: &Bench) -> Result<Self> {
        Self::start_with(bench, None, None)
    }

    /// One that serves clients by TLS as well.
    pub(crate) fn by_tls(bench: &Bench, certificate: &Certificate) -> Result<Self> {
        let addr = format!("127.0.0.1:{}", free_port()?);
        Self::start_with(bench, None, Some(ByTls { addr, certificate: certificate.clone() }))
    }

    /// A replica of `primary`, at first without its data.
    pub(crate) fn replica_of(bench: &Bench, primary: &RedisServer) -> Result<Self> {
        Self::start_with(bench, Some(primary.addr.clone()), None)
    }

    fn start_with(bench: &Bench, of: Option<String>, by_tls: Option<ByTls>) -> Result<Self> {
        let addr = format!("127.0.0.1:{}", free_port()?);
        let dir = bench.fresh_dir()?;
        let running = Self::spawn(&addr, &dir, of.as_deref(), by_tls.as_ref())?;
        let mut server = Self { running, addr, by_tls, dir, of };
        server.wait_until_up()?;
        Ok(server)
    }

    fn spawn(addr: &str, dir: &PathBuf, of: Option<&str>, by_tls: Option<&ByTls>) -> Result<Running> {
        let (host, port) = addr.split_once(':').context("an address has a port")?;
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no"])
            // Otherwise a full sync begins five seconds late.
            .args(["--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some((host, port)) = of.and_then(|of| of.split_once(':')) {
            command.args(["--replicaof", host, port]);
        }
        if let Some(ByTls { addr, certificate }) = by_tls {
            let (_, port) = addr.split_once(':').context("an address has a port")?;
            command
                .args(["--tls-port", port, "--tls-auth-clients", "no"])
                .args(certificate.args())
                .arg("--tls-ca-cert-file")
                .arg(&certificate.cert);
        }
        Running::start("redis-server", &mut command)
    }

    fn wait_until_up(&mut self) -> Result<()> {
        wait_for("redis-server", START_TIMEOUT, || {
            self.running.check()?;
            Ok(Client::connect(&self.addr).and_then(|mut client| client.call(&[b"PING"])).ok())
        })
        .map(|_pong| ())
    }

    pub(crate) fn client(&self) -> Result<Client> {
        Client::connect(&self.addr)
    }

    /// Where clients come by TLS.
    pub(crate) fn tls_addr(&self) -> Result<&str> {
        self.by_tls.as_ref().map(|by| by.addr.as_str()).context("it was started without TLS")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// `kill -9`, and the same again without its memory.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.running.kill()?;
        self.running = Self::spawn(&self.addr, &self.dir, self.of.as_deref(), self.by_tls.as_ref())?;
        Ok(())
    }

    /// Waits until this replica's link is up, its full sync done.
    pub(crate) fn wait_in_sync(&self) -> Result<()> {
        wait_for("the replica's link", START_TIMEOUT, || {
            let info = self.client()?.info("replication")?;
            Ok((info.get("master_link_status").map(String::as_str) == Some("up")).then_some(()))
        })
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// One run of redis-benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub requests: usize,
    pub pipeline: usize,
    pub keys: usize,
    pub via: Via,
}

/// One run of redis-benchmark with a command of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Benchmark {
    pub requests: usize,
    pub pipeline: usize,
    pub keys: usize,
    pub words: &'static [&'static str],
}

/// What redis-benchmark speaks below RESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Plain,
    /// Without a look at whose certificate it is, which costs at the start of each connection alone.
    Tls,
}

/// What one test of one run answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub per_second: f64,
    pub p99_ms: f64,
}

impl Load {
    /// The command for people, without the port.
    pub(crate) fn command(self) -> String {
        format!("redis-benchmark {}", self.args().join(" "))
    }

    fn args(self) -> Vec<String> {
        let Self { requests, pipeline, keys, via } = self;
        let tls = match via {
            Via::Plain => "",
            Via::Tls => "--tls --insecure ",
        };
        let text = format!("{tls}-t set,get -c 50 -d 100 -P {pipeline} -n {requests} -r {keys}");
        text.split(' ').map(str::to_owned).collect()
    }

    /// SETs, then GETs of the same random keys; their outcomes in that order.
    pub(crate) fn run(self, addr: &str) -> Result<[Outcome; 2]> {
        let csv = redis_benchmark(addr, &self.args())?;
        Ok([outcome(&csv, "SET")?, outcome(&csv, "GET")?])
    }
}

impl Benchmark {
    /// The command for people, without the port.
    pub(crate) fn command(self) -> String {
        let quoted =
            |word: &&str| if word.contains(' ') { format!("\"{word}\"") } else { (*word).to_owned() };
        let words: Vec<String> = self.words.iter().map(quoted).collect();
        format!("redis-benchmark {} {}", self.options().join(" "), words.join(" "))
    }

    fn options(self) -> Vec<String> {
        let Self { requests, pipeline, keys, words: _ } = self;
        let text = format!("-c 50 -P {pipeline} -n {requests} -r {keys}");
        text.split(' ').map(str::to_owned).collect()
    }

    pub(crate) fn run(self, addr: &str) -> Result<Outcome> {
        let words = self.words.iter().map(|word| (*word).to_owned());
        let csv = redis_benchmark(addr, &self.options().into_iter().chain(words).collect::<Vec<_>>())?;
        outcome(&csv, &self.words.join(" "))
    }
}

/// What it prints of each test, by columns. An error, too, if a command was answered with one.
fn redis_benchmark(addr: &str, args: &[String]) -> Result<String> {
    let (host, port) = addr.split_once(':').context("an address has a port")?;
    let output = Command::new("redis-benchmark")
        .args(["-h", host, "-p", port, "--csv"])
        .args(args)
        .output()
        .context("could not start redis-benchmark; is it installed?")?;
    let (csv, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "redis-benchmark: {said}{csv}");
    Ok(csv.into_owned())
}

/// The line of `test`, by the names in the first line.
fn outcome(csv: &str, test: &str) -> Result<Outcome> {
    // A command may have commas of its own.
    let cells = |line: &str| line.trim_matches('"').split("\",\"").map(str::to_owned).collect::<Vec<_>>();
    let mut lines = csv.lines().map(cells);
    let names = lines.next().unwrap_or_default();
    let line = lines.find(|line| line.first().is_some_and(|name| name == test));
    let value = |name: &str| {
        let at = names.iter().position(|each| each == name)?;
        line.as_ref()?.get(at)?.parse().ok()
    };
    let (per_second, p99_ms) = (value("rps"), value("p99_latency_ms"));
    per_second
        .zip(p99_ms)
        .map(|(per_second, p99_ms)| Outcome { per_second, p99_ms })
        .with_context(|| format!("redis-benchmark told nothing of {test}:\n{csv}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_by_their_columns_names() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                   \"SET\",\"93283.58\",\"0.3\",\"0.527\",\"2.1\"\n\
                   \"GET\",\"78003.12\",\"0.3\",\"0.711\",\"2.1\"\n";
        assert_eq!(outcome(csv, "GET").unwrap(), Outcome { per_second: 78_003.12, p99_ms: 0.711 });
        let csv = "\"test\",\"rps\",\"p99_latency_ms\"\n\"EVAL return f(1, 2) 0\",\"12500.00\",\"39.5\"\n";
        assert_eq!(
            outcome(csv, "EVAL return f(1, 2) 0").unwrap(),
            Outcome { per_second: 12_500.0, p99_ms: 39.5 }
        );
        assert!(outcome(csv, "INCR").unwrap_err().to_string().contains("nothing of INCR"));
        assert!(outcome("", "SET").is_err());
    }
}
