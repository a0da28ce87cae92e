use super::*;
use ironcache_types::NodeId;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Counts what it dials.
#[derive(Debug, Default)]
struct Counting {
    dialled: Mutex<Vec<Option<NodeId>>>,
    generation: AtomicU64,
}

impl Counting {
    fn dialled(&self) -> Vec<Option<NodeId>> {
        self.dialled.lock().unwrap().clone()
    }
}

impl Dial for Counting {
    fn dial<'a>(&'a self, addr: &'a str, to: Option<NodeId>) -> Dialling<'a> {
        self.dialled.lock().unwrap().push(to);
        if to == Some(NodeId(9)) {
            return Box::pin(async { Err(io::Error::other("another key")) });
        }
        Plain.dial(addr, to)
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}

/// Answers `answers` calls on each connection, then closes it.
async fn server(answers: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, calls) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                for _ in 0..answers {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    (addr, calls)
}

async fn call(client: &Client, addr: &str, to: Option<NodeId>) -> Result<String, Error> {
    let call = client.get(format!("http://{addr}/x"));
    let call = if let Some(to) = to { call.to(to) } else { call };
    call.send().await?.text().await
}

#[tokio::test]
async fn a_connection_is_kept_for_the_node_that_it_was_made_for() {
    let (dial, (addr, calls)) = (Arc::new(Counting::default()), server(100).await);
    let client = Client::new(dial.clone(), Waits::default());
    let (one, two) = (Some(NodeId(1)), Some(NodeId(2)));
    for to in [one, one, one, two, one, two] {
        assert_eq!(call(&client, &addr, to).await.unwrap(), "ok");
    }
    assert_eq!(dial.dialled(), [one, two]);
    assert_eq!(calls.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn no_connection_outlives_the_keys_that_it_was_made_under() {
    let (dial, (addr, _)) = (Arc::new(Counting::default()), server(100).await);
    let client = Client::new(dial.clone(), Waits::default());
    let one = Some(NodeId(1));
    call(&client, &addr, one).await.unwrap();
    dial.generation.store(1, Ordering::Relaxed);
    call(&client, &addr, one).await.unwrap();
    assert_eq!(dial.dialled(), [one, one]);
}

#[tokio::test]
async fn a_kept_connection_that_has_ended_costs_no_call() {
    let (dial, (addr, calls)) = (Arc::new(Counting::default()), server(1).await);
    let client = Client::new(dial.clone(), Waits::default());
    for _ in 0..20 {
        assert_eq!(call(&client, &addr, None).await.unwrap(), "ok");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 20, "each was sent once");
}

#[tokio::test]
async fn whoever_has_another_key_than_was_meant_is_sent_nothing() {
    let (dial, (addr, calls)) = (Arc::new(Counting::default()), server(1).await);
    let client = Client::new(dial, Waits::default());
    let error = call(&client, &addr, Some(NodeId(9))).await.unwrap_err();
    assert!(error.is_connect(), "{error}");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_call_without_an_answer_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let client = Client::new(Arc::new(Plain), Waits::default());
    let sent = client.get(format!("http://{addr}/")).timeout(Duration::from_millis(20)).send().await;
    assert!(sent.unwrap_err().is_timeout());
}
