//! `CLIENT KILL`: which connections are to end.

use crate::account::Accounts;
use crate::client::Which;
use crate::refusal::Refusal;
use ironcache_resp::parse_integer;

/// Whoever fits all that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    pub id: Option<u64>,
    /// Of the client, and of the node: `host:port`.
    pub addr: Option<String>,
    pub local_addr: Option<String>,
    pub which: Which,
    /// Of whom it acts for.
    pub user: Option<Vec<u8>>,
    /// May it be the connection that asks?
    pub itself: Itself,
    pub told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Itself {
    Spared,
    Included,
}

/// How it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// How many there were.
    Count,
    /// `OK`, or that there was none: the old form, `CLIENT KILL host:port`.
    Whether,
}

impl Kill {
    pub(crate) fn parse(args: &[&[u8]], accounts: &Accounts) -> Result<Kill, Refusal> {
        let mut kill = Kill {
            id: None,
            addr: None,
            local_addr: None,
            which: Which::All,
            user: None,
            itself: Itself::Spared,
            told: Told::Count,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let [addr] = args {
            return Ok(Kill {
                addr: Some(text(addr)),
                itself: Itself::Included,
                told: Told::Whether,
                ..kill
            });
        }
        let (pairs, []) = args.as_chunks::<2>() else { return Err(Refusal::Syntax) };
        for [option, value] in pairs {
            match option.to_ascii_lowercase().as_slice() {
                b"id" => {
                    let id = parse_integer(value).and_then(|id| u64::try_from(id).ok());
                    kill.id = Some(id.filter(|id| *id > 0).ok_or(Refusal::KillId)?);
                }
                b"addr" => kill.addr = Some(text(value)),
                b"laddr" => kill.local_addr = Some(text(value)),
                b"type" => kill.which = Which::of_type(value)?,
                b"user" if accounts.find(value).is_some() => kill.user = Some(value.to_vec()),
                b"user" => return Err(Refusal::NoSuchUser { user: text(value) }),
                b"skipme" => match value.to_ascii_lowercase().as_slice() {
                    b"yes" => kill.itself = Itself::Spared,
                    b"no" => kill.itself = Itself::Included,
                    _ => return Err(Refusal::Syntax),
                },
                _ => return Err(Refusal::Syntax),
            }
        }
        Ok(kill)
    }
}
