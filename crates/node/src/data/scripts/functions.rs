//! `FUNCTION LIST`, `DUMP`, `STATS` and `KILL`: what is told of libraries, and of the function that runs.

use super::{Slow, kill};
use crate::data::client::Client;
use crate::data::plane::Plane;
use ironcache_command::{glob_matches, write_libraries};
use ironcache_resp::Writer;
use ironcache_session::{Busy, Code, FunctionQuery};

/// Of the one engine that there is.
const ENGINE: &[u8] = b"LUA";

pub(in crate::data) fn run(plane: &mut Plane, client: &mut Client, query: &FunctionQuery, out: &mut Vec<u8>) {
    match query {
        FunctionQuery::List { pattern, code } => list(plane, client, pattern.as_deref(), *code, out),
        FunctionQuery::Dump => {
            let payload = write_libraries(plane.scripts.libraries.code.values().map(Vec::as_slice));
            Writer::new(out, client.session.protocol()).bulk(&payload);
        }
        FunctionQuery::Stats => stats(plane, client, out),
        FunctionQuery::Kill => kill(plane, client, Busy::Function, out),
    }
}

fn list(plane: &Plane, client: &Client, pattern: Option<&[u8]>, code: Code, out: &mut Vec<u8>) {
    let libraries = &plane.scripts.libraries;
    // In any case, as Redis has it.
    let pattern = pattern.map(<[u8]>::to_ascii_lowercase);
    let is_meant = |name: &[u8]| {
        pattern.as_ref().is_none_or(|pattern| glob_matches(pattern, &name.to_ascii_lowercase()))
    };
    let listed: Vec<_> = libraries.code.iter().filter(|(name, _)| is_meant(name)).collect();
    let mut reply = Writer::new(out, client.session.protocol());
    reply.array(listed.len());
    for (name, text) in listed {
        reply.map(if code == Code::Shown { 4 } else { 3 });
        reply.bulk(b"library_name");
        reply.bulk(name);
        reply.bulk(b"engine");
        reply.bulk(ENGINE);
        reply.bulk(b"functions");
        // Of one that this release cannot load it knows none.
        let functions = libraries.loaded.get(name).map_or(&[][..], |library| &library.functions);
        reply.array(functions.len());
        for declared in functions {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(declared.name.as_bytes());
            reply.bulk(b"description");
            match &declared.description {
                Some(text) => reply.bulk(text),
                None => reply.null(),
            }
            reply.bulk(b"flags");
            let flags: Vec<_> = declared.flags.names().collect();
            reply.set(flags.len());
            flags.iter().for_each(|flag| reply.simple(flag));
        }
        if code == Code::Shown {
            reply.bulk(b"library_code");
            reply.bulk(text);
        }
    }
}

fn stats(plane: &mut Plane, client: &mut Client, out: &mut Vec<u8>) {
    let slow = &plane.scripts.slow;
    if let Slow::Running(Busy::Script) | Slow::Killed(Busy::Script) = slow.state.get() {
        client.session.fail(&Busy::Script, out);
        return;
    }
    let (libraries, functions) =
        (plane.scripts.libraries.code.len(), plane.scripts.libraries.functions(|_| false));
    let mut reply = Writer::new(out, client.session.protocol());
    reply.map(2);
    reply.bulk(b"running_script");
    match &*slow.about.borrow() {
        None => reply.null(),
        Some(about) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(&about.name);
            reply.bulk(b"command");
            reply.array(about.args.len());
            about.args.iter().for_each(|arg| reply.bulk(arg));
            reply.bulk(b"duration_ms");
            reply.int(i64::try_from(about.began.elapsed().as_millis()).unwrap_or(i64::MAX));
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(ENGINE);
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.count(libraries);
    reply.bulk(b"functions_count");
    reply.count(functions);
}
