//! The audit chain.

use crate::parts::each;
use crate::state::v1::audit::{Audit, Link, Record};
use ironcache_control as live;
use ironcache_types::{AuditLink, AuditRecord, Digest, Epoch};
use std::sync::Arc;

impl From<&live::Audit> for Audit {
    fn from(live::Audit { anchor, head, records }: &live::Audit) -> Self {
        Audit { anchor: (*anchor).into(), head: (*head).into(), records: each(records.iter()) }
    }
}

impl From<Audit> for live::Audit {
    fn from(Audit { anchor, head, records }: Audit) -> Self {
        live::Audit { anchor: anchor.into(), head: head.into(), records: Arc::new(each(records)) }
    }
}

impl From<AuditLink> for Link {
    fn from(AuditLink { seq, hash }: AuditLink) -> Self {
        Link { seq, hash: hash.0 }
    }
}

impl From<Link> for AuditLink {
    fn from(Link { seq, hash }: Link) -> Self {
        AuditLink { seq, hash: Digest(hash) }
    }
}

impl From<&AuditRecord> for Record {
    fn from(record: &AuditRecord) -> Self {
        let AuditRecord { seq, at_ms, epoch, log_index, who, from, act, details, previous } = record;
        Record {
            seq: *seq,
            at_ms: *at_ms,
            epoch: epoch.0,
            log_index: *log_index,
            who: who.clone(),
            from: from.clone(),
            act: act.clone(),
            details: details.clone(),
            previous: previous.0,
        }
    }
}

impl From<Record> for AuditRecord {
    fn from(record: Record) -> Self {
        let Record { seq, at_ms, epoch, log_index, who, from, act, details, previous } = record;
        AuditRecord {
            seq,
            at_ms,
            epoch: Epoch(epoch),
            log_index,
            who,
            from,
            act,
            details,
            previous: Digest(previous),
        }
    }
}
