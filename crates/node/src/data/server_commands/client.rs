//! CLIENT INFO, LIST and KILL: what is known of connections, and whose end is asked for.

use super::super::client::{Buffers, Client, ClientInfo, Closing};
use super::super::plane::Plane;
use super::{answer, ok, refuse};
use crate::clock::unix_ms;
use ironcache_resp::Protocol;
use ironcache_session::{
    Class, Counts, Evictable, Itself, Kill, Listens, Profile, ShownTracking, Told, Touches, Which,
};
use std::cell::RefCell;
use std::rc::Rc;

pub(super) fn myself(plane: &Plane, client: &Client, args: &[&[u8]], out: &mut Vec<u8>) {
    show(plane, client, args);
    let line = describe(&client.info.borrow());
    answer(client, out, |reply| reply.verbatim("txt", line.as_bytes()));
}

pub(super) fn list(plane: &Plane, client: &Client, which: &Which, args: &[&[u8]], out: &mut Vec<u8>) {
    show(plane, client, args);
    let infos = plane.clients.iter().map(|info| info.borrow());
    let lines: String =
        infos.filter(|info| which.takes(info.id, info.class())).map(|info| describe(&info)).collect();
    answer(client, out, |reply| reply.verbatim("txt", lines.as_bytes()));
}

/// As it is while it asks.
fn show(plane: &Plane, client: &Client, args: &[&[u8]]) {
    client.show(plane.coarse_ms);
    client.info.borrow_mut().args_bytes = args.iter().map(|arg| arg.len()).sum();
}

pub(super) fn kill(plane: &mut Plane, client: &mut Client, kill: &Kill, out: &mut Vec<u8>) {
    let Kill { id, addr, local_addr, which, user, itself, told } = kill;
    let own = client.session.id();
    let fits = |info: &ClientInfo| {
        id.is_none_or(|id| id == info.id)
            && addr.as_ref().is_none_or(|addr| *addr == info.addr.to_string())
            && local_addr.as_ref().is_none_or(|addr| *addr == info.local_addr.to_string())
            && which.takes(info.id, info.class())
            && user.as_ref().is_none_or(|user| user == info.account.name())
            && (*itself == Itself::Included || info.id != own)
            && !info.ending.is_told()
    };
    let found: Vec<Rc<RefCell<ClientInfo>>> =
        plane.clients.iter().filter(|info| fits(&info.borrow())).map(Rc::clone).collect();
    for info in &found {
        let info = info.borrow();
        if info.id == own {
            // It is answered first.
            client.leaves = true;
        } else {
            plane.clients.end(&info, Closing::Killed { by: own });
        }
    }
    match (told, found.len()) {
        (Told::Count, count) => answer(client, out, |reply| reply.count(count)),
        (Told::Whether, 0) => refuse(client, out, &"ERR No such client"),
        (Told::Whether, _) => ok(client, out),
    }
}

pub(in super::super) fn describe(info: &ClientInfo) -> String {
    let ClientInfo {
        id,
        addr,
        local_addr,
        profile,
        account,
        ordering: _,
        connected_at_ms,
        last_command,
        is_known: _,
        last_active_ms,
        protocol,
        readonly,
        listens,
        subscribed,
        evictable,
        touches,
        tracking,
        summons: _,
        descriptor,
        args_bytes,
        queued_bytes,
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
        (tracking.is_some(), 't'),
        (tracking.as_ref().is_some_and(ShownTracking::is_broken), 'R'),
        (tracking.as_ref().is_some_and(|tracking| tracking.is_broadcast), 'B'),
        (*readonly, 'r'),
        (*evictable == Evictable::No, 'e'),
        (*touches == Touches::No, 'T'),
    ];
    let mut flags: String =
        all_flags.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag)).collect();
    if flags.is_empty() {
        flags.push('N');
    }
    let user = String::from_utf8_lossy(account.name());
    let multi = queued.map_or("-1".to_owned(), |queued| queued.to_string());
    let Buffers { query, query_free, reply, replied } = kept.buffers;
    let (output_chunks, output_bytes) = (kept.output_chunks, kept.output_bytes);
    let total = query + query_free + args_bytes + queued_bytes + reply + output_bytes;
    let events = if output_bytes > 0 { "rw" } else { "r" };
    let redirect = tracking.as_ref().map_or(-1, |tracking| tracking.redirect.cast_signed());
    // Replies wait in chunks, and a buffer that is not sent at once is one.
    format!(
        "id={id} addr={addr} laddr={local_addr} fd={descriptor} name={name} age={age} idle={idle} flags={flags} db=0 \
         sub={channels} psub={patterns} ssub={shard} multi={multi} qbuf={query} qbuf-free={query_free} argv-mem={args_bytes} \
         multi-mem={queued_bytes} rbs={reply} rbp={replied} obl=0 oll={output_chunks} omem={output_bytes} \
         tot-mem={total} events={events} cmd={last_command} user={user} redir={redirect} resp={resp} lib-name={lib_name} \
         lib-ver={lib_version}\n"
    )
}
