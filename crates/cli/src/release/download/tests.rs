//! Downloads from servers that break off, lie, lead astray and fall silent.

use super::server::{Answer, Server, proxy};
use super::*;
use crate::exit::Failure;
use std::cell::RefCell;
use std::io::Read;
use std::net::TcpListener;

const TAG: &str = "\"a\"";
const OTHER_TAG: &str = "\"b\"";

/// What somebody at a terminal would have read.
#[derive(Default)]
struct Told {
    lines: RefCell<Vec<String>>,
}

impl Progress for Told {
    fn at(&self, _received_bytes: u64, _total_bytes: Option<u64>) {}

    fn say(&self, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }
}

fn limits() -> Limits {
    Limits {
        max_bytes: 1 << 20,
        connect: Duration::from_secs(10),
        silence: Duration::from_secs(10),
        retries: 2,
        first_pause: Duration::ZERO,
        redirects: 3,
    }
}

fn file_of(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ seed).collect()
}

struct Downloaded {
    result: Result<(), DownloadError>,
    bytes: Vec<u8>,
    told: Vec<String>,
}

impl Downloaded {
    fn error(self) -> DownloadError {
        self.result.expect_err("it is refused")
    }
}

async fn download(url: &str, limits: Limits, roots: Roots, proxies: Matcher) -> Downloaded {
    let url = WebUrl::parse(url).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    let told = Told::default();
    let result = Download {
        url: &url,
        file: &mut file,
        limits: &limits,
        progress: &told,
        connector: Connector::new(roots, proxies),
        partial: Partial::default(),
        answered: false,
    }
    .run()
    .await;
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    Downloaded { result, bytes, told: told.lines.into_inner() }
}

/// No proxy, whatever the environment of the tests says.
fn direct() -> Matcher {
    Matcher::builder().build()
}

async fn from(server: &Server, limits: Limits) -> Downloaded {
    let url = format!("http://{}/ironcache?key=1", server.addr);
    download(&url, limits, Roots::Only(Vec::new()), direct()).await
}

#[tokio::test]
async fn a_file_comes_whole() {
    let file = file_of(0, 300_000);
    let server = Server::plain(vec![Answer::whole(&file, Some(TAG), file.len())]);
    let downloaded = from(&server, limits()).await;
    downloaded.result.unwrap();
    assert_eq!(downloaded.bytes, file);
    let requests = server.requests();
    assert!(requests[0].starts_with("get /ironcache?key=1 http/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains(&format!("\r\nhost: {}\r\n", server.addr)), "{requests:?}");
    assert!(requests[0].contains("\r\naccept-encoding: identity\r\n"), "{requests:?}");
    assert!(!requests[0].contains("range"), "{requests:?}");
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_stopped() {
    let file = file_of(0, 1000);
    let server = Server::plain(vec![
        Answer::whole(&file, Some(TAG), 400),
        Answer::new("503 Service Unavailable", &[("content-length", "0")], b""),
        Answer::rest(&file, TAG, 400),
    ]);
    let downloaded = from(&server, limits()).await;
    downloaded.result.unwrap();
    assert_eq!(downloaded.bytes, file);
    for request in &server.requests()[1..] {
        assert!(request.contains("\r\nrange: bytes=400-\r\n"), "{request}");
        assert!(request.contains("\r\nif-range: \"a\"\r\n"), "{request}");
    }
    assert!(downloaded.told[0].ends_with("going on at 400 bytes (try 2 of 3)"), "{:?}", downloaded.told);
    assert_eq!(
        downloaded.told[1],
        "the server answers 503 Service Unavailable: going on at 400 bytes (try 3 of 3)"
    );
}

#[tokio::test]
async fn a_server_without_ranges_gives_it_anew() {
    let file = file_of(0, 1000);
    let server = Server::plain(vec![
        Answer::whole(&file, Some(TAG), 400),
        Answer::whole(&file, Some(TAG), file.len()),
    ]);
    let downloaded = from(&server, limits()).await;
    downloaded.result.unwrap();
    assert_eq!(downloaded.bytes, file);
}

#[tokio::test]
async fn without_a_strong_tag_or_a_date_nothing_is_put_after_what_came() {
    let file = file_of(0, 1000);
    for tag in [None, Some("W/\"a\"")] {
        let answers = vec![Answer::whole(&file, tag, 400), Answer::whole(&file, tag, file.len())];
        let server = Server::plain(answers);
        let downloaded = from(&server, limits()).await;
        downloaded.result.unwrap();
        assert_eq!(downloaded.bytes, file);
        assert!(!server.requests()[1].contains("range"));
        assert!(downloaded.told[0].ends_with("beginning anew (try 2 of 3)"), "{:?}", downloaded.told);
    }
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_no_mixture() {
    let (file, other) = (file_of(0, 1000), file_of(9, 1000));
    let server = Server::plain(vec![
        Answer::whole(&file, Some(TAG), 400),
        Answer::whole(&other, Some(OTHER_TAG), 700),
        Answer::rest(&other, OTHER_TAG, 700),
    ]);
    let downloaded = from(&server, limits()).await;
    downloaded.result.unwrap();
    assert_eq!(downloaded.bytes, other);
}

#[tokio::test]
async fn a_server_that_goes_on_with_another_file_is_not_believed() {
    let (file, other) = (file_of(0, 1000), file_of(9, 1200));
    let server = Server::plain(vec![
        Answer::whole(&file, Some(TAG), 400),
        Answer::rest(&other, OTHER_TAG, 400),
        Answer::whole(&other, Some(OTHER_TAG), other.len()),
    ]);
    let downloaded = from(&server, limits()).await;
    downloaded.result.unwrap();
    assert_eq!(downloaded.bytes, other);
    assert!(!server.requests()[2].contains("range"));
}

#[tokio::test]
async fn a_length_above_the_bound_is_refused_before_the_file_comes() {
    let length = ((1u64 << 20) + 1).to_string();
    let answer = Answer::new("200 OK", &[("content-length", &length)], b"").then_silence();
    let error = from(&Server::plain(vec![answer]), limits()).await.error();
    assert!(matches!(error, DownloadError::TooLarge { size_bytes: 1_048_577, .. }), "{error}");
}

#[tokio::test]
async fn an_end_that_does_not_come_is_counted() {
    let server = Server::plain(vec![Answer::new("200 OK", &[], &vec![0; 3 << 20])]);
    let downloaded = from(&server, limits()).await;
    assert!(downloaded.bytes.len() <= 1 << 20);
    let error = downloaded.error();
    assert!(matches!(error, DownloadError::Endless { max_bytes: 1_048_576, .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_promises_more_than_it_gives_is_given_up() {
    let file = file_of(0, 1000);
    let short = Answer::new(
        "206 Partial Content",
        &[("content-length", "100"), ("content-range", "bytes 400-999/1000"), ("etag", TAG)],
        &file[400..500],
    );
    let server = Server::plain(vec![
        Answer::whole(&file, Some(TAG), 400),
        short,
        Answer::new("200 OK", &[("content-length", "1000")], b""),
    ]);
    let error = from(&server, limits()).await.error();
    assert!(matches!(error, DownloadError::GaveUp { tries: 3, received_bytes: 0, .. }), "{error:?}");
    let requests = server.requests();
    assert!(requests[2].contains("\r\nrange: bytes=500-\r\n"), "{requests:?}");
    assert_eq!(Failure::from(error).code(), 4);
}

#[tokio::test]
async fn a_rest_that_is_longer_than_the_file_is_refused() {
    let file = file_of(0, 1000);
    let longer = Answer::new(
        "206 Partial Content",
        &[("content-length", "700"), ("content-range", "bytes 400-999/1000"), ("etag", TAG)],
        &[0; 700],
    );
    let server = Server::plain(vec![Answer::whole(&file, Some(TAG), 400), longer]);
    let error = from(&server, limits()).await.error();
    assert!(matches!(error, DownloadError::Endless { max_bytes: 1000, .. }), "{error}");
}

#[tokio::test]
async fn silence_ends_a_try_and_not_the_download() {
    let file = file_of(0, 1000);
    let server = Server::plain(vec![
        Answer::whole(&file, Some(TAG), 400).then_silence(),
        Answer::rest(&file, TAG, 400),
    ]);
    let downloaded = from(&server, Limits { silence: Duration::from_millis(300), ..limits() }).await;
    downloaded.result.unwrap();
    assert_eq!(downloaded.bytes, file);
    assert!(downloaded.told[0].starts_with("nothing came for "), "{:?}", downloaded.told);
}

#[tokio::test]
async fn what_a_server_refuses_is_not_asked_again() {
    let gone = || Answer::new("404 Not Found", &[("content-length", "0")], b"");
    let server = Server::plain(vec![gone(), gone()]);
    let error = from(&server, limits()).await.error();
    assert_eq!(error.to_string(), format!("http://{}/ironcache answers 404 Not Found", server.addr));
    assert_eq!(server.requests().len(), 1);
    assert_eq!(Failure::from(error).code(), 1);
}

#[tokio::test]
async fn an_address_at_which_nobody_answers_is_said_at_once() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{addr}/");
    let downloaded = download(&url, limits(), Roots::Only(Vec::new()), direct()).await;
    assert_eq!(downloaded.told, Vec::<String>::new());
    let error = downloaded.error();
    assert!(matches!(error, DownloadError::Connect(ConnectError::Connect { .. })), "{error:?}");
    assert_eq!(Failure::from(error).code(), 4);
}

#[tokio::test]
async fn redirects_are_followed_each_time_from_the_first_url_and_not_for_ever() {
    let file = file_of(0, 1000);
    let server = Server::plain(vec![
        Answer::redirect("/b"),
        Answer::whole(&file, Some(TAG), 400),
        Answer::redirect("/c"),
        Answer::rest(&file, TAG, 400),
    ]);
    let downloaded = from(&server, limits()).await;
    downloaded.result.unwrap();
    assert_eq!(downloaded.bytes, file);
    let paths: Vec<_> = server.requests().iter().map(|r| r.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(paths, ["/ironcache?key=1", "/b", "/ironcache?key=1", "/c"]);

    let circle = Server::plain((0..5).map(|_| Answer::redirect("/ironcache")).collect());
    let error = from(&circle, limits()).await.error();
    assert!(matches!(error, DownloadError::Redirect(RedirectError::TooMany { limit: 3, .. })), "{error}");
    assert_eq!(circle.requests().len(), 4);
}

#[tokio::test]
async fn https_goes_on_where_it_stopped_too() {
    let file = file_of(0, 100_000);
    let (server, roots) =
        Server::tls(vec![Answer::whole(&file, Some(TAG), 40_000), Answer::rest(&file, TAG, 40_000)]);
    let url = format!("https://{}/a", server.addr);
    let downloaded = download(&url, limits(), roots, direct()).await;
    downloaded.result.unwrap();
    assert_eq!(downloaded.bytes, file);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused_at_once() {
    let (server, _) = Server::tls(vec![Answer::whole(b"a", None, 1), Answer::whole(b"a", None, 1)]);
    let (_, of_another) = Server::tls(Vec::new());
    let url = format!("https://{}/a", server.addr);
    let downloaded = download(&url, limits(), of_another, direct()).await;
    assert_eq!(downloaded.told, Vec::<String>::new());
    let error = downloaded.error();
    assert!(matches!(error, DownloadError::Connect(ConnectError::Untrusted { .. })), "{error:?}");
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn https_leads_nowhere_without_tls() {
    let plain = Server::plain(vec![Answer::whole(b"a", None, 1)]);
    let (server, roots) = Server::tls(vec![Answer::redirect(&format!("http://{}/a", plain.addr))]);
    let url = format!("https://{}/a", server.addr);
    let error = download(&url, limits(), roots, direct()).await.error();
    assert!(matches!(error, DownloadError::Redirect(RedirectError::Downgrade { .. })), "{error}");
    assert_eq!(plain.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_proxy_carries_https_unread() {
    let file = file_of(0, 1000);
    let (server, roots) = Server::tls(vec![Answer::whole(&file, Some(TAG), file.len())]);
    let (proxy, asked) = proxy();
    let url = format!("https://{}/a", server.addr);
    let proxies = Matcher::builder().https(format!("http://{proxy}")).build();
    let downloaded = download(&url, limits(), roots, proxies).await;
    downloaded.result.unwrap();
    assert_eq!(downloaded.bytes, file);
    assert!(asked.recv().unwrap().starts_with(&format!("connect {} http/1.1\r\n", server.addr)));
}
