//! What a node is told, as one struct. The table of settings says what each may be; the binary reads file,
//! variables and flags.

use crate::tls::AuthClients;
use ironcache_command::Compact;
use ironcache_control::RaftTimers;
use ironcache_keyspace::{EvictionPolicy, Tracking};
use ironcache_raft::Timers;
use ironcache_session::Class;
use ironcache_settings::{
    BadSetting, ClusterKey, Key, KeyspaceEvents, NodeKey, OutputLimit, OutputLimits, Percentiles,
    TlsProtocols, Value, Why, cluster,
};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A node's configuration, with a field for each setting. Their words are in `ironcache_settings::node::TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub bind: String,
    /// 0: clients come by TLS only.
    pub port: u16,
    /// Once resolved never 0; so is `http_port`.
    pub peer_port: u16,
    pub http_port: u16,
    /// Once resolved never empty.
    pub announce_host: String,
    /// Separated by spaces.
    pub allowed_hosts: String,
    /// Empty: `node.key` in `data_dir`.
    pub key_file: String,
    /// Empty: a new node draws its code.
    pub join_code_file: String,
    pub open_reads: bool,
    /// May this node belong to an insecure cluster?
    pub insecure: bool,
    pub requirepass: String,
    /// Empty: none.
    pub aclfile: String,
    pub acllog_max_len: u32,
    pub maxclients: u32,
    /// 0: none.
    pub maxmemory: u64,
    pub maxmemory_policy: EvictionPolicy,
    pub maxmemory_samples: u32,
    pub lfu_log_factor: u32,
    /// Minutes; 0 is never.
    pub lfu_decay_time: u32,
    pub maxmemory_clients: u64,
    pub client_output_buffer_limit: OutputLimits,
    pub notify_keyspace_events: KeyspaceEvents,
    /// 0 is no bound.
    pub tracking_table_max_keys: u64,
    /// Seconds; 0 is never.
    pub timeout: u64,
    /// Seconds; 0 is never.
    pub tcp_keepalive: u64,
    /// 0: none.
    pub tls_port: u16,
    /// As the next three, empty if there is none.
    pub tls_cert_file: String,
    pub tls_key_file: String,
    pub tls_ca_cert_file: String,
    pub tls_ca_cert_dir: String,
    pub tls_auth_clients: AuthClients,
    pub tls_protocols: TlsProtocols,
    pub backlog_bytes: u64,
    pub park_commands_max: u32,
    pub drain_timeout_ms: u64,
    pub ready_timeout_ms: u64,
    pub confirm_timeout_ms: u64,
    pub hang_timeout_ms: u64,
    pub stop_timeout_ms: u64,
    /// 0: never.
    pub snapshot_interval_s: u64,
    /// `None`: never.
    pub slowlog_slower_than_us: Option<u64>,
    pub slowlog_max_len: usize,
    /// 0: nothing is sampled.
    pub latency_monitor_threshold_ms: u64,
    pub latency_tracking: bool,
    pub latency_percentiles: Percentiles,
    pub busy_reply_threshold: u64,
    pub script_ms_max: u64,
    pub script_memory_bytes: u64,
    pub compact: Compact,
    pub list_max_listpack_size: String,
    pub list_compress_depth: u64,
    pub debug_command: DebugCommand,
    pub log: String,
    #[cfg(feature = "next")]
    pub next_zone: String,

    // Settings of the cluster that a node may be given for itself: [`Config::HOLDS`].
    pub heartbeat_ms: u64,
    pub election_min_ms: u64,
    pub election_max_ms: u64,
    /// Was any of the three given? If not, the node runs by the cluster's.
    pub own_timers: bool,

    /// The file that it was read from, if there is one.
    pub file: Option<PathBuf>,
}

/// Who may use `DEBUG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugCommand {
    Nobody,
    Everybody,
    /// Who connects from this machine.
    Local,
}

impl DebugCommand {
    const ALL: [DebugCommand; 3] = [DebugCommand::Nobody, DebugCommand::Everybody, DebugCommand::Local];

    fn of(word: &str) -> Option<DebugCommand> {
        DebugCommand::ALL.into_iter().find(|who| who.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            DebugCommand::Nobody => "no",
            DebugCommand::Everybody => "yes",
            DebugCommand::Local => "local",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::from_values(|key| key.setting().default_value(), |key| key.setting().default_value())
    }
}

impl Config {
    /// The settings of the cluster that a node may take from its own file, variables and flags, since raft runs by them
    /// before there is a log to read. A node that is given none of them runs by those that the cluster was created with,
    /// from its first start as a member on. Every other is refused there by name.
    pub const HOLDS: &'static [ClusterKey] =
        &[ClusterKey::HeartbeatMs, ClusterKey::ElectionMinMs, ClusterKey::ElectionMaxMs];

    /// Values are of the kind that their rows of the table have, and within their bounds.
    fn from_values(node: impl Fn(NodeKey) -> Value, cluster: impl Fn(ClusterKey) -> Value) -> Self {
        Config {
            data_dir: PathBuf::from(node(NodeKey::DataDir).to_string()),
            bind: node(NodeKey::Bind).to_string(),
            port: number(&node(NodeKey::Port)),
            peer_port: number(&node(NodeKey::PeerPort)),
            http_port: number(&node(NodeKey::HttpPort)),
            announce_host: node(NodeKey::AnnounceHost).to_string(),
            allowed_hosts: node(NodeKey::AllowedHosts).to_string(),
            key_file: node(NodeKey::KeyFile).to_string(),
            join_code_file: node(NodeKey::JoinCodeFile).to_string(),
            open_reads: is_yes(&node(NodeKey::OpenReads)),
            insecure: is_yes(&node(NodeKey::Insecure)),
            requirepass: node(NodeKey::Requirepass).to_string(),
            aclfile: node(NodeKey::Aclfile).to_string(),
            acllog_max_len: number(&node(NodeKey::AcllogMaxLen)),
            maxclients: number(&node(NodeKey::Maxclients)),
            maxmemory: number(&node(NodeKey::Maxmemory)),
            maxmemory_policy: node(NodeKey::MaxmemoryPolicy)
                .word()
                .and_then(EvictionPolicy::of)
                .expect("a value of the table is one"),
            maxmemory_samples: number(&node(NodeKey::MaxmemorySamples)),
            lfu_log_factor: number(&node(NodeKey::LfuLogFactor)),
            lfu_decay_time: number(&node(NodeKey::LfuDecayTime)),
            maxmemory_clients: number(&node(NodeKey::MaxmemoryClients)),
            client_output_buffer_limit: OutputLimits::parse(
                &node(NodeKey::ClientOutputBufferLimit).to_string(),
            )
            .expect("a value of the table is one"),
            notify_keyspace_events: KeyspaceEvents::parse(&node(NodeKey::NotifyKeyspaceEvents).to_string())
                .expect("a value of the table is one"),
            tracking_table_max_keys: number(&node(NodeKey::TrackingTableMaxKeys)),
            timeout: number(&node(NodeKey::Timeout)),
            tcp_keepalive: number(&node(NodeKey::TcpKeepalive)),
            tls_port: number(&node(NodeKey::TlsPort)),
            tls_cert_file: node(NodeKey::TlsCertFile).to_string(),
            tls_key_file: node(NodeKey::TlsKeyFile).to_string(),
            tls_ca_cert_file: node(NodeKey::TlsCaCertFile).to_string(),
            tls_ca_cert_dir: node(NodeKey::TlsCaCertDir).to_string(),
            tls_auth_clients: node(NodeKey::TlsAuthClients)
                .word()
                .and_then(AuthClients::of)
                .expect("a value of the table is one"),
            tls_protocols: TlsProtocols::parse(&node(NodeKey::TlsProtocols).to_string())
                .expect("a value of the table is one"),
            backlog_bytes: number(&node(NodeKey::BacklogBytes)),
            park_commands_max: number(&node(NodeKey::ParkCommandsMax)),
            drain_timeout_ms: number(&node(NodeKey::DrainTimeoutMs)),
            ready_timeout_ms: number(&node(NodeKey::ReadyTimeoutMs)),
            confirm_timeout_ms: number(&node(NodeKey::ConfirmTimeoutMs)),
            hang_timeout_ms: number(&node(NodeKey::HangTimeoutMs)),
            stop_timeout_ms: number(&node(NodeKey::StopTimeoutMs)),
            snapshot_interval_s: number(&node(NodeKey::SnapshotIntervalS)),
            slowlog_slower_than_us: node(NodeKey::SlowlogSlowerThanUs).number(),
            slowlog_max_len: number(&node(NodeKey::SlowlogMaxLen)),
            latency_monitor_threshold_ms: number(&node(NodeKey::LatencyMonitorThresholdMs)),
            latency_tracking: is_yes(&node(NodeKey::LatencyTracking)),
            latency_percentiles: Percentiles::parse(
                &node(NodeKey::LatencyTrackingInfoPercentiles).to_string(),
            )
            .expect("a value of the table is one"),
            busy_reply_threshold: number(&node(NodeKey::BusyReplyThreshold)),
            script_ms_max: number(&node(NodeKey::ScriptMsMax)),
            script_memory_bytes: number(&node(NodeKey::ScriptMemoryBytes)),
            compact: Compact {
                hash_fields: number(&node(NodeKey::HashMaxListpackEntries)),
                hash_bytes: number(&node(NodeKey::HashMaxListpackValue)),
                set_integers: number(&node(NodeKey::SetMaxIntsetEntries)),
                zset_members: number(&node(NodeKey::ZsetMaxListpackEntries)),
                zset_bytes: number(&node(NodeKey::ZsetMaxListpackValue)),
            },
            list_max_listpack_size: node(NodeKey::ListMaxListpackSize).to_string(),
            list_compress_depth: number(&node(NodeKey::ListCompressDepth)),
            debug_command: node(NodeKey::EnableDebugCommand)
                .word()
                .and_then(DebugCommand::of)
                .expect("a value of the table is one"),
            log: node(NodeKey::Log).to_string(),
            #[cfg(feature = "next")]
            next_zone: node(NodeKey::NextZone).to_string(),
            heartbeat_ms: number(&cluster(ClusterKey::HeartbeatMs)),
            election_min_ms: number(&cluster(ClusterKey::ElectionMinMs)),
            election_max_ms: number(&cluster(ClusterKey::ElectionMaxMs)),
            own_timers: false,
            file: None,
        }
    }

    /// What may wait for a client of this kind.
    pub(crate) fn output_limit(&self, class: Class) -> OutputLimit {
        match class {
            Class::Normal => self.client_output_buffer_limit.normal,
            Class::PubSub => self.client_output_buffer_limit.pubsub,
        }
    }

    /// Most bytes of replies that one client may ever be owed: more are not even made.
    pub(crate) fn output_bytes_max(&self) -> usize {
        let bounds = [self.client_output_buffer_limit.normal.hard_bytes, self.maxmemory_clients];
        let least = bounds.into_iter().filter(|bytes| *bytes > 0).min();
        least.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
    }

    /// By what keys note their use.
    pub(crate) fn tracking(&self) -> Tracking {
        if self.maxmemory_policy.counts_use() {
            Tracking::Frequency { log_factor: self.lfu_log_factor, decay_minutes: self.lfu_decay_time }
        } else {
            Tracking::Recency
        }
    }

    /// What this node runs raft by.
    pub(crate) fn timers(&self) -> Timers {
        let Config { heartbeat_ms, election_min_ms, election_max_ms, own_timers, .. } = *self;
        if own_timers {
            Timers::Own(RaftTimers { heartbeat_ms, election_min_ms, election_max_ms })
        } else {
            Timers::OfTheCluster
        }
    }

    pub fn value(&self, key: NodeKey) -> Value {
        match key {
            NodeKey::DataDir => Value::Text(self.data_dir.display().to_string()),
            NodeKey::Bind => Value::Text(self.bind.clone()),
            NodeKey::Port => Value::Number(self.port.into()),
            NodeKey::PeerPort => Value::Number(self.peer_port.into()),
            NodeKey::HttpPort => Value::Number(self.http_port.into()),
            NodeKey::AnnounceHost => Value::Text(self.announce_host.clone()),
            NodeKey::AllowedHosts => Value::Text(self.allowed_hosts.clone()),
            NodeKey::KeyFile => Value::Text(self.key_file.clone()),
            NodeKey::JoinCodeFile => Value::Text(self.join_code_file.clone()),
            NodeKey::OpenReads => yes_or_no(self.open_reads),
            NodeKey::Insecure => yes_or_no(self.insecure),
            NodeKey::Requirepass => Value::Text(self.requirepass.clone()),
            NodeKey::Aclfile => Value::Text(self.aclfile.clone()),
            NodeKey::AcllogMaxLen => Value::Number(self.acllog_max_len.into()),
            NodeKey::Maxclients => Value::Number(self.maxclients.into()),
            NodeKey::Maxmemory => Value::Number(self.maxmemory),
            NodeKey::MaxmemoryPolicy => Value::Word(self.maxmemory_policy.word()),
            NodeKey::MaxmemorySamples => Value::Number(self.maxmemory_samples.into()),
            NodeKey::LfuLogFactor => Value::Number(self.lfu_log_factor.into()),
            NodeKey::LfuDecayTime => Value::Number(self.lfu_decay_time.into()),
            NodeKey::MaxmemoryClients => Value::Number(self.maxmemory_clients),
            NodeKey::ClientOutputBufferLimit => Value::Text(self.client_output_buffer_limit.to_string()),
            NodeKey::NotifyKeyspaceEvents => Value::Text(self.notify_keyspace_events.to_string()),
            NodeKey::TrackingTableMaxKeys => Value::Number(self.tracking_table_max_keys),
            NodeKey::Timeout => Value::Number(self.timeout),
            NodeKey::TcpKeepalive => Value::Number(self.tcp_keepalive),
            NodeKey::TlsPort => Value::Number(self.tls_port.into()),
            NodeKey::TlsCertFile => Value::Text(self.tls_cert_file.clone()),
            NodeKey::TlsKeyFile => Value::Text(self.tls_key_file.clone()),
            NodeKey::TlsCaCertFile => Value::Text(self.tls_ca_cert_file.clone()),
            NodeKey::TlsCaCertDir => Value::Text(self.tls_ca_cert_dir.clone()),
            NodeKey::TlsAuthClients => Value::Word(self.tls_auth_clients.word()),
            NodeKey::TlsProtocols => Value::Text(self.tls_protocols.to_string()),
            NodeKey::BacklogBytes => Value::Number(self.backlog_bytes),
            NodeKey::ParkCommandsMax => Value::Number(self.park_commands_max.into()),
            NodeKey::DrainTimeoutMs => Value::Number(self.drain_timeout_ms),
            NodeKey::ReadyTimeoutMs => Value::Number(self.ready_timeout_ms),
            NodeKey::ConfirmTimeoutMs => Value::Number(self.confirm_timeout_ms),
            NodeKey::HangTimeoutMs => Value::Number(self.hang_timeout_ms),
            NodeKey::StopTimeoutMs => Value::Number(self.stop_timeout_ms),
            NodeKey::SnapshotIntervalS => Value::Number(self.snapshot_interval_s),
            NodeKey::SlowlogSlowerThanUs => self.slowlog_slower_than_us.map_or(Value::Never, Value::Number),
            NodeKey::SlowlogMaxLen => Value::Number(self.slowlog_max_len as u64),
            NodeKey::LatencyMonitorThresholdMs => Value::Number(self.latency_monitor_threshold_ms),
            NodeKey::LatencyTracking => yes_or_no(self.latency_tracking),
            NodeKey::LatencyTrackingInfoPercentiles => Value::Text(self.latency_percentiles.to_string()),
            NodeKey::BusyReplyThreshold => Value::Number(self.busy_reply_threshold),
            NodeKey::ScriptMsMax => Value::Number(self.script_ms_max),
            NodeKey::ScriptMemoryBytes => Value::Number(self.script_memory_bytes),
            NodeKey::HashMaxListpackEntries => Value::Number(self.compact.hash_fields as u64),
            NodeKey::HashMaxListpackValue => Value::Number(self.compact.hash_bytes as u64),
            NodeKey::SetMaxIntsetEntries => Value::Number(self.compact.set_integers as u64),
            NodeKey::ZsetMaxListpackEntries => Value::Number(self.compact.zset_members as u64),
            NodeKey::ZsetMaxListpackValue => Value::Number(self.compact.zset_bytes as u64),
            NodeKey::ListMaxListpackSize => Value::Text(self.list_max_listpack_size.clone()),
            NodeKey::ListCompressDepth => Value::Number(self.list_compress_depth),
            NodeKey::EnableDebugCommand => Value::Word(self.debug_command.word()),
            NodeKey::Log => Value::Text(self.log.clone()),
            #[cfg(feature = "next")]
            NodeKey::NextZone => Value::Text(self.next_zone.clone()),
        }
    }

    /// `None` for what this node does not hold ([`Config::HOLDS`]).
    pub fn cluster_value(&self, key: ClusterKey) -> Option<Value> {
        match key {
            ClusterKey::HeartbeatMs => Some(Value::Number(self.heartbeat_ms)),
            ClusterKey::ElectionMinMs => Some(Value::Number(self.election_min_ms)),
            ClusterKey::ElectionMaxMs => Some(Value::Number(self.election_max_ms)),
            ClusterKey::AutoRollout
            | ClusterKey::FinalizeAfterS
            | ClusterKey::OnFailure
            | ClusterKey::OnTotalLoss
            | ClusterKey::RecoverWaitS
            | ClusterKey::SettleMs
            | ClusterKey::StepTimeoutS
            | ClusterKey::MaxParallel
            | ClusterKey::HandoverTimeoutMs
            | ClusterKey::ParkMsMax
            | ClusterKey::SteadyMode
            | ClusterKey::MinInSync
            | ClusterKey::IsrTimeoutMs
            | ClusterKey::MaxLagBytes
            | ClusterKey::MaxLagOps => None,
        }
    }

    /// This configuration with `values` instead of its own. Values come from the table, which bounds them.
    pub fn with(&self, values: &BTreeMap<Key, Value>) -> Config {
        let given = |key| values.get(&key).cloned();
        let config = Config::from_values(
            |key| given(Key::Node(key)).unwrap_or_else(|| self.value(key)),
            |key| {
                let own = || self.cluster_value(key).unwrap_or_else(|| key.setting().default_value());
                given(Key::Cluster(key)).unwrap_or_else(own)
            },
        );
        let own_timers =
            self.own_timers || Config::HOLDS.iter().any(|key| given(Key::Cluster(*key)).is_some());
        Config { own_timers, file: self.file.clone(), ..config }
    }

    /// Fills in what is derived, and checks what the table cannot: that the values fit one another.
    ///
    /// # Errors
    /// Names the key, its value and what is wrong with it.
    pub fn resolve(mut self) -> Result<Config, BadSetting> {
        let unfit = |key: NodeKey, value: &str, why| Err(key.setting().bad(value, Why::Unfit(why)));
        let from = if self.port != 0 { self.port } else { self.tls_port };
        if from == 0 {
            return unfit(NodeKey::Port, "0", "no client could connect; give `port` or `tls-port`");
        }
        let derive = |given: u16, add: u16| if given != 0 { Some(given) } else { from.checked_add(add) };
        let why = "the port is above 65535; choose a lower `port`, or name this one";
        match derive(self.peer_port, 10_000) {
            Some(port) => self.peer_port = port,
            None => return unfit(NodeKey::PeerPort, "port + 10000", why),
        }
        match derive(self.http_port, 20_000) {
            Some(port) => self.http_port = port,
            None => return unfit(NodeKey::HttpPort, "port + 20000", why),
        }
        if self.port == self.peer_port || self.port == self.http_port || self.peer_port == self.http_port {
            let why = "client, peer and http port have to differ";
            return unfit(NodeKey::Port, &self.port.to_string(), why);
        }
        if self.tls_port != 0 {
            if [self.port, self.peer_port, self.http_port].contains(&self.tls_port) {
                let why = "it has to differ from the client, peer and http port";
                return unfit(NodeKey::TlsPort, &self.tls_port.to_string(), why);
            }
            self.check_tls()?;
        }
        if self.bind.parse::<std::net::IpAddr>().is_err() {
            return unfit(NodeKey::Bind, &self.bind, "an IP address is expected");
        }
        if self.announce_host.is_empty() {
            self.announce_host.clone_from(&self.bind);
        }
        if self.announce_host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return unfit(
                NodeKey::AnnounceHost,
                &self.announce_host,
                "clients and the other nodes are told this address, and it names no host; give `announce-host` a \
                 name or address that they reach, or `bind` to one",
            );
        }
        cluster::together(|key| self.cluster_value(key).unwrap_or_else(|| key.setting().default_value()))?;
        Ok(self)
    }

    /// Does a TLS port have what it needs? Whether the files can be used is found out where they are read.
    fn check_tls(&self) -> Result<(), BadSetting> {
        let unfit = |key: NodeKey, why| Err(key.setting().bad(&self.value(key).to_string(), Why::Unfit(why)));
        if self.tls_cert_file.is_empty() {
            return unfit(NodeKey::TlsCertFile, "`tls-port` needs a certificate; name its file");
        }
        if self.tls_key_file.is_empty() {
            return unfit(NodeKey::TlsKeyFile, "`tls-port` needs the key of its certificate; name its file");
        }
        let has_ca = !self.tls_ca_cert_file.is_empty() || !self.tls_ca_cert_dir.is_empty();
        if self.tls_auth_clients != AuthClients::No && !has_ca {
            let why = "nobody says whose certificates clients may show; name `tls-ca-cert-file` or \
                       `tls-ca-cert-dir`, or ask clients for none with `no`";
            return unfit(NodeKey::TlsAuthClients, why);
        }
        Ok(())
    }

    /// As the others are told.
    pub fn announced_tls_port(&self) -> Option<u16> {
        (self.tls_port != 0).then_some(self.tls_port)
    }

    /// `host:port` of the client port, as the others are told; of the TLS port, if clients have no other.
    pub fn client_addr(&self) -> String {
        self.addr(if self.port != 0 { self.port } else { self.tls_port })
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

fn is_yes(value: &Value) -> bool {
    value.word() == Some("yes")
}

fn yes_or_no(yes: bool) -> Value {
    Value::Word(if yes { "yes" } else { "no" })
}

/// The number of a setting in its field.
fn number<T: TryFrom<u64>>(value: &Value) -> T {
    let number = value.number().and_then(|number| T::try_from(number).ok());
    number.expect("the table bounds a number by what its field holds: a test holds both ends")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_settings::{all, cluster, node};

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
    fn clients_may_come_by_tls_only_and_not_by_nothing() {
        let only = Config { port: 0, ..Config::default() };
        let error = only.clone().resolve().unwrap_err().to_string();
        assert_eq!(error, "port = 0: no client could connect; give `port` or `tls-port`");
        let tls = Config { tls_port: 6380, tls_auth_clients: AuthClients::No, ..only };
        let error = tls.clone().resolve().unwrap_err().to_string();
        assert!(error.starts_with("tls-cert-file = : `tls-port` needs a certificate"), "{error}");
        let tls = Config { tls_cert_file: "c".to_owned(), ..tls };
        let error = tls.clone().resolve().unwrap_err().to_string();
        assert!(error.starts_with("tls-key-file = : "), "{error}");
        let tls = Config { tls_key_file: "k".to_owned(), ..tls };
        let resolved = tls.clone().resolve().unwrap();
        assert_eq!((resolved.peer_port, resolved.http_port), (16380, 26380));
        assert_eq!(resolved.announced_tls_port(), Some(6380));
        assert_eq!(resolved.client_addr(), "127.0.0.1:6380");
        let asking = Config { tls_auth_clients: AuthClients::Yes, ..tls };
        let error = asking.clone().resolve().unwrap_err().to_string();
        assert!(error.starts_with("tls-auth-clients = yes: nobody says whose certificates"), "{error}");
        assert!(Config { tls_ca_cert_dir: "d".to_owned(), ..asking }.resolve().is_ok());
    }

    #[test]
    fn the_tls_port_is_no_other_port() {
        let config = Config { tls_port: 6379, ..Config::default() };
        assert!(config.resolve().unwrap_err().to_string().starts_with("tls-port = 6379: it has to differ"));
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
    fn a_field_holds_its_setting_from_end_to_end() {
        for setting in all() {
            let texts = match setting.kind.range() {
                Some(range) => vec![range.least.to_string(), range.most.to_string()],
                None => vec![setting.default.to_owned()],
            };
            for text in texts {
                let value = setting.parse(&text).unwrap();
                let config = Config::default().with(&BTreeMap::from([(setting.key, value.clone())]));
                let read = match setting.key {
                    Key::Node(key) => Some(config.value(key)),
                    Key::Cluster(key) => config.cluster_value(key),
                };
                assert!(read.is_none_or(|read| read == value), "{} = {text}", setting.name);
                // Every other keeps its own.
                let others = |config: &Config| {
                    let node = node::TABLE.iter().filter(|other| other.key != setting.key);
                    node.map(|other| other.key)
                        .filter_map(|key| match key {
                            Key::Node(key) => Some(config.value(key)),
                            Key::Cluster(_) => None,
                        })
                        .collect::<Vec<_>>()
                };
                assert_eq!(others(&config), others(&Config::default()), "{}", setting.name);
            }
        }
    }

    #[test]
    fn what_a_node_holds_of_the_cluster_is_what_it_lists() {
        for key in cluster::keys() {
            let held = Config::default().cluster_value(key).is_some();
            assert_eq!(held, Config::HOLDS.contains(&key), "{}", key.name());
        }
    }
}
