//! The audit chain: who had the cluster do what, each record sealed by the hash of the one before.
//!
//! ```text
//!   anchor ◄── previous ── record n+1 ◄── previous ── record n+2 ◄── … ◄── head
//!   (of the last record that was dropped, or of none)
//! ```
//! A record is words and values, kept as they were hashed: a release that knows no such act, and a program that knows
//! nothing of ironcache, verify it all the same.
//!
//! *Invariant:* [`AuditRecord::hash`] is the one place that says what is hashed. What it makes of a record never changes: a
//! record that needs to say more says it in `details`.

use crate::{Digest, Epoch};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Something that was done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// From 1, without gaps.
    pub seq: u64,
    /// By the clock of the node that proposed it, Unix ms. For people: nothing orders by it.
    pub at_ms: u64,
    /// The cluster's epoch once it was done.
    pub epoch: Epoch,
    /// Of the entry of the log that did it.
    pub log_index: u64,
    /// By its words: `credential`, and what that names.
    pub who: BTreeMap<String, String>,
    /// The address that asked, as the node saw it that was asked. `None`: nobody asked from anywhere.
    pub from: Option<String>,
    /// What was done: `plan-paused`.
    pub act: String,
    /// To what.
    pub details: BTreeMap<String, String>,
    /// The hash of the record before.
    pub previous: Digest,
}

/// A record by its number and its hash: all that an operator has to keep to have everything up to it proved later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLink {
    /// 0: before the first record.
    pub seq: u64,
    pub hash: Digest,
}

impl AuditLink {
    /// What the first record is chained to.
    pub const NONE: AuditLink = AuditLink { seq: 0, hash: Digest([0; 32]) };
}

/// Ahead of everything that is hashed: no other use of sha256 makes the same bytes.
const DOMAIN: &str = "ironcache audit 1";

impl AuditRecord {
    /// sha256 over: the domain, `seq`, `at_ms`, `epoch`, `log_index`, `who`, `from`, `act`, `details`, `previous`. A number is
    /// 8 bytes, big-endian; a text its length as a number and its bytes; a map the number of its pairs and then each key and
    /// value, in the order of the keys; what may be absent the number 0, or 1 and itself; a hash its 32 bytes.
    pub fn hash(&self) -> Digest {
        let AuditRecord { seq, at_ms, epoch, log_index, who, from, act, details, previous } = self;
        let mut to = Hashed(Sha256::new());
        to.text(DOMAIN);
        for number in [*seq, *at_ms, epoch.0, *log_index] {
            to.number(number);
        }
        to.map(who);
        to.number(from.is_some().into());
        from.iter().for_each(|from| to.text(from));
        to.text(act);
        to.map(details);
        to.0.update(previous.0);
        Digest(to.0.finalize().into())
    }

    pub fn link(&self) -> AuditLink {
        AuditLink { seq: self.seq, hash: self.hash() }
    }
}

struct Hashed(Sha256);

impl Hashed {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn map(&mut self, map: &BTreeMap<String, String>) {
        self.number(map.len() as u64);
        for (key, value) in map {
            self.text(key);
            self.text(value);
        }
    }
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditBroken {
    #[error("record {found} stands where {expected} is due: a record was taken out, put in or moved")]
    Order { expected: u64, found: u64 },
    #[error(
        "record {seq} is not chained to the one before it, which hashes to {before}: one of the two was changed, or replaced"
    )]
    Chain { seq: u64, before: Digest },
    #[error(
        "the newest record should be {expected}, and is {found}: it was changed, or records after it were taken away"
    )]
    Head { expected: AuditLink, found: AuditLink },
    #[error(
        "record {seq} was dropped: records up to {anchor} are no longer kept; keep a newer SEQ:HASH the next time"
    )]
    Dropped { seq: u64, anchor: u64 },
    #[error("there is no record {seq} yet, the newest is {head}: the chain is shorter than it was")]
    Ahead { seq: u64, head: u64 },
    #[error("record {seq} hashes to {found}, and {kept} was kept: it, or one before it, was rewritten")]
    Rewritten { seq: u64, kept: Digest, found: Digest },
}

/// Does every record follow from the one before, from `anchor` to `head`?
///
/// # Errors
/// The first place where it does not.
pub fn verify_audit<'a>(
    anchor: AuditLink,
    records: impl IntoIterator<Item = &'a AuditRecord>,
    head: AuditLink,
) -> Result<(), AuditBroken> {
    let mut last = anchor;
    for record in records {
        let expected = last.seq + 1;
        if record.seq != expected {
            return Err(AuditBroken::Order { expected, found: record.seq });
        }
        if record.previous != last.hash {
            return Err(AuditBroken::Chain { seq: record.seq, before: last.hash });
        }
        last = record.link();
    }
    if last == head { Ok(()) } else { Err(AuditBroken::Head { expected: head, found: last }) }
}

/// Is `kept`, which somebody noted earlier, still part of the chain? The chain itself was verified.
///
/// # Errors
/// It is not, or nobody can tell any more.
pub fn verify_kept<'a>(
    anchor: AuditLink,
    records: impl IntoIterator<Item = &'a AuditRecord>,
    kept: AuditLink,
) -> Result<(), AuditBroken> {
    let AuditLink { seq, hash } = kept;
    if seq < anchor.seq {
        return Err(AuditBroken::Dropped { seq, anchor: anchor.seq });
    }
    let mut newest = anchor;
    for record in records {
        if newest.seq >= seq {
            break;
        }
        newest = record.link();
    }
    let AuditLink { seq: at, hash: found } = newest;
    if at != seq {
        return Err(AuditBroken::Ahead { seq, head: at });
    }
    match hash == found {
        true => Ok(()),
        false => Err(AuditBroken::Rewritten { seq, kept: hash, found }),
    }
}

impl fmt::Display for AuditLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no record's number and hash; SEQ:HASH is expected, as `ironcache cluster audit --verify` prints it"
)]
pub struct ParseAuditLinkError {
    text: String,
}

impl FromStr for AuditLink {
    type Err = ParseAuditLinkError;

    fn from_str(text: &str) -> Result<Self, ParseAuditLinkError> {
        let link = text
            .split_once(':')
            .and_then(|(seq, hash)| Some(AuditLink { seq: seq.parse().ok()?, hash: hash.parse().ok()? }));
        link.ok_or_else(|| ParseAuditLinkError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// Records 41 to 44, and what they are chained to.
    fn chain() -> (AuditLink, Vec<AuditRecord>, AuditLink) {
        let anchor = AuditLink { seq: 40, hash: Digest([9; 32]) };
        let (mut records, mut last) = (Vec::new(), anchor);
        for seq in 41..45 {
            let record = AuditRecord {
                seq,
                at_ms: 1_000 * seq,
                epoch: Epoch(seq + 7),
                log_index: 3 * seq,
                who: words(&[("credential", "operator"), ("name", "anna")]),
                from: (seq % 2 == 0).then(|| "10.0.0.7:40123".to_owned()),
                act: "plan-paused".to_owned(),
                details: words(&[("plan", "3")]),
                previous: last.hash,
            };
            last = record.link();
            records.push(record);
        }
        (anchor, records, last)
    }

    #[test]
    fn a_whole_chain_is_verified_and_so_is_what_was_kept_of_it() {
        let (anchor, records, head) = chain();
        assert_eq!(verify_audit(anchor, &records, head), Ok(()));
        for kept in records.iter().map(AuditRecord::link).chain([anchor]) {
            assert_eq!(verify_kept(anchor, &records, kept), Ok(()));
            assert_eq!(kept.to_string().parse(), Ok(kept));
        }
        assert_eq!(verify_audit(AuditLink::NONE, [], AuditLink::NONE), Ok(()));
    }

    /// The hash of one record, for good: whoever verifies by other means makes the same bytes.
    #[test]
    fn what_is_hashed_is_what_it_was() {
        let (_, records, _) = chain();
        let bytes = |record: &AuditRecord| {
            let mut bytes = Vec::new();
            let text = |bytes: &mut Vec<u8>, text: &str| {
                bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
                bytes.extend_from_slice(text.as_bytes());
            };
            text(&mut bytes, "ironcache audit 1");
            for number in [record.seq, record.at_ms, record.epoch.0, record.log_index, 2] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            for word in ["credential", "operator", "name", "anna"] {
                text(&mut bytes, word);
            }
            bytes.extend_from_slice(&1_u64.to_be_bytes());
            text(&mut bytes, "10.0.0.7:40123");
            text(&mut bytes, "plan-paused");
            bytes.extend_from_slice(&1_u64.to_be_bytes());
            text(&mut bytes, "plan");
            text(&mut bytes, "3");
            bytes.extend_from_slice(&record.previous.0);
            bytes
        };
        let by_hand = Digest(Sha256::digest(bytes(&records[1])).into());
        assert_eq!(records[1].hash(), by_hand);
    }

    /// This file never changes: operators have kept such lines.
    #[test]
    fn the_links_of_a_chain_stay_as_they_are() {
        let (_, records, _) = chain();
        let links: String = records.iter().map(|record| format!("{}\n", record.link())).collect();
        assert_eq!(links, include_str!("../tests/golden/audit-1"));
    }

    #[test]
    fn any_change_of_any_field_of_any_record_is_noticed() {
        let changes: [fn(&mut AuditRecord); 9] = [
            |record| record.seq ^= 1,
            |record| record.at_ms ^= 1,
            |record| record.epoch.0 ^= 1,
            |record| record.log_index ^= 1,
            |record| record.who = words(&[("credential", "operator"), ("name", "anne")]),
            |record| record.from = Some("10.0.0.8:40123".to_owned()),
            |record| record.act = "plan-resumed".to_owned(),
            |record| record.details = words(&[("plan", "2")]),
            |record| record.previous.0[31] ^= 1,
        ];
        for at in 0..4 {
            for (which, change) in changes.iter().enumerate() {
                let (anchor, mut records, head) = chain();
                change(&mut records[at]);
                assert!(verify_audit(anchor, &records, head).is_err(), "field {which} of record {at}");
            }
        }
    }

    #[test]
    fn a_record_that_is_gone_doubled_or_moved_is_noticed() {
        for at in 0..4 {
            let (anchor, mut records, head) = chain();
            records.remove(at);
            assert!(verify_audit(anchor, &records, head).is_err(), "without record {at}");
            let (_, mut records, _) = chain();
            records.insert(at, records[at].clone());
            assert!(verify_audit(anchor, &records, head).is_err(), "record {at} twice");
        }
        for at in 0..3 {
            let (anchor, mut records, head) = chain();
            records.swap(at, at + 1);
            let expected = 41 + at as u64;
            let found = expected + 1;
            assert_eq!(verify_audit(anchor, &records, head), Err(AuditBroken::Order { expected, found }));
        }
    }

    /// Whoever has all hashes made anew leaves no trace in the chain; only what somebody else kept shows it.
    #[test]
    fn a_chain_that_was_written_anew_is_shown_by_what_was_kept() {
        let (anchor, mut records, head) = chain();
        records[1].act = "plan-resumed".to_owned();
        for at in 2..4 {
            records[at].previous = records[at - 1].hash();
        }
        let forged = records[3].link();
        assert_eq!(verify_audit(anchor, &records, forged), Ok(()));
        let (_, honest, _) = chain();
        assert_eq!(verify_kept(anchor, &records, honest[0].link()), Ok(()), "it was not touched");
        for kept in [honest[1].link(), honest[2].link(), head] {
            let rewritten = verify_kept(anchor, &records, kept);
            assert!(matches!(rewritten, Err(AuditBroken::Rewritten { .. })), "{rewritten:?}");
        }
    }

    #[test]
    fn what_is_not_kept_any_more_and_what_never_was_are_told_apart() {
        let (anchor, records, _) = chain();
        let at = |seq| AuditLink { seq, hash: Digest([1; 32]) };
        assert_eq!(verify_kept(anchor, &records, at(39)), Err(AuditBroken::Dropped { seq: 39, anchor: 40 }));
        assert_eq!(verify_kept(anchor, &records, at(45)), Err(AuditBroken::Ahead { seq: 45, head: 44 }));
    }

    #[test]
    fn a_link_is_a_number_and_a_hash() {
        for bad in ["", "7", "7:", ":00", "x:00", "7:00"] {
            assert!(bad.parse::<AuditLink>().is_err(), "{bad}");
        }
    }
}
