use super::*;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ironcache_host::net::TcpStream;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMITS: Limits = Limits { visits_max: 4, large_kib: (MOST >> 10) as u32, patience: PATIENCE };
/// With these a test waits for the end.
const SHORT: Limits = Limits {
    patience: Patience {
        stranger: Duration::from_millis(300),
        idle: Duration::from_millis(900),
        stuck: Duration::from_millis(600),
    },
    ..LIMITS
};
const MOST: usize = 2 << 20;
/// Of an answer: more than sockets take before anybody reads.
const LARGE: usize = 32 << 20;
/// Far above what anything here takes.
const BOUND: Duration = Duration::from_secs(60);

fn refuse(why: &NotTaken) -> Response {
    (axum::http::StatusCode::PAYLOAD_TOO_LARGE, why.to_string()).into_response()
}

fn endless() -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> + Send {
    futures_util::stream::repeat_with(|| Ok(vec![7; 256 << 10]))
}

async fn len(body: axum::body::Bytes) -> String {
    format!("{} bytes", body.len())
}

/// A door on a port of its own.
async fn door(limits: Limits) -> (Arc<Doorkeeper>, SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", get(async || "hello").post(len))
        .route(
            "/slow",
            get(async || {
                tokio::time::sleep(SHORT.patience.idle * 2).await;
                "at last"
            }),
        )
        .route("/large", get(async || "x".repeat(LARGE)))
        .route("/endless", get(async || axum::body::Body::from_stream(endless())))
        .layer(from_fn_with_state(Taken { max_bytes: MOST, refuse }, receive))
        .merge(Router::new().route("/streamed", post(async || "taken")).layer(from_fn(streams)))
        .layer(DefaultBodyLimit::max(MOST));
    let doors = crate::doors::Doors::of_tests();
    let options = Options { name: "door", limits, refuse, doors, refused: Arc::default() };
    let port = Port::open(listener.into_std().unwrap(), &options).unwrap();
    let door = Arc::clone(&port.door);
    tokio::spawn(port.serve(router));
    (door, addr)
}

async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

/// Sends, and reads until the node has nothing more to say, or closes.
async fn exchange(stream: &mut TcpStream, bytes: &[u8], end: &str) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(end) {
        match tokio::time::timeout(BOUND, stream.read_buf(&mut said)).await.expect("it answers or closes") {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    // A read of nothing, or a reset behind bytes that nobody has read.
    let read = tokio::time::timeout(BOUND, stream.read(&mut [0; 64])).await;
    matches!(read.expect("it is closed"), Ok(0) | Err(_))
}

async fn until_in(door: &Doorkeeper, count: usize) {
    tokio::time::timeout(BOUND, async {
        while door.book().entries.len() != count {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("so many come to stand in the door");
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn whoever_let_the_node_wait_longest_makes_room_and_the_one_that_asks_is_answered() {
    let (door, addr) = door(LIMITS).await;
    let mut silent = Vec::new();
    for count in 1..=LIMITS.visits_max {
        silent.push(connect(addr).await);
        until_in(&door, count).await;
    }
    let mut asks = connect(addr).await;
    assert!(exchange(&mut asks, GET, "hello").await.ends_with("hello"));
    assert!(is_closed(&mut silent[0]).await, "the oldest has gone");
    assert_eq!((door.turned_away(), door.book().entries.len()), (1, LIMITS.visits_max));
    // The one that has just asked is the youngest of those that wait now.
    for _ in 1..LIMITS.visits_max {
        silent.push(connect(addr).await);
    }
    for stream in &mut silent[1..LIMITS.visits_max] {
        assert!(is_closed(stream).await);
    }
    assert!(exchange(&mut asks, GET, "hello").await.ends_with("hello"));
}

#[tokio::test]
async fn a_connection_that_says_half_a_request_is_closed_in_seconds() {
    let halves: [&[u8]; 6] = [
        b"",
        // Half of a record of TLS; and one that is whole, with a hello that goes on for 64 KiB.
        &[0x16, 3, 1, 2, 0, 1],
        &[0x16, 3, 1, 0, 5, 1, 0, 0xff, 0xf0, 3],
        b"GET / HTTP/1.1\r\nHost:",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ];
    for half in halves {
        let (door, addr) = door(SHORT).await;
        let mut stream = connect(addr).await;
        stream.write_all(half).await.unwrap();
        assert!(is_closed(&mut stream).await);
        until_in(&door, 0).await;
        assert_eq!(door.turned_away(), 1);
    }
}

#[tokio::test]
async fn connections_that_come_to_nothing_are_counted_by_why() {
    let (door, addr) = door(SHORT).await;
    let mut silent = connect(addr).await;
    let mut garbled = connect(addr).await;
    // A record of TLS with no hello in it.
    garbled.write_all(&[0x16, 3, 1, 0, 4, 9, 9, 9, 9]).await.unwrap();
    assert!(is_closed(&mut garbled).await && is_closed(&mut silent).await);
    // Whoever leaves was refused nothing.
    drop(connect(addr).await);
    until_in(&door, 0).await;
    // Who is closed on sees it before it is counted, on the door's thread.
    let all_counted = async {
        while door.refused.by_code().values().sum::<u64>() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, all_counted).await.expect("both are counted");
    let counted = std::collections::BTreeMap::from([("handshake".to_owned(), 1), ("too_slow".to_owned(), 1)]);
    assert_eq!(door.refused.by_code(), counted);
}

#[tokio::test]
async fn a_head_without_end_is_refused_at_what_is_free() {
    let (_door, addr) = door(LIMITS).await;
    let mut stream = connect(addr).await;
    let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
    head.resize(2 * FREE_BYTES, b'a');
    // It may be refused before it has all been sent.
    let _ = stream.write_all(&head).await;
    let mut said = Vec::new();
    let _ = tokio::time::timeout(BOUND, stream.read_to_end(&mut said)).await.expect("it is closed");
    let said = String::from_utf8_lossy(&said);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
}

fn post_of(len: usize, sent: usize) -> Vec<u8> {
    let mut request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n").into_bytes();
    request.resize(request.len() + sent, 7);
    request
}

#[tokio::test]
async fn a_body_is_whole_before_it_is_looked_at_and_one_that_is_too_long_is_refused_unread() {
    let (_door, addr) = door(LIMITS).await;
    for len in [1, FREE_BYTES, FREE_BYTES + 1, MOST] {
        let mut stream = connect(addr).await;
        let said = exchange(&mut stream, &post_of(len, len), "bytes").await;
        assert!(said.ends_with(&format!("{len} bytes")), "{said}");
    }
    let mut stream = connect(addr).await;
    let said = exchange(&mut stream, &post_of(MOST + 1, 0), "accepted").await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    let mut chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    chunked.extend(format!("{:x}\r\n", MOST + 1).bytes());
    chunked.resize(chunked.len() + MOST + 1, 7);
    let mut stream = connect(addr).await;
    // It may be refused before it has all been sent.
    let said = exchange(&mut stream, &chunked[..4 * FREE_BYTES], "Content-Length").await;
    assert!(said.contains("has to say how long it is"), "{said}");
}

#[tokio::test]
async fn a_stranger_holds_of_the_budget_what_it_has_sent_and_not_what_it_announces() {
    let (door, addr) = door(LIMITS).await;
    let mut stranger = connect(addr).await;
    stranger.write_all(&post_of(MOST, FREE_BYTES + 1)).await.unwrap();
    let all = LIMITS.large_kib as usize;
    tokio::time::timeout(BOUND, async {
        while door.large.available_permits() == all {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it takes something");
    assert!(door.large.available_permits() >= all - 2 * (FREE_BYTES >> 10));
    let mut asks = connect(addr).await;
    let said = exchange(&mut asks, &post_of(MOST / 2, MOST / 2), "bytes").await;
    assert!(said.ends_with(&format!("{} bytes", MOST / 2)), "{said}");
    assert_eq!(door.turned_away(), 0, "nobody had to make room");
}

#[tokio::test]
async fn large_bodies_share_one_budget_and_the_slowest_one_makes_room() {
    let (door, addr) = door(SHORT).await;
    let mut slow = connect(addr).await;
    slow.write_all(&post_of(MOST, MOST - 8 * FREE_BYTES)).await.unwrap();
    let large = |door: &Doorkeeper| {
        let book = door.book();
        let large = book.entries.values().find(|e| e.stage == Stage::Receiving { is_large: true });
        large.map(|entry| entry.since)
    };
    tokio::time::timeout(BOUND, async {
        while large(&door).is_none() {
            tokio::task::yield_now().await;
        }
        // Slow, and never late.
        while large(&door).is_some_and(|since| since.elapsed() < SHORT.patience.stranger * 2) {
            slow.write_all(&vec![7; FREE_BYTES / 16]).await.unwrap();
            tokio::time::sleep(SHORT.patience.stranger / 40).await;
        }
    })
    .await
    .expect("it takes long enough to make room");
    assert!(large(&door).is_some(), "it was still coming");
    let mut whole = connect(addr).await;
    let said = exchange(&mut whole, &post_of(MOST, MOST), "bytes").await;
    assert!(said.ends_with(&format!("{MOST} bytes")), "{said}");
    assert!(is_closed(&mut slow).await);
    until_just_freed(&door).await;
}

async fn until_just_freed(door: &Doorkeeper) {
    let freed = door.large.acquire_many(LIMITS.large_kib);
    assert!(tokio::time::timeout(BOUND, freed).await.is_ok(), "what a body took is given back");
}

#[tokio::test]
async fn a_connection_that_asks_nothing_more_ends_and_a_slow_answer_is_waited_for() {
    let (door, addr) = door(SHORT).await;
    let mut idle = connect(addr).await;
    assert!(exchange(&mut idle, GET, "hello").await.ends_with("hello"));
    let began = Instant::now();
    assert!(is_closed(&mut idle).await);
    assert!(began.elapsed() >= SHORT.patience.idle / 2, "{:?}", began.elapsed());
    until_in(&door, 0).await;
    let mut asks = connect(addr).await;
    let slow = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(exchange(&mut asks, slow, "at last").await.ends_with("at last"));
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_its_connection() {
    let (door, addr) = door(SHORT).await;
    let mut stuck = connect(addr).await;
    stuck.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until_in(&door, 1).await;
    until_in(&door, 0).await;
    assert_eq!(door.turned_away(), 1);
}

/// A whole hello of TLS 1.3, as a client of the same library sends it.
fn hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "ironcache".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_hello_is_answered_while_the_thread_that_answers_requests_has_other_work() {
    use std::io::{Read, Write};
    let (_door, addr) = door(LIMITS).await;
    // From here on this thread is busy: whoever answers is another one.
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(&hello()).unwrap();
    let mut record = [0];
    stream.read_exact(&mut record).unwrap();
    assert_eq!(record, [0x16]);
}

const GET_LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_large_answer_is_refused_by_name_while_others_have_not_taken_theirs_and_goes_out_when_they_have() {
    let (door, addr) = door(SHORT).await;
    let others = Arc::clone(&door.answers).acquire_many_owned(SHORT.large_kib).await.unwrap();
    let mut asks = connect(addr).await;
    let said = exchange(&mut asks, GET_LARGE, "moment").await;
    assert!(said.starts_with("HTTP/1.1 413") && said.ends_with("try again in a moment"), "{said}");
    assert!(exchange(&mut asks, GET, "hello").await.ends_with("hello"), "a small one needs no room");
    drop(others);
    asks.write_all(GET_LARGE).await.unwrap();
    let mut said = vec![0; LARGE];
    tokio::time::timeout(BOUND, asks.read_exact(&mut said)).await.expect("it comes").unwrap();
    assert!(said.starts_with(b"HTTP/1.1 200"));
    let taken = async {
        let mut rest = [0; 4096];
        while door.answers.available_permits() < SHORT.large_kib as usize {
            let read = asks.read(&mut rest);
            let _ = tokio::time::timeout(Duration::from_millis(10), read).await;
        }
    };
    tokio::time::timeout(BOUND, taken).await.expect("what it took of the budget is given back");
}

#[tokio::test]
async fn who_does_not_take_a_large_answer_makes_room_for_one_who_does() {
    let (door, addr) = door(LIMITS).await;
    let mut stuck = connect(addr).await;
    stuck.write_all(GET_LARGE).await.unwrap();
    let taking = async |door: &Doorkeeper| {
        let sends = |entry: &book::Entry| entry.stage == Stage::Sending { is_large: true };
        while !door.book().entries.values().any(sends) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, taking(&door)).await.expect("it is answered");
    assert_eq!(door.answers.available_permits(), 0, "one that is larger than the budget has all of it");
    // As if it had not taken it for longer than a good reader needs.
    for entry in door.book().entries.values_mut() {
        entry.since -= LIMITS.patience.stranger;
    }
    let mut takes = connect(addr).await;
    takes.write_all(GET_LARGE).await.unwrap();
    let mut said = vec![0; LARGE];
    tokio::time::timeout(BOUND, takes.read_exact(&mut said)).await.expect("it comes").unwrap();
    assert!(said.starts_with(b"HTTP/1.1 200"));
    assert_eq!(door.turned_away(), 1);
}
