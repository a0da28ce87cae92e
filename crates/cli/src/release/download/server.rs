//! A server for tests: it gives the answers that it was told to, one a connection, in order.

use super::Roots;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};

/// What one connection is given.
pub(super) struct Answer {
    head: String,
    body: Vec<u8>,
    after: After,
}

enum After {
    Close,
    /// Nothing more comes, until the other side leaves.
    Silence,
}

impl Answer {
    pub(super) fn new(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Answer {
            head: format!("HTTP/1.1 {status}\r\n{headers}\r\n"),
            body: body.to_vec(),
            after: After::Close,
        }
    }

    /// The whole of `file`, and only its first `sent` bytes come.
    pub(super) fn whole(file: &[u8], tag: Option<&str>, sent: usize) -> Self {
        let length = file.len().to_string();
        let tag = tag.map(|tag| ("etag", tag));
        let headers: Vec<_> = [("content-length", length.as_str())].into_iter().chain(tag).collect();
        Self::new("200 OK", &headers, &file[..sent])
    }

    /// `file` from byte `from` on.
    pub(super) fn rest(file: &[u8], tag: &str, from: usize) -> Self {
        let (length, last) = ((file.len() - from).to_string(), file.len() - 1);
        let range = format!("bytes {from}-{last}/{}", file.len());
        let headers = [("content-length", length.as_str()), ("content-range", &range), ("etag", tag)];
        Self::new("206 Partial Content", &headers, &file[from..])
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self::new("302 Found", &[("location", to), ("content-length", "0")], b"")
    }

    pub(super) fn then_silence(self) -> Self {
        Answer { after: After::Silence, ..self }
    }

    fn give(self, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
        stream.write_all(self.head.as_bytes())?;
        stream.write_all(&self.body)?;
        stream.flush()?;
        match self.after {
            After::Close => Ok(()),
            After::Silence => stream.read(&mut [0]).map(drop),
        }
    }
}

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    requests: mpsc::Receiver<String>,
}

impl Server {
    pub(super) fn plain(answers: Vec<Answer>) -> Self {
        Self::start(answers, Some)
    }

    /// With a certificate of its own, which is the root to trust.
    pub(super) fn tls(answers: Vec<Answer>) -> (Self, Roots) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
        let config = Arc::new(config);
        let server = Self::start(answers, move |stream| {
            let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            // Who does not trust the certificate leaves here.
            tls.conn.complete_io(&mut tls.sock).is_ok().then_some(tls)
        });
        (server, Roots::Only(vec![certificate]))
    }

    fn start<S: Read + Write>(
        answers: Vec<Answer>,
        wrap: impl Fn(TcpStream) -> Option<S> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (asked, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for answer in answers {
                let Some(mut stream) = wrap(listener.accept().unwrap().0) else { continue };
                let Ok(head) = read_head(&mut stream) else { continue };
                // Whoever does not look at the requests has dropped the other end.
                let _ = asked.send(head);
                // The client may leave before all was given: that is what some tests are about.
                let _ = answer.give(&mut stream);
            }
        });
        Server { addr, requests }
    }

    /// The requests so far, in small letters.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

/// A proxy that takes one connection to wherever it is asked for, and what it was asked.
pub(super) fn proxy() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (asked, requests) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let head = read_head(&mut client).unwrap();
        let target = head.split_whitespace().nth(1).unwrap().to_owned();
        asked.send(head).unwrap();
        let mut server = TcpStream::connect(target).unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        // An end that is torn off is an end.
        let _ = std::io::copy(&mut server, &mut client);
    });
    (addr, requests)
}

fn read_head(stream: &mut impl Read) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).to_ascii_lowercase())
}
