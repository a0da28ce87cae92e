//! The first contact as messages: each side proves that it holds the join code, and learns whether the other does.
//!
//! ```text
//!   caller                       called
//!     ├── 32 bytes of proof ──────►│   wrong: it says nothing, and closes
//!     │◄────── 32 bytes of proof ──┤   wrong: the caller says nothing more
//! ```
//! *Invariant:* whoever is called proves nothing to somebody who has proved nothing: it is asked by strangers.
//! *Invariant:* until both have proved, no other byte is sent or obeyed.

use crate::join_code::{JoinCode, Proof, Side};
use crate::tls::{HANDSHAKE_TIMEOUT, Secured};
use ironcache_types::KeyHash;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsStream;

#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    #[error("the other side does not hold this join code")]
    OtherCode,
    #[error("the other side showed no key")]
    NoKey,
    #[error("the join code was not proved within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TooSlow,
    #[error("the connection ended before the join code was proved")]
    Broken(#[source] io::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Secured<S> {
    /// Proves the code to the other side, which proves it as well. The key that it is known by from now on.
    ///
    /// # Errors
    /// It does not hold the code, shows no key, or leaves.
    pub async fn meet(&mut self, code: &JoinCode) -> Result<KeyHash, MeetError> {
        let peer = self.session.peer.ok_or(MeetError::NoKey)?;
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.exchange(code))
            .await
            .map_err(|_| MeetError::TooSlow)??;
        Ok(peer)
    }

    async fn exchange(&mut self, code: &JoinCode) -> Result<(), MeetError> {
        let Secured { stream, session } = self;
        match &stream {
            TlsStream::Client(_) => {
                say(stream, code.prove(Side::Caller, session)).await?;
                let answer = hear(stream).await?;
                is_proved(code.is_proved_by(&answer, Side::Called, session))
            }
            TlsStream::Server(_) => {
                let asked = hear(stream).await?;
                is_proved(code.is_proved_by(&asked, Side::Caller, session))?;
                say(stream, code.prove(Side::Called, session)).await
            }
        }
    }
}

fn is_proved(holds: bool) -> Result<(), MeetError> {
    if holds { Ok(()) } else { Err(MeetError::OtherCode) }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    to: &mut TlsStream<S>,
    proof: Proof,
) -> Result<(), MeetError> {
    to.write_all(&proof.0).await.map_err(MeetError::Broken)?;
    to.flush().await.map_err(MeetError::Broken)
}

/// Whoever is called and holds another code says nothing: then its connection ends here.
async fn hear<S: AsyncRead + AsyncWrite + Unpin>(from: &mut TlsStream<S>) -> Result<Proof, MeetError> {
    let mut proof = [0; 32];
    match from.read_exact(&mut proof).await {
        Ok(_) => Ok(Proof(proof)),
        Err(error) => Err(MeetError::Broken(error)),
    }
}
