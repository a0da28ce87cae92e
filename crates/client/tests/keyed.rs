//! Whoever has a key speaks to nodes that prove theirs, and to nobody else; and the first contact, before any is known.

use ironcache_api::{Done, JoinBind, JoinProve, JoinProved};
use ironcache_client::join::{self, JoinError};
use ironcache_client::{Access, Client, ClientError};
use ironcache_identity::{Credentials, JoinCode, PrivateKey, Proof, Side, Tls};
use ironcache_types::{ClusterId, Digest, KeyHash, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A node's side: it has a key, and takes one connection at a time.
struct Node {
    tls: Tls,
    listener: TcpListener,
}

impl Node {
    async fn new() -> Node {
        let tls = Tls::new(&PrivateKey::generate().unwrap()).unwrap();
        Node { tls, listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn addr(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    async fn caller(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }
}

/// Both sides to their ends: whoever waits for what the other does not do is a failure, and no test that hangs.
async fn in_time<T>(both: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), both).await.expect("both sides come to an end")
}

/// The head and the body of the next request; nothing, if the other side has closed.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut text = String::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => text.push_str(std::str::from_utf8(&chunk[..count]).unwrap()),
        }
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

fn done() -> String {
    serde_json::to_string(&Done { done: "paused".to_owned() }).unwrap()
}

/// An admin who knows `pins`, and the file.
fn operator(dir: &Path, pins: BTreeSet<KeyHash>) -> (PathBuf, KeyHash) {
    let key = PrivateKey::generate().unwrap();
    let (path, hash) = (dir.join("credentials.json"), key.hash());
    Credentials { cluster: ClusterId(7), key, pins, heard: BTreeSet::new() }.create(&path).unwrap();
    (path, hash)
}

#[tokio::test]
async fn a_node_with_a_pinned_key_is_told_and_knows_who_tells() {
    let (dir, node) = (tempfile::tempdir().unwrap(), Node::new().await);
    let (path, me) = operator(dir.path(), [node.tls.hash()].into());
    let client = Client::with(Access::of_file(&path).unwrap(), vec![node.addr()]);
    let serve = async {
        let mut secured = node.tls.accept(node.caller().await, || ()).await.unwrap();
        let (head, _) = request(&mut secured.stream).await.unwrap();
        answer(&mut secured.stream, "200 OK", &done()).await;
        (secured.session.peer, head)
    };
    let (told, (peer, head)) = tokio::join!(client.act("/v1/upgrade/pause"), serve);
    assert_eq!((told.unwrap().done.as_str(), peer), ("paused", Some(me)));
    assert!(head.starts_with("POST /v1/upgrade/pause"), "{head}");
}

#[tokio::test]
async fn a_node_with_another_key_is_told_nothing_and_the_next_address_is_asked() {
    let (dir, other, node) = (tempfile::tempdir().unwrap(), Node::new().await, Node::new().await);
    let (path, _) = operator(dir.path(), [node.tls.hash()].into());
    let access = Access::of_file(&path).unwrap();
    let refuses = async || other.tls.accept(other.caller().await, || ()).await.is_err();
    let serves = async {
        let mut secured = node.tls.accept(node.caller().await, || ()).await.unwrap();
        request(&mut secured.stream).await.unwrap();
        answer(&mut secured.stream, "200 OK", &done()).await;
    };
    let client = Client::with(access.clone(), vec![other.addr(), node.addr()]);
    let both = async { tokio::join!(client.act("/v1/upgrade/pause"), refuses(), serves) };
    let (told, refused, ()) = in_time(both).await;
    assert!(told.is_ok() && refused, "{told:?}");
    let client = Client::with(access, vec![other.addr()]);
    let (told, refused) = tokio::join!(client.act("/v1/upgrade/pause"), refuses());
    let error = told.unwrap_err();
    assert!(matches!(error, ClientError::OtherKey { .. }) && refused, "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn whoever_has_no_credentials_is_told_where_they_were_looked_for() {
    let node = Node::new().await;
    let missing = PathBuf::from("/nowhere/credentials.json");
    let client = Client::with(Access::Without { looked: Some(missing) }, vec![node.addr()]);
    let body = r#"{"error":"no","refused":{"code":"no_key","detail":"show a key"}}"#;
    let serve = async {
        let mut stream = node.caller().await;
        request(&mut stream).await.unwrap();
        answer(&mut stream, "401 Unauthorized", body).await;
    };
    let (told, ()) = tokio::join!(client.releases(), serve);
    let error = told.unwrap_err();
    let ClientError::Refused(refused) = &error else { panic!("{error}") };
    assert_eq!(refused.code, "no_key");
    assert!(refused.detail.contains("/nowhere/credentials.json"), "{refused:?}");
}

#[tokio::test]
async fn whoever_has_no_credentials_may_ask_and_orders_nothing() {
    let (node, file) = (Node::new().await, tempfile::NamedTempFile::new().unwrap());
    for looked in [None, Some(PathBuf::from("/nowhere/credentials.json"))] {
        let client = Client::with(Access::Without { looked: looked.clone() }, vec![node.addr()]);
        let orders = [
            in_time(client.act("/v1/upgrade/pause")).await.unwrap_err(),
            in_time(client.stage(file.path(), ironcache_api::StageHold::Free)).await.unwrap_err(),
        ];
        for error in orders {
            assert!(matches!(&error, ClientError::NoCredentials { looked: at } if *at == looked), "{error}");
            assert!(error.to_string().contains("IRONCACHE_CREDENTIALS=none"), "{error}");
        }
        let serve = async {
            let mut stream = node.caller().await;
            let (head, _) = request(&mut stream).await.unwrap();
            answer(&mut stream, "200 OK", "[]").await;
            head
        };
        // The first that the node hears is the question.
        let (asked, head) = in_time(async { tokio::join!(client.releases(), serve) }).await;
        assert!(asked.is_ok() && head.starts_with("GET /v1/releases"), "{head}");
    }
}

#[tokio::test]
async fn a_seed_that_lies_about_its_http_port_makes_nobody_believed() {
    let (dir, other, node) = (tempfile::tempdir().unwrap(), Node::new().await, Node::new().await);
    let (path, _) = operator(dir.path(), [node.tls.hash()].into());
    let seed = Node::new().await;
    let port = other.listener.local_addr().unwrap().port().to_string();
    let lies = async {
        let mut stream = seed.caller().await;
        let told = format!("*2\r\n$9\r\nhttp-port\r\n${}\r\n{port}\r\n", port.len());
        stream.write_all(told.as_bytes()).await.unwrap();
        stream
    };
    let seeds = [seed.addr()];
    let found = Client::of_seeds(&seeds, Access::of_file(&path).unwrap());
    let (client, _open) = in_time(async { tokio::join!(found, lies) }).await;
    let client = client.unwrap();
    let refuses = async { other.tls.accept(other.caller().await, || ()).await.is_err() };
    let (told, refused) = in_time(async { tokio::join!(client.act("/v1/upgrade/pause"), refuses) }).await;
    assert!(matches!(told, Err(ClientError::OtherKey { .. })) && refused, "{told:?}");
}

#[tokio::test]
async fn a_member_is_known_by_its_key_and_anybody_else_is_asked_for_a_code() {
    let (node, stranger) = (Node::new().await, Node::new().await);
    let me = Tls::new(&PrivateKey::generate().unwrap()).unwrap();
    let pins = BTreeSet::from([node.tls.hash(), KeyHash(Digest([8; 32]))]);
    for (called, known) in [(&node, Some(node.tls.hash())), (&stranger, None)] {
        let addr = called.addr();
        let takes = async { called.tls.accept(called.caller().await, || ()).await.is_ok() };
        let (who, _) = in_time(async { tokio::join!(join::who_is_at(&addr, &me, &pins), takes) }).await;
        assert_eq!(who.unwrap(), known);
    }
    let addr = stranger.addr();
    drop(stranger);
    assert!(matches!(join::who_is_at(&addr, &me, &pins).await, Err(JoinError::Unreachable { .. })));
}

#[tokio::test]
async fn a_nodes_own_key_speaks_to_that_node_first() {
    let (dir, key) = (tempfile::tempdir().unwrap(), PrivateKey::generate().unwrap());
    let file = dir.path().join("node.key");
    assert!(Access::as_node(dir.path()).is_err(), "there is none yet");
    let made = PrivateKey::load_or_make(&file).unwrap();
    let (own, other) = (Node { tls: Tls::new(&made).unwrap(), ..Node::new().await }, Tls::new(&key).unwrap());
    let other = Node { tls: other, ..Node::new().await };
    for given in [dir.path(), &file] {
        let client = Client::with(Access::as_node(given).unwrap(), vec![other.addr(), own.addr()]);
        let refuses = async { other.tls.accept(other.caller().await, || ()).await.is_err() };
        let serves = async {
            let mut secured = own.tls.accept(own.caller().await, || ()).await.unwrap();
            request(&mut secured.stream).await.unwrap();
            answer(&mut secured.stream, "200 OK", &done()).await;
            secured.session.peer
        };
        let (told, refused, peer) = tokio::join!(client.act("/v1/upgrade/pause"), refuses, serves);
        assert!(told.is_ok() && refused && peer == Some(made.hash()), "{told:?}");
    }
}

#[tokio::test]
async fn the_first_contact_proves_the_code_both_ways_and_tells_the_node_who_it_belongs_with() {
    let (node, code) = (Node::new().await, JoinCode::draw().unwrap());
    let me = Tls::new(&PrivateKey::generate().unwrap()).unwrap();
    let bind = JoinBind { cluster: ClusterId(7), nodes: BTreeMap::from([(NodeId(3), node.tls.hash())]) };
    let serve = async {
        let mut secured = node.tls.accept(node.caller().await, || ()).await.unwrap();
        let (_, asked) = request(&mut secured.stream).await.unwrap();
        let JoinProve { proof: Digest(proof) } = serde_json::from_str(&asked).unwrap();
        let proved = code.is_proved_by(&Proof(proof), Side::Caller, &secured.session);
        let Proof(proof) = code.prove(Side::Called, &secured.session);
        let told = JoinProved { node: NodeId(3), proof: Digest(proof) };
        answer(&mut secured.stream, "200 OK", &serde_json::to_string(&told).unwrap()).await;
        let (head, bound) = request(&mut secured.stream).await.unwrap();
        answer(&mut secured.stream, "200 OK", &done()).await;
        (proved, head, serde_json::from_str::<JoinBind>(&bound).unwrap())
    };
    let meet = async {
        let mut contact = join::contact(&node.addr(), &me, &code).await.unwrap();
        contact.bind(&bind).await.unwrap();
        (contact.node, contact.key)
    };
    let (met, (proved, head, bound)) = tokio::join!(meet, serve);
    assert_eq!(met, (NodeId(3), node.tls.hash()));
    assert!(proved && head.starts_with("POST /v1/join/bind"), "{head}");
    assert_eq!(bound, bind);
}

#[tokio::test]
async fn a_node_that_does_not_hold_the_code_is_told_nothing_more() {
    let (node, code) = (Node::new().await, JoinCode::draw().unwrap());
    let me = Tls::new(&PrivateKey::generate().unwrap()).unwrap();
    let serve = async {
        let mut secured = node.tls.accept(node.caller().await, || ()).await.unwrap();
        let (_, asked) = request(&mut secured.stream).await.unwrap();
        // What the caller proved, sent back.
        let JoinProve { proof } = serde_json::from_str(&asked).unwrap();
        let told = serde_json::to_string(&JoinProved { node: NodeId(3), proof }).unwrap();
        answer(&mut secured.stream, "200 OK", &told).await;
        request(&mut secured.stream).await
    };
    let addr = node.addr();
    let meet = join::contact(&addr, &me, &code);
    let (met, more) = in_time(async { tokio::join!(meet, serve) }).await;
    assert!(matches!(met, Err(JoinError::OtherCode { .. })), "{met:?}");
    assert_eq!(more, None);
}

/// `GET /v1/cluster`, of a cluster of these nodes.
fn cluster_status(cluster: ClusterId, named: &[KeyHash]) -> String {
    let pins: BTreeMap<NodeId, KeyHash> = (1..).map(NodeId).zip(named.iter().copied()).collect();
    let control = serde_json::json!({
        "cluster_id": cluster, "epoch": 1, "cluster_level": 1, "nodes": {}, "shards": {}, "releases": {},
        "quarantined": {}, "plan": null, "last_plan": 0, "history": [], "pins": pins,
    });
    serde_json::json!({ "leader": NodeId(3), "term": 1, "control": control, "nodes": {} }).to_string()
}

impl Node {
    /// Names these to everybody who asks, until it is dropped.
    async fn naming(&self, cluster: ClusterId, named: &[KeyHash]) {
        let status = cluster_status(cluster, named);
        loop {
            let Ok(mut secured) = self.tls.accept(self.caller().await, || ()).await else { continue };
            while request(&mut secured.stream).await.is_some() {
                answer(&mut secured.stream, "200 OK", &status).await;
            }
        }
    }
}

/// A new client asks, first the node that is first, while each says whom it names.
async fn look(path: &Path, nodes: &[(&Node, &[KeyHash])]) -> Result<(), ClientError> {
    let addrs = nodes.iter().map(|(node, _)| node.addr()).collect();
    let client = Client::with(Access::of_file(path).unwrap(), addrs);
    let naming =
        futures_util::future::join_all(nodes.iter().map(|(node, named)| node.naming(ClusterId(7), named)));
    let asked = in_time(async {
        tokio::select! {
            asked = client.cluster() => asked,
            _ = naming => unreachable!("they do not end"),
        }
    });
    asked.await.map(|_| ())
}

fn file_of(path: &Path) -> (BTreeSet<KeyHash>, BTreeSet<KeyHash>) {
    let Credentials { cluster: _, key: _, pins, heard } = Credentials::load(path).unwrap();
    (pins, heard)
}

#[tokio::test]
async fn credentials_follow_the_nodes_of_their_cluster_when_two_of_them_agree() {
    let (dir, one, two) = (tempfile::tempdir().unwrap(), Node::new().await, Node::new().await);
    let (gone, joined) = (KeyHash(Digest([8; 32])), KeyHash(Digest([9; 32])));
    let (first, second) = (one.tls.hash(), two.tls.hash());
    let old = BTreeSet::from([first, second, gone]);
    let (path, _) = operator(dir.path(), old.clone());
    let now = [first, second, joined];
    look(&path, &[(&one, &now), (&two, &now)]).await.unwrap();
    assert_eq!(file_of(&path), (now.into(), [].into()));
    let before = dir.path().join("credentials.json.before");
    let Credentials { pins, .. } = Credentials::load(&before).unwrap();
    assert!(pins == old, "the last file is kept");
    // And what is known already asks nobody a second time, and writes nothing.
    std::fs::remove_file(&before).unwrap();
    look(&path, &[(&one, &now)]).await.unwrap();
    assert!(!before.exists());
}

#[tokio::test]
async fn one_key_makes_a_client_believe_more_keys_and_never_fewer() {
    let (dir, stolen, two) = (tempfile::tempdir().unwrap(), Node::new().await, Node::new().await);
    let (thief, three) = (Node::new().await, Node::new().await);
    let (first, second, third) = (stolen.tls.hash(), two.tls.hash(), three.tls.hash());
    let old = BTreeSet::from([first, second, third]);
    let (path, _) = operator(dir.path(), old.clone());
    let (lie, truth) = ([first, thief.tls.hash()], [first, second, third]);
    // Alone, with the other key that it named, and against a node that says something else.
    for _ in 0..2 {
        look(&path, &[(&stolen, &lie), (&thief, &lie)]).await.unwrap();
        assert_eq!(file_of(&path), (old.clone(), [thief.tls.hash()].into()));
    }
    look(&path, &[(&thief, &lie), (&stolen, &lie)]).await.unwrap();
    look(&path, &[(&stolen, &lie), (&two, &truth)]).await.unwrap();
    assert_eq!(file_of(&path), (old.clone(), [thief.tls.hash()].into()));
    // The cluster has let it go: two of those that are left say so.
    let named = [second, three.tls.hash()];
    look(&path, &[(&two, &named), (&three, &named)]).await.unwrap();
    assert_eq!(file_of(&path), (named.into(), [].into()));
}

#[tokio::test]
async fn what_speaks_of_another_cluster_is_not_followed() {
    let (dir, node) = (tempfile::tempdir().unwrap(), Node::new().await);
    let (path, _) = operator(dir.path(), [node.tls.hash()].into());
    let client = Client::with(Access::of_file(&path).unwrap(), vec![node.addr()]);
    let named = [node.tls.hash(), KeyHash(Digest([9; 32]))];
    let asked = in_time(async {
        tokio::select! {
            asked = client.cluster() => asked,
            () = node.naming(ClusterId(8), &named) => unreachable!("it does not end"),
        }
    });
    let other = asked.await.unwrap_err();
    assert!(matches!(other, ClientError::OtherCluster { .. }), "{other}");
    assert_eq!(file_of(&path), ([node.tls.hash()].into(), [].into()));
}
