//! Who may do what.

use super::Mutation;

/// Whom one node believes, by its log and by what it was told.
const DOORS: &[&str] = &["-p", "ironcache-node", "--lib", "doors::tests"];

/// A cluster with keys, as members, operators and strangers meet it.
const KEYED: &[&str] = &["-p", "ironcache-node", "--lib", "keyed"];

pub(super) const ROWS: &[Mutation] = &[
    Mutation {
        name: "any-node-answers-for-the-pinned-one",
        breaks: "a stranger with a key of its own is taken for a member",
        file: "crates/identity/src/tls.rs",
        guard: "            Expect::Key(expected) => *expected == key,",
        instead: "            Expect::Key(expected) => *expected == key || key != *expected,",
        tests: &["-p", "ironcache-identity", "--test", "links"],
    },
    Mutation {
        name: "a-proof-of-the-code-is-carried-to-another-connection",
        breaks: "somebody in the middle is taken for whoever holds the join code",
        file: "crates/identity/src/join_code.rs",
        guard: "    [side, exported, called, &caller].concat()",
        instead: "    [side, &exported[..0], called, &caller].concat()",
        tests: &["-p", "ironcache-identity"],
    },
    Mutation {
        name: "an-operator-orders-whoever-answers",
        breaks: "what answers at a node's address is given an admin's orders, whoever it is",
        file: "crates/client/src/wire.rs",
        guard: "                let (connection, _) = secure(stream, keyed.tls(), Expect::OneOf(keyed.pins())).await?;",
        instead: "                let (connection, _) = secure(stream, keyed.tls(), Expect::Anybody).await?;",
        tests: &["-p", "ironcache-client", "--test", "keyed", "a_node_with_another_key"],
    },
    Mutation {
        name: "a-node-without-the-code-is-bound",
        breaks: "somebody in the middle is taken into the cluster in place of the node that printed the code",
        file: "crates/client/src/join.rs",
        guard: "    if !code.is_proved_by(&Proof(proof), Side::Called, &session) {",
        instead: "    if false && !code.is_proved_by(&Proof(proof), Side::Called, &session) {",
        tests: &["-p", "ironcache-client", "--test", "keyed", "a_node_that_does_not_hold"],
    },
    Mutation {
        name: "another-cluster-is-believed",
        breaks: "credentials of one cluster take over the nodes of another",
        file: "crates/client/src/client.rs",
        guard: "                && ours != theirs",
        instead: "                && ours != theirs\n                && ours == theirs",
        tests: &["-p", "ironcache-client", "--test", "keyed", "credentials_follow"],
    },
    Mutation {
        name: "a-member-says-hello-as-another",
        breaks: "a member is streamed to, and acknowledges, in the name of another one",
        file: "crates/node/src/data/source.rs",
        guard: "        Some(proved) if proved != said => Err(Refusal::NotItself { proved, said }),",
        instead: "        Some(proved) if proved != said && said.0 == 0 => Err(Refusal::NotItself { proved, said }),",
        tests: KEYED,
    },
    Mutation {
        name: "a-member-asks-in-the-name-of-another",
        breaks: "a member registers a life of another one, and deposes it",
        file: "crates/raft/src/network/server.rs",
        guard: "        if let Some(speaks_for) = node.speaks_for(&ask) {",
        instead: "        if let Some(speaks_for) = None {",
        tests: &["-p", "ironcache-raft", "--test", "raft", "peer_port"],
    },
    Mutation {
        name: "a-member-leads-in-the-name-of-another",
        breaks: "with one member's key every other one is made to obey, or to elect, whom its holder likes",
        file: "crates/raft/src/network/server.rs",
        guard: "    if let Some(said) = request.in_the_name_of() {",
        instead: "    if let Some(said) = None {",
        tests: &["-p", "ironcache-raft", "--test", "raft", "peer_port"],
    },
    Mutation {
        name: "a-snapshot-opens-a-cluster-with-keys",
        breaks: "whoever sends one snapshot makes a node believe everybody",
        file: "crates/raft/src/foreign.rs",
        guard: "            Err(Foreign::OtherSecurity)",
        instead: "            Ok(())",
        tests: &["-p", "ironcache-raft", "--test", "raft", "peer_port"],
    },
    Mutation {
        name: "a-bound-node-is-opened-by-its-log",
        breaks: "a node that was bound to a cluster with keys believes everybody, because its log says so",
        file: "crates/node/src/doors.rs",
        guard: "                let is_open = self.config.insecure && known.binding.is_none();",
        instead: "                let is_open = self.config.insecure || known.binding.is_some();",
        tests: DOORS,
    },
    Mutation {
        name: "one-member-vouches-for-a-key",
        breaks: "with one member's key others are made to believe any other one",
        file: "crates/node/src/doors/heard.rs",
        guard: ".filter(|(_, by)| 2 * by > ahead.len())",
        instead: ".filter(|(_, by)| 2 * by > 0)",
        tests: DOORS,
    },
    Mutation {
        name: "what-is-heard-changes-a-pin",
        breaks: "a member is known by another key than the log says, because another member says so",
        file: "crates/node/src/doors.rs",
        guard: "    state.security.pin(node).is_none()",
        instead: "    (state.security.pin(node).is_none() || view.index > 0)",
        tests: DOORS,
    },
    Mutation {
        name: "a-stranger-is-listened-to-at-length",
        breaks: "whoever has no key fills a node's memory",
        file: "crates/node/src/doors/gate.rs",
        guard: ".and_then(|()| may_send(&who, bytes))",
        instead: ".and_then(|()| may_send(&Who::Open, bytes))",
        tests: KEYED,
    },
    Mutation {
        name: "a-revoked-operator-orders-by-a-node-that-lags",
        breaks: "who was revoked goes on wherever that has not been heard yet",
        file: "crates/control/src/apply/mod.rs",
        guard: "        self.check_asked(origin, command)?;",
        instead: "        drop(self.check_asked(origin, command));",
        tests: &["-p", "ironcache-control", "--test", "it", "security::"],
    },
    Mutation {
        name: "an-unknown-key-is-a-members",
        breaks: "a stranger who has a key of its own owns the cluster",
        file: "crates/node/src/doors/gate.rs",
        guard: "            None => NotAllowed::UnknownKey(key),",
        instead: "            None => return next.run(request).await,",
        tests: KEYED,
    },
    Mutation {
        name: "a-new-node-is-bound-without-its-code",
        breaks: "whoever reaches a new node first has it",
        file: "crates/node/src/http/join.rs",
        guard: "    caller.key().filter(|_| caller.has_met()).ok_or_else(|| {",
        instead: "    caller.key().ok_or_else(|| {",
        tests: KEYED,
    },
    Mutation {
        name: "the-connection-of-a-revoked-key-stays",
        breaks: "whoever was connected when the key was revoked goes on",
        file: "crates/node/src/doors/caller.rs",
        guard: "            if was_named && !named {",
        instead: "            if was_named && !named && key.0.0 == [0; 32] {",
        tests: KEYED,
    },
];
