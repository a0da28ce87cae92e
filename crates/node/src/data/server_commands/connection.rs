//! PING, HELLO, AUTH, SELECT and RESET.

use super::super::client::Client;
use super::super::dispatch::{self, Turn};
use super::super::plane::Plane;
use super::client::set_name;
use super::{answer, is_shown_as_master, ok};
use ironcache_resp::{Protocol, Writer, parse_integer};

pub(super) fn ping(client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Turn {
    match args {
        [_] => answer(out, client.protocol, |reply| reply.simple("PONG")),
        [_, text] => answer(out, client.protocol, |reply| reply.bulk(text)),
        _ => dispatch::refuse(client, out, "ERR wrong number of arguments for 'ping' command"),
    }
}

pub(super) fn hello(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Turn {
    let protocol = match args.get(1).map(|version| parse_integer(version)) {
        None => client.protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return dispatch::refuse(client, out, "NOPROTO unsupported protocol version"),
        Some(None) => {
            return dispatch::refuse(client, out, "ERR Protocol version is not an integer or out of range");
        }
    };
    let mut rest = args.get(2..).unwrap_or_default();
    let mut name = None;
    while let [option, after @ ..] = rest {
        match (option.to_ascii_lowercase().as_slice(), after) {
            (b"auth", [user, password, after @ ..]) => {
                if !password_fits(plane, user, password) {
                    return dispatch::refuse(client, out, WRONG_PASSWORD);
                }
                client.authenticated = true;
                rest = after;
            }
            (b"setname", [text, after @ ..]) => {
                name = Some(*text);
                rest = after;
            }
            _ => {
                let option = String::from_utf8_lossy(option).into_owned();
                return dispatch::refuse(
                    client,
                    out,
                    &format!("ERR Syntax error in HELLO option '{option}'"),
                );
            }
        }
    }
    if !client.authenticated {
        return dispatch::refuse(
            client,
            out,
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        );
    }
    if let Some(name) = name
        && let Err(turn) = set_name(client, name, out)
    {
        return turn;
    }
    client.protocol = protocol;
    client.info.borrow_mut().resp = if protocol == Protocol::Resp3 { 3 } else { 2 };
    let mut reply = Writer::new(out, protocol);
    reply.map(7);
    reply.bulk(b"server");
    // Clients look for this name before they use what Redis offers.
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(super::info::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(if protocol == Protocol::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.int(client.id.cast_signed());
    reply.bulk(b"mode");
    reply.bulk(b"cluster");
    reply.bulk(b"role");
    reply.bulk(if is_shown_as_master(plane) { b"master" } else { b"replica" });
    reply.bulk(b"modules");
    reply.array(0);
    Turn::Done
}

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

fn password_fits(plane: &Plane, user: &[u8], password: &[u8]) -> bool {
    let wanted = plane.requirepass.as_bytes();
    // Compared to the end in any case, so that the time says nothing about where they differ.
    let same = wanted.len() == password.len()
        && wanted.iter().zip(password).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0;
    user == b"default" && (wanted.is_empty() || same)
}

pub(super) fn auth(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Turn {
    let (user, password) = match args {
        [_, password] => {
            if plane.requirepass.is_empty() {
                return dispatch::refuse(
                    client,
                    out,
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                );
            }
            (&b"default"[..], *password)
        }
        [_, user, password] => (*user, *password),
        _ => return dispatch::refuse(client, out, "ERR syntax error"),
    };
    if !password_fits(plane, user, password) {
        return dispatch::refuse(client, out, WRONG_PASSWORD);
    }
    client.authenticated = true;
    ok(out, client.protocol)
}

pub(super) fn select(client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) -> Turn {
    match parse_integer(args[1]) {
        Some(0) => ok(out, client.protocol),
        Some(_) => dispatch::refuse(client, out, "ERR SELECT is not allowed in cluster mode"),
        None => dispatch::refuse(client, out, "ERR value is not an integer or out of range"),
    }
}

pub(super) fn reset(plane: &Plane, client: &mut Client, out: &mut Vec<u8>) -> Turn {
    client.protocol = Protocol::Resp2;
    client.transaction = None;
    client.watched.clear();
    client.readonly = false;
    client.authenticated = plane.requirepass.is_empty();
    {
        let mut info = client.info.borrow_mut();
        info.name.clear();
        info.resp = 2;
    }
    answer(out, client.protocol, |reply| reply.simple("RESET"))
}
