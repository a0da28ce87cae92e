//! CLIENT INFO and LIST: what is known of connections.

use super::super::client::{Client, ClientInfo};
use super::super::plane::Plane;
use super::answer;
use crate::clock::unix_ms;
use ironcache_resp::Protocol;
use ironcache_session::{Class, Counts, Listens, Profile, Which};

pub(super) fn myself(plane: &Plane, client: &Client, out: &mut Vec<u8>) {
    client.show(plane.coarse_ms);
    let line = describe(&client.info.borrow());
    answer(client, out, |reply| reply.verbatim("txt", line.as_bytes()));
}

pub(super) fn list(plane: &Plane, client: &Client, which: &Which, out: &mut Vec<u8>) {
    client.show(plane.coarse_ms);
    let infos = plane.clients.iter().map(|info| info.borrow());
    let lines: String =
        infos.filter(|info| which.takes(info.id, info.class())).map(|info| describe(&info)).collect();
    answer(client, out, |reply| reply.verbatim("txt", lines.as_bytes()));
}

fn describe(info: &ClientInfo) -> String {
    let ClientInfo {
        id,
        addr,
        local_addr,
        profile,
        connected_at_ms,
        last_command,
        is_known: _,
        last_active_ms,
        protocol,
        readonly,
        listens,
        subscribed,
        queued,
        blocked,
        kept,
        ending: _,
    } = info;
    let Profile { name, lib_name, lib_version } = &**profile;
    let resp = match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    let now_ms = unix_ms();
    let age = now_ms.saturating_sub(*connected_at_ms) / 1000;
    let idle = now_ms.saturating_sub(*last_active_ms) / 1000;
    let Counts { channels, patterns, shard } = *subscribed;
    let all_flags = [
        (*listens == Listens::Monitor, 'O'),
        (info.class() == Class::PubSub, 'P'),
        (queued.is_some(), 'x'),
        (*blocked, 'b'),
        (*readonly, 'r'),
    ];
    let mut flags: String =
        all_flags.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag)).collect();
    if flags.is_empty() {
        flags.push('N');
    }
    let multi = queued.map_or("-1".to_owned(), |queued| queued.to_string());
    format!(
        "id={id} addr={addr} laddr={local_addr} name={name} age={age} idle={idle} flags={flags} db=0 \
         sub={channels} psub={patterns} ssub={shard} multi={multi} obl=0 oll={} omem={} tot-mem={} cmd={last_command} user=default lib-name={lib_name} lib-ver={lib_version} resp={resp}\n",
        kept.output_chunks,
        kept.output_bytes,
        kept.bytes(),
    )
}
