//! From an address that a person has at hand to a node's HTTP address.
//!
//! `--seed` may name a node's client port or its HTTP port. The port is asked `CONFIG GET http-port` in
//! RESP: a node's client port answers with the number; an HTTP server complains in HTTP, and so says
//! what it is.
//!
//! This question goes out in the open, before any TLS: whoever is on the way learns that somebody looks for a node, and may
//! answer what it likes. That leads to another port of the same host, or to none.
//!
//! *Invariant:* nothing but the first bytes of an answer decides, and reading them is bounded.
//! *Invariant:* an answer says where to knock, and never whom to believe: who has a key goes by pins and codes there, and who
//! has none believes whoever answers anyway.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A machine that is up answers on loopback or in a data centre well within this; a wrong address
/// should not keep a person waiting.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

const QUESTION: &[u8] = b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$9\r\nhttp-port\r\n";

/// No expected answer is longer.
const ANSWER_MAX_BYTES: usize = 512;

#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error("{seed:?} is not an address: HOST:PORT is expected, a node's client or http address")]
    NotAnAddress { seed: String },
    #[error("no node answers at {seed}: {why}")]
    Unreachable { seed: String, why: String },
    #[error("{seed} wants a password before it tells its http port: give the node's http address instead")]
    PasswordNeeded { seed: String },
    #[error(
        "what listens at {seed} is no ironcache node (it answered {answer:?}): give a node's client or http address"
    )]
    NotANode { seed: String, answer: String },
}

/// The `host:port` of the HTTP port of the node at `seed`.
///
/// # Errors
/// Nobody answers in time, or it is not one of our nodes.
pub async fn resolve(seed: &str) -> Result<String, SeedError> {
    let (host, port) = split(seed).ok_or_else(|| SeedError::NotAnAddress { seed: seed.to_owned() })?;
    let unreachable = |why: String| SeedError::Unreachable { seed: seed.to_owned(), why };
    let probe = async {
        let mut stream = TcpStream::connect((host, port)).await?;
        stream.write_all(QUESTION).await?;
        read_answer(&mut stream).await
    };
    let answer = match tokio::time::timeout(PROBE_TIMEOUT, probe).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable(format!("no answer within {} s", PROBE_TIMEOUT.as_secs()))),
    };
    match judge(&answer) {
        Some(Answer::Http) => Ok(seed.to_owned()),
        Some(Answer::HttpPort(http_port)) => Ok(join(host, http_port)),
        Some(Answer::PasswordNeeded) => Err(SeedError::PasswordNeeded { seed: seed.to_owned() }),
        Some(Answer::Other) | None => {
            let answer = String::from_utf8_lossy(&answer).chars().take(60).collect();
            Err(SeedError::NotANode { seed: seed.to_owned(), answer })
        }
    }
}

/// `host:port`, with or without brackets around an IPv6 address.
pub fn split(seed: &str) -> Option<(&str, u16)> {
    let (host, port) = seed.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() { None } else { Some((host, port.parse().ok().filter(|p| *p != 0)?)) }
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

enum Answer {
    Http,
    HttpPort(u16),
    PasswordNeeded,
    /// It speaks RESP, and knows no http port: another Redis-compatible server.
    Other,
}

async fn read_answer(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    while answer.len() < ANSWER_MAX_BYTES && judge(&answer).is_none() {
        let mut chunk = [0; ANSWER_MAX_BYTES];
        match stream.read(&mut chunk).await? {
            0 => break,
            n => answer.extend_from_slice(&chunk[..n]),
        }
    }
    Ok(answer)
}

/// What an answer says, or `None` while it says nothing (yet).
fn judge(answer: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(answer).ok()?;
    if text.starts_with("HTTP/") {
        return Some(Answer::Http);
    }
    if text.starts_with("-NOAUTH") {
        return Some(Answer::PasswordNeeded);
    }
    // Redis answers with an empty array or map, others with an error; and all keep the connection open.
    if let Some((first, _)) = text.split_once("\r\n")
        && first != "*2"
    {
        return Some(Answer::Other);
    }
    // `*2 $9 http-port $5 26379`, each ended by CR LF.
    let mut lines = text.split_inclusive("\r\n").filter_map(|line| line.strip_suffix("\r\n"));
    let shape = (lines.next()?, lines.next()?, lines.next()?);
    if shape != ("*2", "$9", "http-port") || !lines.next()?.starts_with('$') {
        return None;
    }
    lines.next()?.parse().ok().map(Answer::HttpPort)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that answers every connection's first bytes with `answer`, in two parts, and keeps it open.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = vec![0; QUESTION.len()];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(question, QUESTION);
            let (first, second) = answer.split_at(answer.len() / 2);
            stream.write_all(first.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            stream.write_all(second.as_bytes()).await.unwrap();
            // Until the other side has closed.
            let _ = stream.read(&mut question).await;
        });
        addr
    }

    #[tokio::test]
    async fn a_client_port_tells_the_http_port() {
        let seed = server("*2\r\n$9\r\nhttp-port\r\n$5\r\n26379\r\n").await;
        assert_eq!(resolve(&seed).await.unwrap(), "127.0.0.1:26379");
    }

    #[tokio::test]
    async fn an_http_port_is_known_by_its_complaint() {
        let seed = server("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert_eq!(resolve(&seed).await.unwrap(), seed);
    }

    #[tokio::test]
    async fn another_server_is_not_taken_for_a_node() {
        for answer in ["*0\r\n", "%0\r\n", "-ERR unknown command 'CONFIG'\r\n", "+OK\r\n"] {
            let seed = server(answer).await;
            let told =
                tokio::time::timeout(PROBE_TIMEOUT / 2, resolve(&seed)).await.expect("it answered at once");
            assert!(matches!(told, Err(SeedError::NotANode { .. })), "{answer:?}: {told:?}");
        }
        let seed = server("-NOAUTH Authentication required.\r\n").await;
        assert!(matches!(resolve(&seed).await, Err(SeedError::PasswordNeeded { .. })));
    }

    #[tokio::test]
    async fn a_closed_port_and_a_bad_address_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seed = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert!(matches!(resolve(&seed).await, Err(SeedError::Unreachable { .. })));
        for bad in ["localhost", "localhost:0", ":6379", "localhost:http"] {
            assert!(matches!(resolve(bad).await, Err(SeedError::NotAnAddress { .. })), "{bad}");
        }
    }

    #[test]
    fn ipv6_addresses_keep_their_brackets() {
        assert_eq!(split("[::1]:6379"), Some(("::1", 6379)));
        assert_eq!(join("::1", 1), "[::1]:1");
    }

    #[test]
    fn fuzz_seeds_and_what_a_server_of_any_kind_answers() {
        let texts =
            ["h:1", "[::1]:26379", "HTTP/1.1 400 Bad", "-NOAUTH", "*2\r\n$9\r\nhttp-port\r\n$5\r\n26379\r\n"];
        ironcache_fuzz::Campaign::of("seeds and answers").from(texts).words(["\r\n", ":", "[", "]"]).run(
            |bytes| {
                let text = String::from_utf8_lossy(bytes);
                let seed = split(&text);
                assert!(seed.is_none_or(|(host, port)| !host.is_empty() && port > 0));
                (seed.is_some(), judge(bytes).map(|answer| std::mem::discriminant(&answer)))
            },
        );
    }
}
