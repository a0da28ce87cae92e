//! A client over RESP, and its ledger: one writer a key, so that what a read may show is known.
//!
//! *Invariant:* a read shows the last acknowledged write of its key, or one that was begun after it.
//! *Invariant:* a counter is no less than the increments that were acknowledged, and no more than those that were begun.

use super::world::World;
use ironcache_host::net::TcpStream;
use ironcache_store::simulated::random_below;
use std::io::{Error, ErrorKind, Result};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// Longer than a failover: what has no answer by then is unknown, and the next node is asked.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What one key may show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key {
    /// The highest value whose write was acknowledged.
    pub acknowledged: u64,
    /// The highest value that was ever sent.
    pub begun: u64,
}

/// An increment's key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter {
    pub acknowledged: u64,
    pub begun: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Text(String),
    Number(i64),
    Nothing,
    Error(String),
}

/// Writes, reads and counts until the world says that it is enough.
pub(crate) async fn run(world: Rc<World>, client: u64) -> turmoil::Result {
    while !world.is_founded() {
        sleep(Duration::from_millis(20)).await;
    }
    let mut connection = Connection::new(&world);
    let mut value = 0;
    while world.works() {
        let key = client * 4 + random_below(4);
        let name = format!("k{key}");
        match random_below(4) {
            0 => {
                let (low, Some(shown)) =
                    (world.key(key).acknowledged, connection.number(&["GET", &name]).await)
                else {
                    continue;
                };
                let high = world.key(key).begun;
                if shown < low || shown > high {
                    world.violate(format!("{name} shows {shown}; {low} is acknowledged, {high} was begun"));
                }
            }
            1 => {
                world.count(client, |counter| counter.begun += 1);
                let counted = connection.number(&["INCR", &format!("n{client}")]).await;
                if let Some(counted) = counted {
                    world.count(client, |counter| counter.acknowledged += 1);
                    world.check_counter(client, counted);
                }
            }
            _ => {
                value += 1;
                world.write(key, |key| key.begun = value);
                let text = value.to_string();
                if connection.call(&["SET", &name, &text]).await == Some(Reply::Text("OK".to_owned())) {
                    world.write(key, |key| key.acknowledged = value);
                    world.note_acknowledged();
                }
            }
        }
        sleep(Duration::from_millis(random_below(25))).await;
    }
    // What the shard holds in the end.
    for key in client * 4..client * 4 + 4 {
        let shown = loop {
            match connection.number(&["GET", &format!("k{key}")]).await {
                Some(shown) => break shown,
                None => sleep(Duration::from_millis(20)).await,
            }
        };
        let Key { acknowledged, begun } = world.key(key);
        if shown < acknowledged || shown > begun {
            world.violate(format!(
                "in the end k{key} shows {shown}; {acknowledged} is acknowledged, {begun} was begun"
            ));
        }
    }
    loop {
        if let Some(counted) = connection.number(&["GET", &format!("n{client}")]).await {
            world.check_counter(client, counted);
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    world.note_read_in_the_end(client);
    std::future::pending().await
}

/// To whichever node serves the shard.
struct Connection<'a> {
    world: &'a World,
    at: String,
    stream: Option<TcpStream>,
    turn: u64,
}

impl<'a> Connection<'a> {
    fn new(world: &'a World) -> Self {
        Connection { world, at: world.client_addr(1), stream: None, turn: 1 }
    }

    /// `None`: the outcome is unknown, or it is certain that nothing was done.
    async fn number(&mut self, words: &[&str]) -> Option<u64> {
        match self.call(words).await? {
            Reply::Number(number) => u64::try_from(number).ok(),
            Reply::Text(text) => text.parse().ok(),
            Reply::Nothing => Some(0),
            Reply::Error(_) => None,
        }
    }

    /// Follows redirections; an error that means "not executed" is tried again a few times.
    async fn call(&mut self, words: &[&str]) -> Option<Reply> {
        for _ in 0..4 {
            match timeout(PATIENCE, self.once(words)).await {
                Ok(Ok(Reply::Error(error))) => match error.split(' ').collect::<Vec<_>>()[..] {
                    ["MOVED", _, addr] => {
                        self.at = addr.to_owned();
                        self.stream = None;
                    }
                    ["TRYAGAIN" | "CLUSTERDOWN" | "NOREPLICAS" | "LOADING", ..] => {
                        self.elsewhere().await;
                    }
                    _ => {
                        self.world.violate(format!("{words:?} is answered {error:?}"));
                        return None;
                    }
                },
                Ok(Ok(reply)) => return Some(reply),
                // Sent, perhaps executed: sending it again could execute it twice.
                Ok(Err(_)) | Err(_) => {
                    self.elsewhere().await;
                    return None;
                }
            }
        }
        None
    }

    async fn elsewhere(&mut self) {
        self.stream = None;
        self.turn += 1;
        self.at = self.world.client_addr(self.turn % self.world.data_nodes() + 1);
        sleep(Duration::from_millis(10)).await;
    }

    async fn once(&mut self, words: &[&str]) -> Result<Reply> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => empty.insert(TcpStream::connect(self.at.as_str()).await?),
        };
        let mut out = format!("*{}\r\n", words.len());
        for word in words {
            out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(out.as_bytes()).await?;
        read_reply(stream).await
    }
}

async fn read_reply(stream: &mut TcpStream) -> Result<Reply> {
    let line = read_line(stream).await?;
    let (kind, rest) = line.split_at(1);
    Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Number(rest.parse().map_err(Error::other)?),
        "$" if rest == "-1" => Reply::Nothing,
        "$" => Reply::Text(read_line(stream).await?),
        "_" => Reply::Nothing,
        _ => return Err(Error::other(format!("an unknown reply {line:?}"))),
    })
}

/// No value here holds a line's end.
async fn read_line(stream: &mut TcpStream) -> Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(Error::other)
}
