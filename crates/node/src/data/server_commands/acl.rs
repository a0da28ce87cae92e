//! ACL LOG and GENPASS: what was refused at this node, and a password that nobody guesses.

use super::super::client::Client;
use super::super::plane::Plane;
use super::{answer, ok, refuse};
use crate::clock::unix_ms;
use ironcache_acl::LogEntry;
use ironcache_resp::Writer;
use ironcache_session::AclLogQuery;

pub(super) fn log(plane: &mut Plane, client: &Client, query: AclLogQuery, out: &mut Vec<u8>) {
    match query {
        AclLogQuery::Reset => {
            plane.acl_log.clear();
            ok(client, out);
        }
        AclLogQuery::Show { most } => {
            let (entries, now_ms) = (plane.acl_log.iter().take(most), unix_ms());
            answer(client, out, |reply| {
                reply.array(entries.clone().count());
                entries.for_each(|entry| show(reply, entry, now_ms));
            });
        }
    }
}

fn show(reply: &mut Writer<'_>, LogEntry { attempt, count, at_ms, client }: &LogEntry, now_ms: u64) {
    let age_s = now_ms.saturating_sub(*at_ms) as f64 / 1000.0;
    reply.map(7);
    reply.bulk(b"count");
    reply.int(count.cast_signed());
    reply.bulk(b"reason");
    reply.bulk(attempt.reason().as_bytes());
    reply.bulk(b"context");
    reply.bulk(attempt.context.word().as_bytes());
    reply.bulk(b"object");
    reply.bulk(&attempt.object);
    reply.bulk(b"username");
    reply.bulk(&attempt.user);
    reply.bulk(b"age-seconds");
    reply.double(age_s);
    reply.bulk(b"client-info");
    reply.bulk(client.as_bytes());
}

/// Four bits a digit, rounded up.
pub(super) fn password(client: &mut Client, bits: usize, out: &mut Vec<u8>) {
    let digits = bits.div_ceil(4);
    let mut random = vec![0; digits.div_ceil(2)];
    if let Err(error) = getrandom::fill(&mut random) {
        return refuse(client, out, &format_args!("ERR no randomness: {error}"));
    }
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    answer(client, out, |reply| reply.bulk(&text.as_bytes()[..digits]));
}
