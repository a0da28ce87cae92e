use super::*;
use ironcache_identity::{Expect, PrivateKey, Tls};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsStream;

/// Both ends of a link whose keys are proved.
async fn links() -> (LinkStream, LinkStream) {
    let tls = || Tls::new(&PrivateKey::generate().unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let accepted = listener.accept().await.unwrap().0;
    let (calls, called) = (tls(), tls());
    let expect = Expect::Key(called.hash());
    let (near, far) = tokio::join!(calls.connect(connected, expect), called.accept(accepted, || ()));
    let link = |stream| {
        let (tcp, session) = match stream {
            TlsStream::Client(tls) => {
                let (tcp, session) = tls.into_inner();
                (tcp, Connection::from(session))
            }
            TlsStream::Server(tls) => {
                let (tcp, session) = tls.into_inner();
                (tcp, Connection::from(session))
            }
        };
        LinkStream::new(tcp, Some(session))
    };
    (link(near.unwrap().stream), link(far.unwrap().stream))
}

async fn read_all(mut from: LinkRead, len: usize) -> BytesMut {
    let mut all = BytesMut::new();
    while all.len() < len {
        assert_ne!(from.read_buf(&mut all).await.unwrap(), 0);
    }
    all
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("far more than it takes")
}

#[tokio::test]
async fn what_is_written_comes_out_at_the_other_end_in_both_directions_at_once() {
    let (near, far) = links().await;
    let ((near_read, mut near_write), (far_read, mut far_write)) = (near.into_split(), far.into_split());
    let sent: Vec<u8> = (0..3_000_001_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let writing =
        async { tokio::try_join!(near_write.write_all(&sent), far_write.write_all(&sent)).unwrap() };
    let reading = async { tokio::join!(read_all(near_read, sent.len()), read_all(far_read, sent.len())) };
    let (_, (there, here)) = in_time(async { tokio::join!(writing, reading) }).await;
    assert!(there == sent && here == sent);
}

#[tokio::test]
async fn a_long_write_leaves_in_whole_records() {
    let (near, far) = links().await;
    let (_near_read, mut near_write) = near.into_split();
    // What the kernel of the other end gets, unopened.
    let mut far = far.tcp;
    let sent = vec![7; 4 * WRITE_BYTES];
    let writing = async { near_write.write_all(&sent).await.unwrap() };
    let reading = async {
        let (mut plain, mut records) = (0, 0);
        while plain < sent.len() {
            let mut header = [0; 5];
            far.read_exact(&mut header).await.unwrap();
            let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
            let mut body = vec![0; len];
            far.read_exact(&mut body).await.unwrap();
            // Of each record 16 bytes are its tag, and one says what it is.
            plain += len - 17;
            records += 1;
        }
        records
    };
    let ((), records) = in_time(async { tokio::join!(writing, reading) }).await;
    assert_eq!(records, sent.len() / (16 << 10));
}

#[tokio::test]
async fn whoever_reports_and_whoever_writes_do_not_break_each_others_records() {
    let (near, far) = links().await;
    let mut reports = near.tcp.into_std().unwrap();
    let again = reports.try_clone().unwrap();
    let near = LinkStream { tcp: TcpStream::from_std(again).unwrap(), session: near.session };
    let session = near.session.clone().unwrap();
    let (_near_read, mut near_write) = near.into_split();
    let (far_read, _far_write) = far.into_split();
    // Nobody reads yet: sooner or later the socket takes no more, and the rest waits in the session.
    let mut said = 0;
    while !session.lock().0.wants_write() {
        session.say_at_once(&mut reports, b"report!").unwrap();
        said += 1;
    }
    session.say_at_once(&mut reports, b"not said").unwrap();
    let expected = [b"report!".repeat(said), b"the end".to_vec()].concat();
    let writing = async { near_write.write_all(b"the end").await.unwrap() };
    let ((), read) = in_time(async { tokio::join!(writing, read_all(far_read, expected.len())) }).await;
    assert!(read == expected);
}

#[tokio::test]
async fn a_read_that_is_given_up_loses_nothing() {
    let (near, far) = links().await;
    let (_near_read, mut near_write) = near.into_split();
    let (mut far_read, _far_write) = far.into_split();
    let mut all = BytesMut::new();
    for part in 0..50_u8 {
        let waited = tokio::time::timeout(Duration::ZERO, far_read.read_buf(&mut all)).await;
        assert!(waited.is_err() || matches!(waited, Ok(Ok(1..))));
        near_write.write_all(&[part; 1_000]).await.unwrap();
    }
    in_time(async {
        while all.len() < 50_000 {
            assert_ne!(far_read.read_buf(&mut all).await.unwrap(), 0);
        }
    })
    .await;
    assert!(all.chunks(1_000).enumerate().all(|(part, bytes)| bytes == [part as u8; 1_000]));
}

#[tokio::test]
async fn the_end_of_a_link_is_the_end_of_what_is_read() {
    let (near, far) = links().await;
    let (_near_read, mut near_write) = near.into_split();
    let (mut far_read, _far_write) = far.into_split();
    near_write.write_all(b"last words").await.unwrap();
    near_write.shutdown().await.unwrap();
    let mut all = BytesMut::new();
    while in_time(far_read.read_buf(&mut all)).await.unwrap() > 0 {}
    assert_eq!(&all[..], b"last words");
}
