//! Who somebody is: an Ed25519 key, pinned by its hash. Nodes and operators have one each.
//!
//! ```text
//!   PrivateKey ──certificate──► Tls ──connect, accept──► Secured { stream, session }
//!        │                                                  │ session.peer: whose key the other side proved
//!        └─ node.key, credentials (0600)                    └ JoinCode::prove: the first contact, before any key is pinned
//! ```
//! TLS 1.3 proves the keys of both sides, and nothing else: names, addresses, dates and issuers are not looked at, so that
//! nothing expires in the middle of a rollout. Who a key belongs to, and what that one may do, is the log's to say.
//!
//! *Invariant:* only TLS 1.3, only Ed25519; no resumption and no early data: every connection proves both keys anew, and
//! nothing of it can be sent twice.
//! *Invariant:* a private key and a join code are shown by no `Debug`, and are in no error.
//! *Invariant:* what is decided here is whether a proof holds. Nothing here knows a cluster's state.

mod certificate;
mod credentials;
mod join_code;
mod key;
mod meet;
mod secret_file;
mod tls;
mod verify;

pub use credentials::{CREDENTIALS_VARIABLE, Credentials, CredentialsError, default_path};
pub use join_code::{CodeFileError, JoinCode, ParseJoinCodeError, Proof, Side};
pub use key::{KeyError, PrivateKey};
pub use meet::MeetError;
pub use secret_file::SecretFileError;
pub use tls::{Expect, HANDSHAKE_TIMEOUT, LinkError, Secured, Session, Tls};
