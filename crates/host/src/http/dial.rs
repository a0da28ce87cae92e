//! How a connection to another node is made: the seam between what is said and who is spoken to.

use crate::net::TcpStream;
use ironcache_types::NodeId;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};

/// What bytes go over.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

pub type Dialling<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send + 'a>>;

/// Makes connections.
pub trait Dial: fmt::Debug + Send + Sync {
    /// A connection to `addr` (`host:port`) on which nobody but `to` answers; `None` is whoever may be spoken to at all.
    fn dial<'a>(&'a self, addr: &'a str, to: Option<NodeId>) -> Dialling<'a>;

    /// Changes whenever other keys are known than before.
    fn generation(&self) -> u64;
}

/// Believes everybody: plain TCP.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Dial for Plain {
    fn dial<'a>(&'a self, addr: &'a str, _to: Option<NodeId>) -> Dialling<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
    }

    fn generation(&self) -> u64 {
        0
    }
}
