//! Who asks: what the log is told of an order, for its audit chain.
//!
//! ```text
//!   request ─► credential, address, time ─► Origin ─► rides in the entry ─► record of the audit chain
//!   sent on to the leader ─► the address that the first node saw, "by way of" the one that the leader sees
//! ```
//! *Invariant:* the address of the connection is in the origin, whatever the request says of another one.

use super::forward::Origin as Hop;
use crate::clock::unix_ms;
use crate::doorkeeper::Remote;
use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use ironcache_control::{Command, Credential, Origin, Proposal};
use std::convert::Infallible;

/// Of an order that was sent on: where it came from.
pub(super) const ASKED_FROM: HeaderName = HeaderName::from_static("x-ironcache-asked-from");

/// An IPv6 address with its scope and port is shorter; what is longer is none.
const ADDRESS_BYTES_MAX: usize = 80;

/// Whoever sent the request.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    origin: Origin,
}

impl Asker {
    /// What they ask for, with who they are.
    pub(super) fn asks(self, command: Command) -> Proposal {
        self.origin.asks(command)
    }

    /// For the node that the order is sent on to.
    pub(super) fn address(&self) -> Option<&str> {
        self.origin.from.as_deref()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Asker { origin: origin(parts) })
    }
}

/// Who asks, from where, and when.
pub(super) fn origin(parts: &Parts) -> Origin {
    Origin { by: credential(parts), from: address(parts), at_ms: unix_ms() }
}

/// By what they are known: nobody has a key yet.
fn credential(_parts: &Parts) -> Credential {
    Credential::Insecure
}

fn address(parts: &Parts) -> Option<String> {
    let seen = parts.extensions.get::<Remote>()?.0?.to_string();
    let is_sent_on = Hop::of(&parts.headers) == Hop::Forwarded;
    let said = parts.headers.get(ASKED_FROM).and_then(|said| said.to_str().ok());
    // Whoever reaches the port can say so: it takes nothing away from what was seen.
    match said.filter(|said| is_sent_on && !said.is_empty() && said.len() <= ADDRESS_BYTES_MAX) {
        Some(said) => Some(format!("{said} by way of {seen}")),
        None => Some(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::new(());
        request.extensions_mut().insert(Remote(Some("10.0.0.7:40123".parse().unwrap())));
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        request.into_parts().0
    }

    #[test]
    fn who_asks_is_where_the_connection_comes_from() {
        let Origin { by, from, at_ms } = origin(&parts(&[]));
        assert_eq!((by, from.as_deref()), (Credential::Insecure, Some("10.0.0.7:40123")));
        assert!(at_ms > 1_500_000_000_000, "in ms");
        let unseen = Request::new(()).into_parts().0;
        assert_eq!(origin(&unseen).from, None);
    }

    #[test]
    fn an_order_that_was_sent_on_names_both_ends_of_its_way() {
        let sent_on = ("x-ironcache-forwarded", "0000000000000002");
        let from = |headers: &[(&str, &str)]| origin(&parts(headers)).from.unwrap();
        let both = from(&[sent_on, ("x-ironcache-asked-from", "10.9.9.9:7")]);
        assert_eq!(both, "10.9.9.9:7 by way of 10.0.0.7:40123");
        assert_eq!(from(&[sent_on]), "10.0.0.7:40123");
        assert_eq!(from(&[("x-ironcache-asked-from", "10.9.9.9:7")]), "10.0.0.7:40123", "it was not sent on");
        let long = "9".repeat(1000);
        assert_eq!(from(&[sent_on, ("x-ironcache-asked-from", &long)]), "10.0.0.7:40123");
    }
}
