//! A pipelined connection to one node, for filling and for reading back: many keys in one round trip.
//!
//! *Invariant:* an answer that is not the expected one is an error with its text, never skipped.

use anyhow::{Context, bail};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Keys in one write: fewer cost round trips, more only memory.
pub(super) const BATCH: usize = 512;
/// One batch takes milliseconds.
const BATCH_TIMEOUT: Duration = Duration::from_secs(20);
/// No value of a demo is longer.
pub(super) const VALUE_BYTES_MAX: usize = 16 << 20;

pub(super) struct Pipe {
    stream: BufReader<TcpStream>,
    addr: String,
}

impl Pipe {
    pub(super) async fn connect(addr: &str) -> anyhow::Result<Self> {
        let stream = tokio::time::timeout(BATCH_TIMEOUT, TcpStream::connect(addr)).await;
        let stream = stream
            .context("timed out")
            .flatten_io()
            .with_context(|| format!("could not connect to {addr}"))?;
        stream.set_nodelay(true).context("could not set TCP_NODELAY")?;
        Ok(Self { stream: BufReader::with_capacity(64 << 10, stream), addr: addr.to_owned() })
    }

    /// Sets every pair; returns when all are acknowledged.
    pub(super) async fn set(&mut self, pairs: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
        let mut request = Vec::new();
        for (key, value) in pairs {
            command(&mut request, &[b"SET", key.as_bytes(), value]);
        }
        let exchange = async {
            self.stream.get_mut().write_all(&request).await?;
            for (key, _) in pairs {
                let line = self.line().await?;
                if line != "+OK" {
                    bail!("SET {key} is answered {line:?}");
                }
            }
            Ok(())
        };
        let result = tokio::time::timeout(BATCH_TIMEOUT, exchange).await.context("timed out").and_then(|r| r);
        result.with_context(|| format!("could not fill {}", self.addr))
    }

    /// The values of `keys`, in their order; `None` where there is none.
    pub(super) async fn get(&mut self, keys: &[String]) -> anyhow::Result<Vec<Option<Vec<u8>>>> {
        let mut request = Vec::new();
        for key in keys {
            command(&mut request, &[b"GET", key.as_bytes()]);
        }
        let exchange = async {
            self.stream.get_mut().write_all(&request).await?;
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                values.push(self.bulk().await.with_context(|| format!("GET {key}"))?);
            }
            Ok(values)
        };
        let result = tokio::time::timeout(BATCH_TIMEOUT, exchange).await.context("timed out").and_then(|r| r);
        result.with_context(|| format!("could not read back from {}", self.addr))
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.strip_suffix("\r\n") {
            Some(text) => Ok(text.to_owned()),
            None => bail!("the connection was closed"),
        }
    }

    async fn bulk(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let line = self.line().await?;
        if line == "$-1" {
            return Ok(None);
        }
        let len = line
            .strip_prefix('$')
            .and_then(|len| len.parse::<usize>().ok())
            .filter(|l| *l <= VALUE_BYTES_MAX);
        let Some(len) = len else { bail!("the answer is {line:?}") };
        let mut value = vec![0; len + 2];
        self.stream.read_exact(&mut value).await?;
        value.truncate(len);
        Ok(Some(value))
    }
}

fn command(request: &mut Vec<u8>, arguments: &[&[u8]]) {
    request.extend(format!("*{}\r\n", arguments.len()).bytes());
    for argument in arguments {
        request.extend(format!("${}\r\n", argument.len()).bytes());
        request.extend_from_slice(argument);
        request.extend_from_slice(b"\r\n");
    }
}

trait FlattenIo<T> {
    fn flatten_io(self) -> anyhow::Result<T>;
}

impl<T> FlattenIo<T> for anyhow::Result<std::io::Result<T>> {
    fn flatten_io(self) -> anyhow::Result<T> {
        Ok(self??)
    }
}
