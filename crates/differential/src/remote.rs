//! A server at the other end of a socket.

use crate::{Args, Side};
use ironcache_resp::{Protocol, Value, encode_command, parse_value};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Far above what any answer takes; a server that needs longer hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection, whose commands go out in one write a sequence.
pub struct Remote {
    stream: TcpStream,
    protocol: Option<Protocol>,
    received: Vec<u8>,
}

impl Remote {
    /// # Errors
    /// Why there is no connection.
    pub fn connect(addr: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream, protocol: None, received: Vec::new() })
    }

    /// One command in RESP3.
    ///
    /// # Errors
    /// What is wrong with the connection or the reply.
    pub fn ask(&mut self, args: &[&str]) -> Result<Value, String> {
        let args = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        let replies = self.run(Protocol::Resp3, &[args])?;
        let (value, _) = parse_value(&replies[0]).map_err(|e| e.to_string())?.ok_or("half a reply")?;
        Ok(value)
    }

    /// What it says by itself.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) fn message(&mut self) -> Result<Value, String> {
        let reply = self.reply()?;
        let (value, _) = parse_value(&reply).map_err(|e| e.to_string())?.ok_or("half a message")?;
        Ok(value)
    }

    fn reply(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some((_, used)) = parse_value(&self.received).map_err(|e| e.to_string())? {
                return Ok(self.received.drain(..used).collect());
            }
            let mut chunk = [0; 64 << 10];
            let read = self.stream.read(&mut chunk).map_err(|e| format!("no answer: {e}"))?;
            if read == 0 {
                return Err("the server closed the connection".to_owned());
            }
            self.received.extend_from_slice(&chunk[..read]);
        }
    }
}

impl Side for Remote {
    fn run(&mut self, protocol: Protocol, commands: &[Args]) -> Result<Vec<Vec<u8>>, String> {
        let mut out = Vec::new();
        let turned = self.protocol.replace(protocol) != Some(protocol);
        if turned {
            encode_command(&["HELLO", &protocol.number().to_string()], &mut out);
        }
        commands.iter().for_each(|args| encode_command(args, &mut out));
        self.stream.write_all(&out).map_err(|e| e.to_string())?;
        if turned {
            self.reply()?;
        }
        commands.iter().map(|_| self.reply()).collect()
    }
}
