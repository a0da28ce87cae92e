//! A blocking RESP client, enough to fill, ask and time a server.

use anyhow::{Context, Result, bail};
use ironcache_benches::workload::{VALUE_BYTES, key};
use ironcache_resp::{Value, encode_command, parse_value};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server that is silent for longer will not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Commands in flight while filling.
const BATCH: usize = 500;

pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(addr: &str) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("could not connect to {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// The answer to one command; an error reply is an error.
    pub(crate) fn call(&mut self, args: &[&[u8]]) -> Result<Value> {
        let mut bytes = Vec::new();
        encode_command(args, &mut bytes);
        self.stream.write_all(&bytes)?;
        match self.answer()? {
            Value::Error(text) => bail!("{} answers {text}", args[0].escape_ascii()),
            value => Ok(value),
        }
    }

    fn answer(&mut self) -> Result<Value> {
        loop {
            if let Some((value, consumed)) = parse_value(&self.received)? {
                self.received.drain(..consumed);
                return Ok(value);
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk)? {
                0 => bail!("the server closed the connection"),
                len => self.received.extend_from_slice(&chunk[..len]),
            }
        }
    }

    /// SETs the first `keys` keys to values of 100 bytes.
    pub(crate) fn fill(&mut self, keys: usize) -> Result<()> {
        let value = [b'x'; VALUE_BYTES];
        for batch in (0..keys).step_by(BATCH) {
            let batch = batch..keys.min(batch + BATCH);
            let mut bytes = Vec::new();
            for index in batch.clone() {
                encode_command(&[&b"SET"[..], &key(index), &value], &mut bytes);
            }
            self.stream.write_all(&bytes)?;
            for _ in batch {
                if let Value::Error(text) = self.answer()? {
                    bail!("SET answers {text}");
                }
            }
        }
        Ok(())
    }

    pub(crate) fn keys(&mut self) -> Result<usize> {
        match self.call(&[b"DBSIZE"])? {
            Value::Int(keys) => Ok(usize::try_from(keys)?),
            other => bail!("DBSIZE answers {other:?}"),
        }
    }

    /// The lines of a section of `INFO`.
    pub(crate) fn info(&mut self, section: &str) -> Result<BTreeMap<String, String>> {
        let answer = self.call(&[b"INFO", section.as_bytes()])?;
        let text = answer.as_bytes().context("INFO answers something else than text")?;
        let text = String::from_utf8_lossy(text);
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Ok(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    /// The process that answers.
    pub(crate) fn pid(&mut self) -> Result<u32> {
        let info = self.info("server")?;
        info.get("process_id")
            .and_then(|pid| pid.parse().ok())
            .context("INFO server does not tell process_id")
    }
}
