//! What a client is told of keys that it keeps, as it is sent. Source: the Redis documentation of client-side caching, and the bytes
//! of redis-server 7.0.15.

use ironcache_resp::{Protocol, Writer};
use std::cell::Cell;
use std::rc::Rc;

/// Something that a client keeps is no longer so.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Who keeps it.
    pub client: u64,
    /// Who is told; 0 is the client itself.
    pub redirect: u64,
    /// Is set if that one is gone.
    pub broken: Rc<Cell<bool>>,
    pub keys: Keys,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    These(Vec<Rc<[u8]>>),
    /// Everything that it keeps.
    All,
}

/// How a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RESP3.
    Push,
    /// RESP2: as a message of a channel, in the place of another client.
    Channel,
}

/// Is the reader in another client's place?
pub fn form(protocol: Protocol, is_redirected: bool, is_subscribed: bool) -> Option<Form> {
    match protocol {
        Protocol::Resp3 => Some(Form::Push),
        // As in Redis: another reply would be taken for that of a request.
        Protocol::Resp2 => (is_redirected && is_subscribed).then_some(Form::Channel),
    }
}

impl Notice {
    pub fn bytes(&self, form: Form) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = match form {
            Form::Push => {
                let mut writer = Writer::new(&mut bytes, Protocol::Resp3);
                writer.push(2);
                writer.bulk(b"invalidate");
                writer
            }
            Form::Channel => {
                let mut writer = Writer::new(&mut bytes, Protocol::Resp2);
                writer.push(3);
                writer.bulk(b"message");
                writer.bulk(b"__redis__:invalidate");
                writer
            }
        };
        match &self.keys {
            Keys::All => writer.null(),
            Keys::These(keys) => {
                writer.array(keys.len());
                keys.iter().for_each(|key| writer.bulk(key));
            }
        }
        bytes
    }
}

/// To a client in RESP3, whose notices go to one that is gone.
pub fn broken_redirect(to: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, Protocol::Resp3);
    writer.push(2);
    writer.bulk(b"tracking-redir-broken");
    writer.int(to.cast_signed());
    bytes
}
