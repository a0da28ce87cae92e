//! A cluster with keys: who may ask for what, who is let in, and that a roll loses nothing there either.

use crate::PRODUCT;
use crate::rolls::{assert_all_run, assert_order};
use ironcache_api::Outcome;
use ironcache_client::Access;
use ironcache_client::join::{self, Contact};
use ironcache_tests::{Cluster, Load, NEXT, Node, Spec, until};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

const REPLICA: usize = 1;

fn trio() -> Spec {
    let mut spec = Spec::new(PRODUCT, 1, 1).keyed();
    spec.witnesses = 1;
    spec
}

/// A command with whatever credentials: a file, or `none`.
fn as_whom(cluster: &Cluster, credentials: &Path, args: &[&str]) -> Output {
    let mut command = cluster.cli_command(args);
    command.env("IRONCACHE_CREDENTIALS", credentials).output().expect("the binary can be started")
}

#[track_caller]
fn told(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The code of the refusal, and what was said.
#[track_caller]
fn refused(output: &Output) -> (String, String) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_str(&said).expect("a refusal is JSON");
    let text = |key: &str| json["refused"][key].as_str().expect("it has both").to_owned();
    (text("code"), text("detail"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_in_a_cluster_with_keys_loses_nothing() {
    let cluster = Cluster::start(&Spec::new(PRODUCT, 2, 1).keyed()).await;
    let load = Load::start(&cluster).await;
    let release = cluster.release(Path::new(PRODUCT), NEXT);
    told(&cluster.cli(&["release", "stage", release.to_str().expect("a path of ours")]));
    let plan = cluster.set_target(NEXT, None).await;
    let (plan, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    assert_order(&plan);
    load.until_more(50).await;
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, NEXT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_do_what_the_role_says_until_the_key_is_revoked() {
    let cluster = Cluster::start(&trio()).await;
    let viewer = cluster.dir().join("viewer.json");
    let file = viewer.to_str().expect("a path of ours");
    told(&cluster.cli(&["cluster", "operator", "add", "vera", "--role", "viewer", "--out", file]));
    assert!(told(&cluster.cli(&["cluster", "operator", "list"])).contains("vera"));
    cluster.stage(NEXT).await;

    told(&as_whom(&cluster, &viewer, &["cluster", "nodes"]));
    let upgrade = ["cluster", "set-target-version", NEXT, "--json"];
    assert_eq!(refused(&as_whom(&cluster, &viewer, &upgrade)).0, "not_allowed");
    let out = cluster.dir().join("mallory.json");
    let add = [
        "cluster",
        "operator",
        "add",
        "mallory",
        "--role",
        "admin",
        "--out",
        out.to_str().expect("a path"),
        "--json",
    ];
    assert_eq!(refused(&as_whom(&cluster, &viewer, &add)).0, "not_allowed");
    assert!(!out.exists(), "a key that nobody knows is kept by nobody");
    assert!(cluster.upgrade().await.expect("the cluster answers").plan.is_none());

    let (code, said) = refused(&as_whom(&cluster, Path::new("none"), &upgrade));
    assert_eq!(code, "no_key", "{said}");
    told(&cluster.cli(&["cluster", "operator", "revoke", "vera"]));
    assert_eq!(refused(&as_whom(&cluster, &viewer, &["cluster", "nodes", "--json"])).0, "unknown_key");
    assert_eq!(refused(&cluster.cli(&["cluster", "operator", "revoke", "admin", "--json"])).0, "last_admin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_locked_out_comes_back_with_the_key_of_a_node() {
    let cluster = Cluster::start(&trio()).await;
    // The only admin's credentials are lost.
    let (lost, next) = (cluster.dir().join("lost.json"), cluster.dir().join("next.json"));
    let node = cluster.nodes[REPLICA].data_dir.clone();
    let words = ["cluster", "operator", "add", "next", "--role", "admin", "--out"];
    let mut add: Vec<&str> = words.to_vec();
    add.extend([next.to_str().expect("a path"), "--as-node", node.to_str().expect("a path")]);
    told(&as_whom(&cluster, &lost, &add));
    told(&as_whom(&cluster, &next, &["cluster", "operator", "revoke", "admin"]));
    let gone = cluster.credentials();
    assert_eq!(refused(&as_whom(&cluster, &gone, &["cluster", "nodes", "--json"])).0, "unknown_key");
    told(&as_whom(&cluster, &next, &["cluster", "nodes"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_by_its_code_alone_and_credentials_follow_it() {
    let mut cluster = Cluster::start(&trio()).await;
    let load = Load::start(&cluster).await;
    let before = std::fs::read_to_string(cluster.credentials()).expect("they are there");
    let old = cluster.ids().await[REPLICA].to_string();
    let next = cluster.start_another().await;
    let addr = cluster.nodes[next].client_addr();
    let replace =
        |newcomer: &str| cluster.cli(&["cluster", "replace-node", &old, newcomer, "--wait", "--json"]);

    let without = replace(&addr);
    assert_eq!(without.status.code(), Some(2), "{}", String::from_utf8_lossy(&without.stderr));
    let other = told(&cluster.cli(&["cluster", "join-code"]));
    assert_eq!(refused(&replace(&format!("{addr}={}", other.trim()))).0, "other_code");
    let file = cluster.nodes[next].data_dir.join("join.code");
    told(&replace(&format!("{addr}=@{}", file.display())));

    let dropped = cluster.nodes.remove(REPLICA);
    drop(dropped);
    cluster.until_whole().await;
    load.until_more(40).await;
    load.finish(&cluster).await.assert_nothing_lost();
    told(&cluster.cli(&["cluster", "status"]));
    let after = std::fs::read_to_string(cluster.credentials()).expect("they are there");
    assert_ne!(before, after, "the new node is pinned, and the old one is not");

    // Said again, as by somebody whose answer was lost: nobody is told to wipe a member.
    let newcomer = format!("{addr}=@{}", file.display());
    let replace = ["cluster", "replace-node", &old, &newcomer, "--wait", "--json"];
    assert!(told(&cluster.cli(&replace)).contains("done after"), "it is done");
    assert!(told(&cluster.cli(&replace[..4])).contains("is a member already"));
    let again = refused(&cluster.cli(&["cluster", "add-node", &newcomer, "--json"]));
    assert_eq!(again.0, "already_member", "{}", again.1);
}

/// The credentials file of `cluster`, but for one field.
fn with(cluster: &Cluster, name: &str, field: &str, value: serde_json::Value) -> PathBuf {
    let text = std::fs::read_to_string(cluster.credentials()).expect("they are there");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("they are JSON");
    json[field] = value;
    let file = cluster.dir().join(name);
    std::fs::write(&file, "").expect("a file can be written");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("it is ours");
    std::fs::write(&file, json.to_string()).expect("a file can be written");
    file
}

/// A connection to each node, on which the key of `credentials` was proved and something was answered.
async fn connections(credentials: &Path, nodes: &[Node]) -> Vec<Contact> {
    let access = Access::of_file(credentials).expect("a credentials file");
    let Access::Keyed(keyed) = access else { panic!("it has a key") };
    let mut open = Vec::new();
    for node in nodes {
        let met = join::visit(&node.http_addr(), keyed.tls(), &keyed.pins()).await;
        open.push(met.expect("every node answers"));
    }
    open
}

/// Nothing is answered on any of them any more, though `/status` is answered to everybody on this machine: they were closed.
async fn until_closed(connections: Vec<Contact>) {
    for mut connection in connections {
        let look = async || connection.status().await.err();
        until("a connection of who is not known any more is closed", look).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_open_connections_of_a_revoked_operator_are_closed_at_every_node() {
    let cluster = Cluster::start(&trio()).await;
    let file = cluster.dir().join("otto.json");
    let out = file.to_str().expect("a path of ours");
    told(&cluster.cli(&["cluster", "operator", "add", "otto", "--role", "operator", "--out", out]));
    let (his, others) =
        (connections(&file, &cluster.nodes).await, connections(&cluster.credentials(), &cluster.nodes).await);
    told(&cluster.cli(&["cluster", "operator", "revoke", "otto"]));
    until_closed(his).await;
    for mut connection in others {
        connection.status().await.expect("who was not revoked goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_a_node_that_was_removed_opens_nothing() {
    let mut cluster = Cluster::start(&trio()).await;
    let removed = &cluster.nodes[REPLICA];
    let pem = std::fs::read_to_string(removed.data_dir.join("node.key")).expect("a node has a key");
    // As whoever has stolen it, while the node itself runs on.
    let thief = with(&cluster, "thief.json", "key", pem.as_str().into());
    told(&as_whom(&cluster, &thief, &["cluster", "operator", "list"]));
    let old = cluster.ids().await[REPLICA].to_string();
    let next = cluster.start_another().await;
    let node = &cluster.nodes[next];
    let newcomer = format!("{}=@{}", node.client_addr(), node.data_dir.join("join.code").display());
    let mut open = connections(&thief, &cluster.nodes[..next]).await;
    open.remove(REPLICA);
    told(&cluster.cli(&["cluster", "replace-node", &old, &newcomer, "--wait"]));
    until_closed(open).await;
    for (index, node) in cluster.nodes.iter().enumerate().filter(|(index, _)| *index != REPLICA) {
        let thief = with(&cluster, "thief.json", "key", pem.as_str().into());
        let out = cluster.dir().join("mallory.json");
        let out = out.to_str().expect("a path of ours");
        for words in [
            &["cluster", "operator", "list", "--json"][..],
            &["cluster", "operator", "add", "mallory", "--role", "admin", "--out", out, "--json"],
            &["cluster", "remove-node", &old, "--json"],
        ] {
            let mut command = cluster.cli_command(words);
            command.env("IRONCACHE_CREDENTIALS", &thief).env("IRONCACHE_SEED", node.http_addr());
            let (code, said) = refused(&command.output().expect("the binary can be started"));
            assert_eq!(code, "unknown_key", "node {index}: {words:?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_another_cluster_say_nothing_to_this_one() {
    let cluster = Cluster::start(&trio()).await;
    let other = with(&cluster, "other.json", "pins", serde_json::json!([format!("{:064x}", 7)]));
    let asked = as_whom(&cluster, &other, &["cluster", "status"]);
    let said = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(1), "{said}");
    assert!(said.contains("it has another key"), "{said}");
    until("the cluster goes on", async || cluster.cluster().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_was_carried_to_two_nodes_lets_one_of_them_in() {
    let mut cluster = Cluster::start(&trio()).await;
    let code = told(&cluster.cli(&["cluster", "join-code"]));
    let secret = cluster.dir().join("secret");
    std::fs::write(&secret, &code).expect("a file can be written");
    let flag = format!("--join-code-file={}", secret.display());
    let first = cluster.start_another_with(vec![flag.clone()]).await;
    let second = cluster.start_another_with(vec![flag]).await;
    let newcomer = |cluster: &Cluster, index: usize| {
        let node = &cluster.nodes[index];
        assert!(
            !node.data_dir.join("join.code").exists(),
            "it obeys the code that it was given, and has none of its own"
        );
        format!("{}=@{}", node.client_addr(), secret.display())
    };
    let add = |cluster: &Cluster, newcomer: &str| {
        cluster.cli(&["cluster", "add-node", newcomer, "--wait", "--json"])
    };
    told(&add(&cluster, &newcomer(&cluster, first)));
    // It is met by the code, as the first one was; the log remembers that somebody came in by it.
    let (used, said) = refused(&add(&cluster, &newcomer(&cluster, second)));
    assert_eq!(used, "code_used", "{said}");
    // Nor is the file needed any more by who is in.
    std::fs::remove_file(&secret).expect("it is there");
    cluster.nodes[first].stop();
    cluster.nodes[first].start_again();
    cluster.until_answers(first).await;
    until("the node that came in serves again", async || {
        cluster.status(first).await.filter(|status| status.data.in_sync)
    })
    .await;
}
