//! What a node can be told: one struct, read from file, environment and flags by the binary.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A node's configuration. The TOML file, the `IRONCACHE_*` variables and the flags have these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// Where the node keeps its identity, raft log, binaries and checkpoint.
    pub data_dir: PathBuf,
    /// Address that the three listeners bind to.
    pub bind: String,
    /// Client port (RESP).
    pub port: u16,
    /// Raft and replication; 0 stands for `port` + 10000.
    pub peer_port: u16,
    /// Health, metrics, status and administration; 0 stands for `port` + 20000.
    pub http_port: u16,
    /// Host name or address that others are told; empty stands for `bind`.
    pub announce_host: String,
    /// Password that clients have to give with `AUTH`; empty asks for none.
    pub requirepass: String,
    /// Most clients at a time; one more is answered with an error.
    pub maxclients: u32,
    /// Replication frames kept for partial resynchronisation, in bytes.
    pub backlog_bytes: u64,
    /// Acknowledged bytes that an in-sync member may lack in mode `primary`.
    pub max_lag_bytes: u64,
    /// Acknowledged writes that an in-sync member may lack in mode `primary`.
    pub max_lag_ops: u64,
    /// A member that has not acknowledged for this long leaves the in-sync set, in ms.
    pub isr_timeout_ms: u64,
    /// In-sync members, the primary included, that a write needs; fewer answer `NOREPLICAS`.
    pub min_in_sync: u16,
    /// A handover without an outcome is aborted after this, in ms.
    pub handover_timeout_ms: u64,
    /// Commands held back during a handover, at most.
    pub park_commands_max: u32,
    /// How long a command is held back before it is answered `TRYAGAIN`, in ms.
    pub park_ms_max: u64,
    /// Raft's heartbeat, in ms.
    pub heartbeat_ms: u64,
    /// Raft's election timeout, lower bound, in ms.
    pub election_min_ms: u64,
    /// Raft's election timeout, upper bound, in ms.
    pub election_max_ms: u64,
    /// How long a stopping node waits for its clients to take their answers, in ms.
    pub drain_timeout_ms: u64,
    /// A new binary has to be ready within this, in ms.
    pub ready_timeout_ms: u64,
    /// A new binary has to be confirmed by the cluster within this, in ms.
    pub confirm_timeout_ms: u64,
    /// A daemon that gives no sign of life for this long counts as hung, in ms.
    pub hang_timeout_ms: u64,
    /// What is logged: a `tracing` filter such as `info` or `ironcache_raft=debug,info`.
    pub log: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("ironcache-data"),
            bind: "127.0.0.1".to_owned(),
            port: 6379,
            peer_port: 0,
            http_port: 0,
            announce_host: String::new(),
            requirepass: String::new(),
            maxclients: 10_000,
            // Ten seconds of 10,000 writes of 500 bytes: longer than a node is away for an upgrade.
            backlog_bytes: 64 << 20,
            max_lag_bytes: 1 << 20,
            max_lag_ops: 10_000,
            isr_timeout_ms: 2_000,
            min_in_sync: 1,
            handover_timeout_ms: 100,
            park_commands_max: 100_000,
            park_ms_max: 2_000,
            // Quiet machines can have 50/150/300; a small or shared one elects for nothing with these.
            heartbeat_ms: 100,
            election_min_ms: 500,
            election_max_ms: 1_000,
            drain_timeout_ms: 500,
            ready_timeout_ms: 30_000,
            confirm_timeout_ms: 60_000,
            hang_timeout_ms: 10_000,
            log: "info".to_owned(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{key} = {value}: {why}")]
    Bad { key: &'static str, value: String, why: &'static str },
}

impl Config {
    /// Fills in what is derived, and checks what can be checked without starting.
    ///
    /// # Errors
    /// Names the key, its value and what is wrong with it.
    pub fn resolve(mut self) -> Result<Config, ConfigError> {
        let bad = |key, value: String, why| Err(ConfigError::Bad { key, value, why });
        let derive = |given: u16, add: u16| if given != 0 { Some(given) } else { self.port.checked_add(add) };
        let why = "the port is above 65535; choose a lower `port`, or name this one";
        if self.port == 0 {
            return bad("port", "0".to_owned(), "a node's port has to be known to the others; choose one");
        }
        match derive(self.peer_port, 10_000) {
            Some(port) => self.peer_port = port,
            None => return bad("peer-port", "port + 10000".to_owned(), why),
        }
        match derive(self.http_port, 20_000) {
            Some(port) => self.http_port = port,
            None => return bad("http-port", "port + 20000".to_owned(), why),
        }
        if self.port == self.peer_port || self.port == self.http_port || self.peer_port == self.http_port {
            return bad("port", self.port.to_string(), "client, peer and http port have to differ");
        }
        if self.bind.parse::<std::net::IpAddr>().is_err() {
            return bad("bind", self.bind, "an IP address is expected");
        }
        if self.announce_host.is_empty() {
            self.announce_host.clone_from(&self.bind);
        }
        if self.announce_host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return bad(
                "announce-host",
                self.announce_host,
                "clients and the other nodes are told this address, and it names no host; give `announce-host` a \
                 name or address that they reach, or `bind` to one",
            );
        }
        for (key, value, why) in self.never_zero() {
            if value == 0 {
                return bad(key, "0".to_owned(), why);
            }
        }
        if self.heartbeat_ms == 0 || self.election_min_ms < 2 * self.heartbeat_ms {
            let value = self.election_min_ms.to_string();
            return bad(
                "election-min-ms",
                value,
                "at least twice heartbeat-ms is needed, or leaders come and go",
            );
        }
        if self.election_max_ms <= self.election_min_ms {
            let value = self.election_max_ms.to_string();
            return bad("election-max-ms", value, "it has to be above election-min-ms");
        }
        if self.min_in_sync == 0 {
            return bad("min-in-sync", "0".to_owned(), "the primary itself counts: 1 is the least");
        }
        if self.backlog_bytes < 1 << 14 {
            let value = self.backlog_bytes.to_string();
            return bad("backlog-bytes", value, "at least 16384 bytes are needed");
        }
        Ok(self)
    }

    /// The settings that switch something off that a node cannot do without, when they are 0; and what to do.
    fn never_zero(&self) -> [(&'static str, u64, &'static str); 9] {
        [
            ("maxclients", self.maxclients.into(), "no client could connect; at least 1 is needed"),
            (
                "ready-timeout-ms",
                self.ready_timeout_ms,
                "no binary is ready within 0 ms, so the node would start for ever; at least 1, and seconds in practice",
            ),
            (
                "confirm-timeout-ms",
                self.confirm_timeout_ms,
                "no upgrade could be confirmed within 0 ms; at least 1, and seconds in practice",
            ),
            (
                "hang-timeout-ms",
                self.hang_timeout_ms,
                "every daemon would count as hung, and be killed; at least 1, and seconds in practice",
            ),
            (
                "handover-timeout-ms",
                self.handover_timeout_ms,
                "every handover would be aborted at once; at least 1, and 100 in practice",
            ),
            (
                "isr-timeout-ms",
                self.isr_timeout_ms,
                "every replica would leave the in-sync set at once; at least 1, and 2000 in practice",
            ),
            (
                "drain-timeout-ms",
                self.drain_timeout_ms,
                "clients would lose the answers to what a stopping node has executed; at least 1, and 500 in practice",
            ),
            ("park-ms-max", self.park_ms_max, "clients would get TRYAGAIN in every handover; at least 1"),
            (
                "park-commands-max",
                self.park_commands_max.into(),
                "clients would get TRYAGAIN in every handover; at least 1",
            ),
        ]
    }

    /// `host:port` of the client port, as the others are told.
    pub fn client_addr(&self) -> String {
        self.addr(self.port)
    }

    pub fn peer_addr(&self) -> String {
        self.addr(self.peer_port)
    }

    pub fn http_addr(&self) -> String {
        self.addr(self.http_port)
    }

    fn addr(&self, port: u16) -> String {
        match self.announce_host.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            _ => format!("{}:{port}", self.announce_host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_derived_from_the_client_port() {
        let config = Config::default().resolve().unwrap();
        assert_eq!((config.peer_port, config.http_port), (16379, 26379));
    }

    #[test]
    fn a_port_without_room_for_the_others_is_refused() {
        let error = Config { port: 60_000, ..Config::default() }.resolve().unwrap_err();
        assert!(error.to_string().starts_with("peer-port = port + 10000"), "{error}");
    }

    #[test]
    fn a_zero_that_would_stop_a_node_is_refused_with_the_bar_and_what_to_do() {
        for (key, _, why) in Config::default().never_zero() {
            let config: Config = toml::from_str(&format!("{key} = 0")).unwrap();
            let error = config.resolve().unwrap_err().to_string();
            assert_eq!(error, format!("{key} = 0: {why}"));
            assert!(error.contains("at least 1"), "{error}");
        }
    }

    #[test]
    fn an_address_that_nobody_can_reach_is_not_announced() {
        for bind in ["0.0.0.0", "::"] {
            let config = Config { bind: bind.to_owned(), ..Config::default() };
            let error = config.clone().resolve().unwrap_err().to_string();
            assert!(error.starts_with(&format!("announce-host = {bind}: ")), "{error}");
            assert!(error.contains("give `announce-host` a name or address"), "{error}");
            let named = Config { announce_host: "node-1.example".to_owned(), ..config };
            assert_eq!(named.resolve().unwrap().client_addr(), "node-1.example:6379");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = toml::from_str::<Config>("prot = 1").unwrap_err().to_string();
        assert!(error.contains("unknown field `prot`"), "{error}");
    }
}
