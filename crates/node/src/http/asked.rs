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
use crate::doors::Who;
use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use ironcache_control::{Command, Credential, Origin, Proposal};
use ironcache_types::KeyHash;
use std::convert::Infallible;

/// Of an order that was sent on: where it came from.
pub(super) const ASKED_FROM: HeaderName = HeaderName::from_static("x-ironcache-asked-from");

/// Of an order that was sent on: the key of the operator whose it is. Between members alone.
pub(super) const ASKED_FOR: HeaderName = HeaderName::from_static("x-ironcache-for");

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

    /// The operator, if it is one.
    pub(super) fn operator(&self) -> Option<KeyHash> {
        match self.origin.by {
            Credential::Operator(key) => Some(key),
            Credential::Insecure | Credential::Node(_) | Credential::Policy => None,
        }
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

/// By what they are known. A member says for whom it asks: it has seen that key proved.
fn credential(parts: &Parts) -> Credential {
    match parts.extensions.get::<Who>() {
        Some(Who::Operator { key, .. }) => Credential::Operator(*key),
        Some(Who::Member(node)) => {
            let said = parts.headers.get(ASKED_FOR).and_then(|said| said.to_str().ok()?.parse().ok());
            said.filter(|_| hop(parts) == Hop::Forwarded)
                .map_or(Credential::Node(*node), Credential::Operator)
        }
        Some(Who::Open | Who::Nobody | Who::Unknown(_) | Who::Met(_)) | None => Credential::Insecure,
    }
}

/// Whoever asks, for a line that a person reads.
pub(super) fn known_as(parts: &Parts) -> String {
    match parts.extensions.get::<Who>() {
        Some(Who::Operator { key, name, .. }) => format!("operator {name} ({key})"),
        Some(Who::Member(node)) => match credential(parts) {
            Credential::Operator(key) => format!("node {node}, for an operator ({key})"),
            Credential::Node(_) | Credential::Insecure | Credential::Policy => format!("node {node}"),
        },
        Some(Who::Met(key)) => format!("whoever holds the join code ({key})"),
        Some(Who::Unknown(key)) => format!("an unknown key ({key})"),
        Some(Who::Open) => "anybody: the node is insecure".to_owned(),
        Some(Who::Nobody) | None => "nobody: no key was shown".to_owned(),
    }
}

fn hop(parts: &Parts) -> Hop {
    Hop::of(&parts.headers, parts.extensions.get())
}

pub(super) fn address(parts: &Parts) -> Option<String> {
    let seen = parts.extensions.get::<Remote>()?.0?.to_string();
    let is_sent_on = hop(parts) == Hop::Forwarded;
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
    fn an_operator_is_named_by_its_key_and_a_member_says_for_whom_it_asks() {
        let key = |fill| KeyHash(ironcache_types::Digest([fill; 32]));
        let by = |who: Who, headers: &[(&str, &str)]| {
            let mut parts = parts(headers);
            parts.extensions.insert(who);
            origin(&parts).by
        };
        let operator = || Who::Operator {
            key: key(1),
            name: "ada".to_owned(),
            role: ironcache_control::OperatorRole::Admin,
        };
        let member = Who::Member(ironcache_types::NodeId(2));
        let (sent_on, other) = (("x-ironcache-forwarded", "0000000000000002"), key(7).to_string());
        let for_other = [sent_on, ("x-ironcache-for", other.as_str())];
        assert_eq!(by(operator(), &[]), Credential::Operator(key(1)));
        assert_eq!(
            by(operator(), &for_other),
            Credential::Operator(key(1)),
            "an operator asks for nobody else"
        );
        assert_eq!(by(member.clone(), &for_other), Credential::Operator(key(7)));
        assert_eq!(by(member.clone(), &for_other[1..]), Credential::Node(ironcache_types::NodeId(2)));
        assert_eq!(by(member, &[]), Credential::Node(ironcache_types::NodeId(2)));
        assert_eq!(by(Who::Open, &for_other), Credential::Insecure);
    }

    #[test]
    fn a_line_about_a_refusal_names_the_key_that_was_shown() {
        let key = KeyHash(ironcache_types::Digest([1; 32]));
        let line = |who: Option<Who>, headers: &[(&str, &str)]| {
            let mut parts = parts(headers);
            if let Some(who) = who {
                parts.extensions.insert(who);
            }
            known_as(&parts)
        };
        assert_eq!(line(None, &[]), "nobody: no key was shown");
        assert_eq!(line(Some(Who::Nobody), &[]), "nobody: no key was shown");
        assert_eq!(line(Some(Who::Unknown(key)), &[]), format!("an unknown key ({key})"));
        let (member, said) = (Who::Member(ironcache_types::NodeId(2)), key.to_string());
        assert_eq!(line(Some(member.clone()), &[]), "node 0000000000000002");
        let sent_on = [("x-ironcache-forwarded", "0000000000000002"), ("x-ironcache-for", said.as_str())];
        assert_eq!(line(Some(member), &sent_on), format!("node 0000000000000002, for an operator ({key})"));
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

    #[test]
    fn fuzz_only_a_member_that_sends_an_order_on_says_for_whom_and_from_where() {
        let key = KeyHash(ironcache_types::Digest([7; 32])).to_string();
        let said =
            [format!("0000000000000002\n{key}\n10.9.9.9:7"), format!("\n{key}\n"), "x\n\n[::1]:5".to_owned()];
        ironcache_fuzz::Campaign::of("headers of an order").from(said).words(["\n", "0", ":"]).run(|bytes| {
            let mut lines = bytes.split(|byte| *byte == b'\n');
            let mut parts = parts(&[]);
            for name in ["x-ironcache-forwarded", "x-ironcache-for", "x-ironcache-asked-from"] {
                let value = lines.next().filter(|line| !line.is_empty());
                if let Some(value) = value.and_then(|line| axum::http::HeaderValue::from_bytes(line).ok()) {
                    parts.headers.insert(name, value);
                }
            }
            let from = origin(&parts).from.expect("the connection comes from somewhere");
            assert!(from.ends_with("10.0.0.7:40123") && from.len() <= ADDRESS_BYTES_MAX + 40, "{from}");
            assert_eq!(origin(&parts).by, Credential::Insecure, "whoever has no key asks for nobody");
            parts.extensions.insert(Who::Unknown(KeyHash(ironcache_types::Digest([1; 32]))));
            assert_eq!(origin(&parts).by, Credential::Insecure);
            let member = ironcache_types::NodeId(2);
            parts.extensions.insert(Who::Member(member));
            match origin(&parts).by {
                Credential::Operator(key) => {
                    // Its letters may be large.
                    let asked_for = parts.headers[ASKED_FOR].to_str().map(str::to_lowercase);
                    assert_eq!(asked_for.ok(), Some(key.to_string()));
                    Ok(from.len() > 20)
                }
                by => {
                    assert_eq!(by, Credential::Node(member));
                    Err(from.len() > 20)
                }
            }
        });
    }
}
