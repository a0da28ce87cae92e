//! The settings of one node: its file, its `IRONCACHE_*` variables, its flags.

use crate::kind::{DAY_MS, Form, Kind, Range, Unit};
use crate::setting::{Change, Key, Setting};

/// In the order of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKey {
    DataDir,
    Bind,
    Port,
    PeerPort,
    HttpPort,
    AnnounceHost,
    AllowedHosts,
    KeyFile,
    JoinCodeFile,
    OpenReads,
    Insecure,
    Requirepass,
    Aclfile,
    AcllogMaxLen,
    Maxclients,
    Maxmemory,
    MaxmemoryPolicy,
    MaxmemorySamples,
    LfuLogFactor,
    LfuDecayTime,
    MaxmemoryClients,
    ClientOutputBufferLimit,
    NotifyKeyspaceEvents,
    TrackingTableMaxKeys,
    Timeout,
    TcpKeepalive,
    TlsPort,
    TlsCertFile,
    TlsKeyFile,
    TlsCaCertFile,
    TlsCaCertDir,
    TlsAuthClients,
    TlsProtocols,
    BacklogBytes,
    ParkCommandsMax,
    DrainTimeoutMs,
    ReadyTimeoutMs,
    ConfirmTimeoutMs,
    HangTimeoutMs,
    StopTimeoutMs,
    SnapshotIntervalS,
    SlowlogSlowerThanUs,
    SlowlogMaxLen,
    LatencyMonitorThresholdMs,
    LatencyTracking,
    LatencyTrackingInfoPercentiles,
    BusyReplyThreshold,
    ScriptMsMax,
    ScriptMemoryBytes,
    HashMaxListpackEntries,
    HashMaxListpackValue,
    SetMaxIntsetEntries,
    ZsetMaxListpackEntries,
    ZsetMaxListpackValue,
    ListMaxListpackSize,
    ListCompressDepth,
    EnableDebugCommand,
    Log,
    #[cfg(feature = "next")]
    NextZone,
}

impl NodeKey {
    pub fn setting(self) -> &'static Setting {
        &TABLE[self as usize]
    }
}

const PORT_MOST: &str = "no port is above 65535";

/// Zero stands for one derived from `port`.
const DERIVED_PORT: Kind =
    Kind::number(Unit::Port, Range { least: 0, below: "", most: 65_535, above: PORT_MOST });

/// Up to where `OBJECT ENCODING` calls a value compact, as Redis would: by Redis' names, of which the older one is known, too.
const fn compact(
    key: NodeKey,
    name: &'static str,
    older: Option<&'static str>,
    default: &'static str,
    doc: &'static str,
) -> Setting {
    Setting {
        key: Key::Node(key),
        name,
        kind: Kind::number(
            Unit::Count,
            Range { least: 0, below: "", most: 1 << 32, above: "no value has that many elements" },
        ),
        default,
        change: Change::Running,
        redis: older,
        doc,
        more: "How a value is held here does not follow from it.",
    }
}

/// How many there are.
const COUNT: usize = NodeKey::Log as usize + 1 + cfg!(feature = "next") as usize;

pub static TABLE: [Setting; COUNT] = [
    Setting {
        key: Key::Node(NodeKey::DataDir),
        name: "data-dir",
        kind: Kind::Text(Form::Directory),
        default: "ironcache-data",
        change: Change::AtStart,
        redis: Some("dir"),
        doc: "Where the node keeps its identity, raft log, binaries and checkpoint",
        more: "One node, one directory: a directory that another process uses is refused, and so is a copy of it \
               while its node answers where it was. Start a new node with an empty directory.",
    },
    Setting {
        key: Key::Node(NodeKey::Bind),
        name: "bind",
        kind: Kind::Text(Form::IpAddress),
        default: "127.0.0.1",
        change: Change::AtStart,
        redis: None,
        doc: "The IP address that all listeners bind to",
        more: "In a cluster with keys the peer and HTTP ports know members and operators by their keys \
               (docs/adr/0032-keys-not-addresses.md). In an insecure one they believe everybody: bind to a network that \
               you trust.",
    },
    Setting {
        key: Key::Node(NodeKey::Port),
        name: "port",
        kind: Kind::number(Unit::Port, Range { least: 0, below: "", most: 65_535, above: PORT_MOST }),
        default: "6379",
        change: Change::AtStart,
        redis: None,
        doc: "Client port (RESP); 0 serves clients by TLS only, at `tls-port`",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::PeerPort),
        name: "peer-port",
        kind: DERIVED_PORT,
        default: "0",
        change: Change::AtStart,
        redis: None,
        doc: "Port of raft and replication; 0 stands for port + 10000, or tls-port + 10000 where port is 0",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::HttpPort),
        name: "http-port",
        kind: DERIVED_PORT,
        default: "0",
        change: Change::AtStart,
        redis: None,
        doc: "Port of health, metrics, status and administration; 0 stands for port + 20000, as with `peer-port`",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::AnnounceHost),
        name: "announce-host",
        kind: Kind::Text(Form::Host),
        default: "",
        change: Change::AtStart,
        redis: None,
        doc: "Host name or address that clients and peers are told; empty stands for `bind`",
        more: "Set it when `bind` is 0.0.0.0 or the node is behind an address translation.",
    },
    Setting {
        key: Key::Node(NodeKey::AllowedHosts),
        name: "allowed-hosts",
        kind: Kind::Text(Form::Hosts),
        default: "",
        change: Change::AtStart,
        redis: None,
        doc: "Further names, separated by spaces, that requests on the HTTP and peer port may call this node by",
        more: "Addresses, `localhost` and the hosts that the cluster's nodes announce need no mention. Any other name is \
               refused (421, `foreign_host`): it may be that of a page in somebody's browser, made to resolve to the node. \
               Name here what a load balancer or Prometheus calls the node by.",
    },
    Setting {
        key: Key::Node(NodeKey::KeyFile),
        name: "key-file",
        kind: Kind::Text(Form::File),
        default: "",
        change: Change::AtStart,
        redis: None,
        doc: "The file of the key that this node proves to others (0600), made if there is none; empty stands for \
              `node.key` in `data-dir`",
        more: "A node is known by its key for as long as it lives. Keep it on the node's own volume, and in no backup: \
               whoever reads it is that node.",
    },
    Setting {
        key: Key::Node(NodeKey::JoinCodeFile),
        name: "join-code-file",
        kind: Kind::Text(Form::File),
        default: "",
        change: Change::AtStart,
        redis: None,
        doc: "The file (a Secret) of the join code that a new node obeys; without one a new node draws a code and prints it",
        more: "`ironcache cluster join-code` makes one. It is read until the node belongs to a cluster, and never sent.",
    },
    Setting {
        key: Key::Node(NodeKey::OpenReads),
        name: "open-reads",
        kind: Kind::Word(&["yes", "no"]),
        default: "no",
        change: Change::AtStart,
        redis: None,
        doc: "Are `/metrics` and `/status` answered without a key to other machines too; to this one they always are",
        more: "For a Prometheus on another machine, which holds no key. `/livez` and `/readyz` are answered to everybody.",
    },
    Setting {
        key: Key::Node(NodeKey::Insecure),
        name: "insecure",
        kind: Kind::Word(&["yes", "no"]),
        default: "no",
        change: Change::AtStart,
        redis: None,
        doc: "May this node belong to an insecure cluster, which knows nobody by a key: `yes` or `no`",
        more: "It permits, and chooses nothing: `ironcache cluster create --insecure` does. Whoever reaches the peer or the \
               HTTP port of such a node owns it. With `no` a new node obeys nobody but who proves its join code.",
    },
    Setting {
        key: Key::Node(NodeKey::Requirepass),
        name: "requirepass",
        kind: Kind::Text(Form::Password),
        default: "",
        change: Change::Running,
        redis: None,
        doc: "Password that clients have to give with AUTH; empty asks for none",
        more: "It is that of the user `default`, until somebody sets that user in the cluster (`ACL SETUSER default …`).",
    },
    Setting {
        key: Key::Node(NodeKey::Aclfile),
        name: "aclfile",
        kind: Kind::Text(Form::File),
        default: "",
        change: Change::AtStart,
        redis: None,
        doc: "A file of users, as Redis writes it: `ACL LOAD` makes them those of the cluster, `ACL SAVE` writes them there",
        more: "It is read at no other time: users are kept in the cluster's log.",
    },
    Setting {
        key: Key::Node(NodeKey::AcllogMaxLen),
        name: "acllog-max-len",
        kind: Kind::number(
            Unit::Count,
            Range {
                least: 0,
                below: "",
                most: 100_000,
                above: "nobody reads so many, and each is kept with its client",
            },
        ),
        default: "128",
        change: Change::Running,
        redis: None,
        doc: "Entries of `ACL LOG` that are kept: what was refused to users at this node",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::Maxclients),
        name: "maxclients",
        kind: Kind::number(
            Unit::Count,
            Range {
                least: 1,
                below: "no client could connect",
                most: 1_000_000,
                above: "a process has descriptors for about a million connections, and would fail at its files instead \
                        of refusing a client",
            },
        ),
        default: "10000",
        change: Change::Running,
        redis: None,
        doc: "Most clients at a time; one more takes the place of one that has sent no command for 5 s since it came, or is answered with an error",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::Maxmemory),
        name: "maxmemory",
        kind: Kind::number(
            Unit::Memory,
            Range {
                least: 0,
                below: "",
                most: 1 << 50,
                above: "no machine has more than a petabyte of memory",
            },
        ),
        default: "0",
        change: Change::Running,
        redis: None,
        doc: "Memory for keys, values and what is kept for clients, in bytes; 0 sets no bound",
        more: "Above it keys go by `maxmemory-policy`, on a primary; replicas delete what their primary does. `backlog-bytes` and \
               what the process takes by itself come on top: docs/operations.md sizes a node. A release before 0.2.0 does not \
               know this setting: while a rollback to one is possible, set it with `CONFIG SET`, not in the file.",
    },
    Setting {
        key: Key::Node(NodeKey::MaxmemoryPolicy),
        name: "maxmemory-policy",
        kind: Kind::Word(&[
            "noeviction",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
        ]),
        default: "noeviction",
        change: Change::Running,
        redis: None,
        doc: "Which keys go above `maxmemory`; with `noeviction` none, and commands that need more memory are refused",
        more: "Of all keys, or of those that expire (`volatile-`): the least recently or least frequently used, any, or the one \
               that expires next. Give all nodes of a shard the same: after a handover the new primary's counts.",
    },
    Setting {
        key: Key::Node(NodeKey::MaxmemorySamples),
        name: "maxmemory-samples",
        kind: Kind::number(
            Unit::Count,
            Range {
                least: 1,
                below: "nothing would be drawn, and so nothing would go",
                most: 64,
                above: "each key that goes would cost looking at so many that clients wait",
            },
        ),
        default: "5",
        change: Change::Running,
        redis: None,
        doc: "Keys that are drawn for each that goes, under the policies by use",
        more: "Ten come close to true LRU.",
    },
    Setting {
        key: Key::Node(NodeKey::LfuLogFactor),
        name: "lfu-log-factor",
        kind: Kind::number(
            Unit::Count,
            Range { least: 0, below: "", most: 2_147_483_647, above: "Redis takes no larger factor" },
        ),
        default: "10",
        change: Change::Running,
        redis: None,
        doc: "How slowly the count of a key's uses grows under the `-lfu` policies",
        more: "With 10 it takes about a million uses until the count, which is logarithmic, reaches its end of 255.",
    },
    Setting {
        key: Key::Node(NodeKey::LfuDecayTime),
        name: "lfu-decay-time",
        kind: Kind::number(
            Unit::Count,
            Range { least: 0, below: "", most: 2_147_483_647, above: "Redis takes no longer time" },
        ),
        default: "1",
        change: Change::Running,
        redis: None,
        doc: "Minutes without use after which the count of a key's uses falls by one; 0 lets it stand",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::MaxmemoryClients),
        name: "maxmemory-clients",
        kind: Kind::number(
            Unit::Bytes,
            Range {
                least: 0,
                below: "",
                most: 1 << 40,
                above: "clients that read nothing would take a terabyte",
            },
        ),
        // Sixteen clients may pipeline the replies of half a million GETs of 128 bytes each. Larger, and a few clients that
        // read nothing end a small node.
        default: "1073741824",
        change: Change::Running,
        redis: None,
        doc: "Replies and commands kept for all clients together, in bytes; 0 sets no bound",
        more: "Above it the client that takes most of it is closed, and the log says so. What every connection takes to \
               begin with does not count.",
    },
    Setting {
        key: Key::Node(NodeKey::ClientOutputBufferLimit),
        name: "client-output-buffer-limit",
        kind: Kind::Text(Form::OutputLimits),
        default: "normal 0 0 0 pubsub 33554432 8388608 60",
        change: Change::Running,
        redis: None,
        doc: "What may wait for one client, by kind: `normal` or `pubsub`, hard bytes, soft bytes, soft seconds; 0 sets no bound",
        more: "A client with more than the hard limit is closed, and so is one that is above the soft limit for longer \
               than its seconds; the log says so. `pubsub` are those that listen to channels, from 0.2.0 on: an older \
               release does not start with it. Of a kind that is not named the default stands, and by `CONFIG SET` what \
               is in force. Bytes may carry Redis' units, as in `normal 256mb 64mb 60`.",
    },
    Setting {
        key: Key::Node(NodeKey::NotifyKeyspaceEvents),
        name: "notify-keyspace-events",
        kind: Kind::Text(Form::KeyspaceEvents),
        default: "",
        change: Change::Running,
        redis: None,
        doc: "What clients are told of what happens to keys, by Redis' letters, as `KEA`; empty is nothing",
        more: "From 0.2.0 on: an older release does not start with it. `K` and `E` say to which channels \
               (`__keyspace@0__:KEY`, `__keyevent@0__:EVENT`), the others of what: `g` any key, `$` strings, `l` lists, `s` sets, \
               `h` hashes, `z` sorted sets, `t` streams, `x` expired, `e` evicted, `A` all of these; `n` new keys, `m` keys \
               that were not found. A node tells its own clients, and of its own keys alone, as their primary: so \
               set it on every node, and listen at every primary.",
    },
    Setting {
        key: Key::Node(NodeKey::TrackingTableMaxKeys),
        name: "tracking-table-max-keys",
        kind: Kind::number(
            Unit::Count,
            Range {
                least: 0,
                below: "",
                most: 1 << 30,
                above: "the table would take a quarter of a terabyte",
            },
        ),
        default: "1000000",
        change: Change::Running,
        redis: None,
        doc: "Keys that are remembered for clients which keep what they read (`CLIENT TRACKING`); 0 sets no bound",
        more: "From 0.2.0 on: an older release does not start with it. Beyond it keys are forgotten, and those who have read them are \
               told to do the same. So they are if the table takes more than 256 bytes a key that it may hold.",
    },
    Setting {
        key: Key::Node(NodeKey::Timeout),
        name: "timeout",
        kind: Kind::number(
            Unit::Seconds,
            Range { least: 0, below: "", most: DAY_MS, above: "no client is waited for that long" },
        ),
        default: "0",
        change: Change::Running,
        redis: None,
        doc: "A client that sends nothing for this long is closed, in s; 0 waits for ever",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::TcpKeepalive),
        name: "tcp-keepalive",
        kind: Kind::number(
            Unit::Seconds,
            Range { least: 0, below: "", most: 32_767, above: "the kernel takes no longer time" },
        ),
        default: "300",
        change: Change::Running,
        redis: None,
        doc: "A silent connection is probed after this long, in s, so that one whose peer vanished ends; 0 never probes",
        more: "It holds for connections of clients, peers and HTTP that begin after it was set.",
    },
    Setting {
        key: Key::Node(NodeKey::TlsPort),
        name: "tls-port",
        kind: Kind::number(Unit::Port, Range { least: 0, below: "", most: 65_535, above: PORT_MOST }),
        default: "0",
        change: Change::AtStart,
        redis: None,
        doc: "Client port (RESP) by TLS; 0 opens none",
        more: "It needs a certificate and its key, and a CA unless `tls-auth-clients` is `no`. A client that came by TLS \
               is sent to the TLS ports of the other nodes.",
    },
    Setting {
        key: Key::Node(NodeKey::TlsCertFile),
        name: "tls-cert-file",
        kind: Kind::Text(Form::File),
        default: "",
        change: Change::Running,
        redis: None,
        doc: "The node's certificate for clients, and those between it and its CA, in PEM",
        more: "Like the key and the CA it is read anew when it changes, by SIGHUP, and by `CONFIG SET` of its path, the \
               same one too. A file that cannot be used leaves what was read before in force; the log, `/status` and \
               INFO say so. Connections stay as they are.",
    },
    Setting {
        key: Key::Node(NodeKey::TlsKeyFile),
        name: "tls-key-file",
        kind: Kind::Text(Form::File),
        default: "",
        change: Change::Running,
        redis: None,
        doc: "The key of that certificate, in PEM, without a pass phrase",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::TlsCaCertFile),
        name: "tls-ca-cert-file",
        kind: Kind::Text(Form::File),
        default: "",
        change: Change::Running,
        redis: None,
        doc: "The CAs, in PEM, one of which has to have signed a client's certificate",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::TlsCaCertDir),
        name: "tls-ca-cert-dir",
        kind: Kind::Text(Form::Directory),
        default: "",
        change: Change::Running,
        redis: None,
        doc: "A folder of such CAs, besides `tls-ca-cert-file`; every certificate in its files counts",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::TlsAuthClients),
        name: "tls-auth-clients",
        kind: Kind::Word(&["yes", "no", "optional"]),
        default: "yes",
        change: Change::Running,
        redis: None,
        doc: "Does a client have to show a certificate of the CA by TLS: `yes`, `no`, or only a good one if it shows any",
        more: "It says who may connect, and is no user: `requirepass` holds beside it.",
    },
    Setting {
        key: Key::Node(NodeKey::TlsProtocols),
        name: "tls-protocols",
        kind: Kind::Text(Form::TlsProtocols),
        default: "TLSv1.2 TLSv1.3",
        change: Change::Running,
        redis: None,
        doc: "The versions of TLS that are spoken: `TLSv1.2`, `TLSv1.3` or both",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::BacklogBytes),
        name: "backlog-bytes",
        kind: Kind::number(
            Unit::Bytes,
            Range {
                least: 1 << 14,
                below: "hardly a write fits, so every replica that comes back would copy the whole dataset",
                most: 1 << 40,
                above: "a node would hold more than a terabyte of frames beside its dataset",
            },
        ),
        // Ten seconds of 10,000 writes of 500 bytes: longer than a node is away for an upgrade.
        default: "67108864",
        change: Change::AtStart,
        redis: Some("repl-backlog-size"),
        doc: "Replication frames kept for a replica that comes back, in bytes",
        more: "Larger: a longer absence ends in a partial instead of a full synchronisation. It should hold what is \
               written while a node is upgraded. While replicas have yet to take more than half of it, writes wait; \
               what they have yet to take is kept in any case, so that one large write may take more than this.",
    },
    Setting {
        key: Key::Node(NodeKey::ParkCommandsMax),
        name: "park-commands-max",
        kind: Kind::number(
            Unit::Count,
            Range {
                least: 1,
                below: "clients would get TRYAGAIN in every handover",
                most: 10_000_000,
                above: "a connection holds back one command, and no node has so many",
            },
        ),
        default: "100000",
        change: Change::Running,
        redis: None,
        doc: "Commands held back during a handover, at most; one more is answered TRYAGAIN",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::DrainTimeoutMs),
        name: "drain-timeout-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 1,
                below: "clients would lose the answers to what a stopping node has executed",
                most: 60_000,
                above: "one client that reads nothing would keep a node from stopping for more than a minute",
            },
        ),
        default: "500",
        change: Change::AtStart,
        redis: None,
        doc: "How long a stopping node waits for its clients to take their answers, in ms",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::ReadyTimeoutMs),
        name: "ready-timeout-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 1,
                below: "no binary is ready within 0 ms, so the node would start for ever",
                most: DAY_MS,
                above: "a binary that never becomes ready would be waited for longer than a day",
            },
        ),
        default: "30000",
        change: Change::AtStart,
        redis: None,
        doc: "A new binary has to be ready within this, in ms, or the node goes back to the old one",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::ConfirmTimeoutMs),
        name: "confirm-timeout-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 1,
                below: "no upgrade could be confirmed within 0 ms",
                most: DAY_MS,
                above: "a binary that the cluster cannot use would be kept on trial for longer than a day",
            },
        ),
        default: "60000",
        change: Change::AtStart,
        redis: None,
        doc: "A new binary has to be confirmed by the cluster within this, in ms, or the node goes back",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::HangTimeoutMs),
        name: "hang-timeout-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 1,
                below: "every daemon would count as hung, and be killed",
                most: DAY_MS,
                above: "a hung daemon would hold its sockets, and its clients, for longer than a day",
            },
        ),
        default: "10000",
        change: Change::AtStart,
        redis: None,
        doc: "A daemon that gives no sign of life for this long counts as hung, in ms, and is restarted",
        more: "A command that takes longer is no hang: what counts is that nothing advances any more.",
    },
    Setting {
        key: Key::Node(NodeKey::StopTimeoutMs),
        name: "stop-timeout-ms",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 1,
                below: "a stop would be cut off before anything was put in order",
                most: DAY_MS,
                above: "a node whose disk hangs would take longer than a day to end",
            },
        ),
        default: "10000",
        change: Change::AtStart,
        redis: None,
        doc: "A node that is stopped, and whose stop does not advance for this long, is ended, in ms",
        more: "As long as its checkpoint grows it has all the time it needs. What clients may take (`drain-timeout-ms`) \
               comes on top. Whoever stops nodes (a service manager, a kubelet) has to be as patient: its own time \
               limit does not know what advances.",
    },
    Setting {
        key: Key::Node(NodeKey::SnapshotIntervalS),
        name: "snapshot-interval-s",
        kind: Kind::number(
            Unit::Seconds,
            Range {
                least: 0,
                below: "",
                most: 366 * 24 * 60 * 60,
                above: "a snapshot that is older than a year helps nobody, and 0 says never",
            },
        ),
        // A cache whose nodes lose power all at once is filled again; and each snapshot writes the whole dataset.
        default: "0",
        change: Change::Running,
        redis: None,
        doc: "How often a node writes a snapshot of its dataset beside serving it, in seconds; 0 writes none",
        more: "It is what is left when all nodes of a shard lose power at once: the shard then goes on with the newest one \
               of them, and says how old it is. An orderly stop needs none. What Redis calls `save`, but for the count \
               of changes: an unchanged dataset is not written again. The disk has to hold it twice.",
    },
    Setting {
        key: Key::Node(NodeKey::SlowlogSlowerThanUs),
        name: "slowlog-slower-than-us",
        kind: Kind::NumberOrNever {
            unit: Unit::Us,
            range: Range {
                least: 0,
                below: "",
                most: DAY_MS * 1000,
                above: "no command takes longer than a day",
            },
        },
        default: "10000",
        change: Change::Running,
        redis: Some("slowlog-log-slower-than"),
        doc: "A command that takes this long, in us, is kept for `SLOWLOG`; 0 keeps every one, `never` none",
        more: "By Redis' name `never` is -1.",
    },
    Setting {
        key: Key::Node(NodeKey::SlowlogMaxLen),
        name: "slowlog-max-len",
        kind: Kind::number(
            Unit::Count,
            Range { least: 0, below: "", most: 1 << 20, above: "slow commands would take gigabytes" },
        ),
        default: "128",
        change: Change::Running,
        redis: None,
        doc: "Slow commands that are kept; the oldest goes when another one comes",
        more: "Of a command 32 arguments are kept, and 128 bytes of each.",
    },
    Setting {
        key: Key::Node(NodeKey::LatencyMonitorThresholdMs),
        name: "latency-monitor-threshold-ms",
        kind: Kind::number(
            Unit::Ms,
            Range { least: 0, below: "", most: DAY_MS, above: "nothing takes longer than a day" },
        ),
        default: "0",
        change: Change::Running,
        redis: Some("latency-monitor-threshold"),
        doc: "What takes this long, in ms, is a sample of `LATENCY`; 0 takes none",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::LatencyTracking),
        name: "latency-tracking",
        kind: Kind::Word(&["yes", "no"]),
        default: "yes",
        change: Change::Running,
        redis: None,
        doc: "Is it counted how long each command takes, for `INFO latencystats` and `LATENCY HISTOGRAM`: `yes` or `no`",
        more: "A command that was called takes up to 13 KB for that.",
    },
    Setting {
        key: Key::Node(NodeKey::LatencyTrackingInfoPercentiles),
        name: "latency-tracking-info-percentiles",
        kind: Kind::Text(Form::Percentiles),
        default: "50 99 99.9",
        change: Change::Running,
        redis: None,
        doc: "The percentiles that `INFO latencystats` shows, separated by spaces; empty shows none",
        more: "",
    },
    Setting {
        key: Key::Node(NodeKey::BusyReplyThreshold),
        name: "busy-reply-threshold",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 0,
                below: "",
                most: DAY_MS,
                above: "clients would wait a day before they are told why",
            },
        ),
        default: "5000",
        change: Change::Running,
        redis: Some("lua-time-limit"),
        doc: "How long a script runs before other clients are answered BUSY, in ms; 0 lets them wait",
        more: "From then on SCRIPT KILL ends it. A script that has written something is not interrupted: others wait until it ends, \
               `script-ms-max` at the latest.",
    },
    Setting {
        key: Key::Node(NodeKey::ScriptMsMax),
        name: "script-ms-max",
        kind: Kind::number(
            Unit::Ms,
            Range {
                least: 0,
                below: "",
                most: DAY_MS,
                above: "a script that never ends would hold its shard for a day",
            },
        ),
        // Twice `busy-reply-threshold`: a script that is no mistake has ended long before. Longer, and one that has written
        // and never ends holds its shard so long.
        default: "10000",
        change: Change::Running,
        redis: None,
        doc: "How long a script may run, in ms; 0 sets no bound",
        more: "Beyond it the script ends with an error. What it had written stays, as after any other error of a script.",
    },
    Setting {
        key: Key::Node(NodeKey::ScriptMemoryBytes),
        name: "script-memory-bytes",
        kind: Kind::number(
            Unit::Bytes,
            Range {
                least: 2 << 20,
                below: "the interpreter and a few scripts take that much",
                most: 1 << 40,
                above: "one script could take a terabyte",
            },
        ),
        // The garbage of a script counts, so it is about twice what a script may hold. Larger, and one script can end a small node.
        default: "268435456",
        change: Change::Running,
        redis: None,
        doc: "What the interpreter of scripts may take, in bytes: all scripts that are kept, and the one that runs",
        more: "A script that needs more ends with an error.",
    },
    compact(
        NodeKey::HashMaxListpackEntries,
        "hash-max-listpack-entries",
        Some("hash-max-ziplist-entries"),
        "512",
        "Fields that a hash has at most that `OBJECT ENCODING` calls a listpack",
    ),
    compact(
        NodeKey::HashMaxListpackValue,
        "hash-max-listpack-value",
        Some("hash-max-ziplist-value"),
        "64",
        "Bytes that each field and value of such a hash has at most",
    ),
    compact(
        NodeKey::SetMaxIntsetEntries,
        "set-max-intset-entries",
        None,
        "512",
        "Integers that a set has at most that `OBJECT ENCODING` calls an intset",
    ),
    compact(
        NodeKey::ZsetMaxListpackEntries,
        "zset-max-listpack-entries",
        Some("zset-max-ziplist-entries"),
        "128",
        "Members that a sorted set has at most that `OBJECT ENCODING` calls a listpack",
    ),
    compact(
        NodeKey::ZsetMaxListpackValue,
        "zset-max-listpack-value",
        Some("zset-max-ziplist-value"),
        "64",
        "Bytes that each member of such a sorted set has at most",
    ),
    Setting {
        key: Key::Node(NodeKey::ListMaxListpackSize),
        name: "list-max-listpack-size",
        kind: Kind::Text(Form::ListpackSize),
        default: "-2",
        change: Change::Running,
        redis: Some("list-max-ziplist-size"),
        doc: "How large the parts of a list are in Redis",
        more: "Lists are held otherwise here: it is taken for what sets it everywhere, and nothing follows from it.",
    },
    Setting {
        key: Key::Node(NodeKey::ListCompressDepth),
        name: "list-compress-depth",
        kind: Kind::number(
            Unit::Count,
            Range { least: 0, below: "", most: 1 << 31, above: "Redis takes no more" },
        ),
        default: "0",
        change: Change::Running,
        redis: None,
        doc: "How many parts at each end of a list are not compressed in Redis",
        more: "Nothing is compressed here: it is taken for what sets it everywhere, and nothing follows from it.",
    },
    Setting {
        key: Key::Node(NodeKey::EnableDebugCommand),
        name: "enable-debug-command",
        kind: Kind::Word(&["no", "yes", "local"]),
        default: "no",
        change: Change::AtStart,
        redis: None,
        doc: "Who may use `DEBUG`: nobody, everybody, or who connects from this machine",
        more: "For tests. A node that stands still by `DEBUG SLEEP` for longer than its lease is no primary any more, and one that \
               does for longer than `hang-timeout-ms` is started anew.",
    },
    Setting {
        key: Key::Node(NodeKey::Log),
        name: "log",
        kind: Kind::Text(Form::LogFilter),
        default: "info",
        change: Change::AtStart,
        redis: None,
        doc: "What is logged: a filter such as `info` or `ironcache_raft=debug,info`",
        more: "",
    },
    #[cfg(feature = "next")]
    Setting {
        key: Key::Node(NodeKey::NextZone),
        name: "next-zone",
        kind: Kind::Text(Form::Host),
        default: "",
        change: Change::AtStart,
        redis: None,
        doc: "The zone that the node registers in, from the level on that has zones; empty names none",
        more: "",
    },
];
