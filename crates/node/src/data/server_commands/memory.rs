//! MEMORY: what memory is used for, as Redis tells it.

use super::super::client::Client;
use super::super::memory::Usage;
use super::super::plane::Plane;
use super::{answer, help, ok, read_key};
use crate::allocator;
use ironcache_keyspace::Entry;
use ironcache_resp::{Writer, parse_integer};
use ironcache_session::{Refusal, Subcommand};

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand { name: "DOCTOR", arguments: "", about: &["Return what is unusual about the memory in use."] },
    Subcommand {
        name: "MALLOC-STATS",
        arguments: "",
        about: &["Return what the allocator tells of itself."],
    },
    Subcommand {
        name: "PURGE",
        arguments: "",
        about: &["Have the allocator give back what was freed to the system."],
    },
    Subcommand { name: "STATS", arguments: "", about: &["Return what memory is used for."] },
    Subcommand {
        name: "USAGE",
        arguments: "<key> [SAMPLES <count>]",
        about: &["Return the bytes that a key and its value take. All of it is counted, whatever <count>."],
    },
];

pub(super) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"usage", [key, options @ ..]) => match check_samples(options) {
            Ok(()) => {
                let bytes = read_key(plane, client, key).map(Entry::used_bytes);
                answer(client, out, |reply| match bytes {
                    Some(bytes) => reply.count(bytes),
                    None => reply.null(),
                });
            }
            Err(refusal) => client.session.refuse(&refusal, out),
        },
        (b"stats", []) => {
            let (usage, keys) = (plane.usage(), plane.keyspace.len());
            let tables = plane.keyspace.overhead_bytes();
            answer(client, out, |reply| stats(reply, &usage, keys, tables));
        }
        (b"doctor", []) => {
            let report = diagnosis(&plane.usage());
            answer(client, out, |reply| reply.verbatim("txt", report.as_bytes()));
        }
        (b"malloc-stats", []) => {
            let report = allocator::told().map_or_else(
                || "This process has the system's allocator, which tells nothing.".to_owned(),
                |allocator| (allocator.report)(),
            );
            answer(client, out, |reply| reply.verbatim("txt", report.as_bytes()));
        }
        (b"purge", []) => {
            if let Some(allocator) = allocator::told() {
                (allocator.purge)();
            }
            ok(client, out);
        }
        _ => help(client, args, SUBCOMMANDS, out),
    }
}

/// `SAMPLES` is taken, and changes nothing: the books say what all elements take.
fn check_samples(options: &[&[u8]]) -> Result<(), Refusal> {
    let (pairs, rest) = options.as_chunks::<2>();
    for [option, count] in pairs {
        if !option.eq_ignore_ascii_case(b"samples") {
            return Err(Refusal::Syntax);
        }
        if parse_integer(count).ok_or(Refusal::NotAnInteger)? < 0 {
            return Err(Refusal::Syntax);
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Refusal::Syntax) }
}

fn stats(reply: &mut Writer<'_>, usage: &Usage, keys: usize, tables: usize) {
    let bytes_per_key = (usage.used - usage.startup) / keys.max(1);
    let figures = usage.allocator.unwrap_or_default();
    let numbers = [
        ("peak.allocated", usage.peak),
        ("total.allocated", usage.used),
        ("startup.allocated", usage.startup),
        ("replication.backlog", usage.backlog),
        ("clients.slaves", 0),
        ("clients.normal", usage.clients),
        ("overhead.total", usage.overhead),
        ("keys.count", keys),
        ("keys.bytes-per-key", if keys == 0 { 0 } else { bytes_per_key }),
        ("dataset.bytes", usage.dataset()),
        ("allocator.active", figures.active as usize),
        ("allocator.resident", figures.resident as usize),
    ];
    let ratios = [
        ("dataset.percentage", usage.dataset_percent()),
        ("peak.percentage", usage.peak_percent()),
        ("fragmentation", usage.fragmentation()),
    ];
    reply.map(numbers.len() + ratios.len() + 2);
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.count(number);
    }
    for (name, ratio) in ratios {
        reply.bulk(name.as_bytes());
        reply.double(ratio);
    }
    reply.bulk(b"fragmentation.bytes");
    reply.int(usage.fragmentation_bytes());
    reply.bulk(b"db.0");
    reply.map(1);
    reply.bulk(b"overhead.hashtable.main");
    reply.count(tables);
}

/// Below it, what a process takes by itself is most of it.
const WORTH_A_LOOK_BYTES: usize = 5 << 20;

/// A sentence for each thing that is out of the ordinary.
fn diagnosis(usage: &Usage) -> String {
    if usage.used - usage.startup < WORTH_A_LOOK_BYTES {
        return "Next to nothing is stored: what is used says nothing yet.".to_owned();
    }
    let mut found = Vec::new();
    if usage.peak > usage.used + usage.used / 2 {
        found.push(format!(
            "The peak was {} bytes, more than 1.5 times the {} that are used now: what was freed may not have gone back to \
             the system yet. MEMORY PURGE has the allocator give it back.",
            usage.peak, usage.used
        ));
    }
    if usage.fragmentation() > 1.4 {
        found.push(format!(
            "{} bytes are resident, {:.2} times the {} that are used: values of other sizes than before leave gaps. MEMORY \
             PURGE gives back what is whole; a restart of the node (its dataset comes back from its shard) all of it.",
            usage.resident,
            usage.fragmentation(),
            usage.used
        ));
    }
    if usage.clients > usage.used / 4 {
        found.push(format!(
            "{} bytes, more than a quarter, are replies and commands kept for clients: see CLIENT LIST (omem, qbuf), and \
             maxmemory-clients and client-output-buffer-limit.",
            usage.clients
        ));
    }
    if found.is_empty() { "Nothing is out of the ordinary.".to_owned() } else { found.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Usage = Usage {
        used: 100 << 20,
        peak: 100 << 20,
        startup: 1 << 20,
        overhead: 20 << 20,
        clients: 0,
        backlog: 0,
        resident: 110 << 20,
        allocator: None,
    };

    #[test]
    fn the_doctor_names_what_is_unusual_with_its_figures() {
        assert_eq!(diagnosis(&PLAIN), "Nothing is out of the ordinary.");
        let empty = Usage { used: 1 << 20, overhead: 1 << 20, ..PLAIN };
        assert!(diagnosis(&empty).starts_with("Next to nothing"));
        for (odd, word) in [
            (Usage { peak: 200 << 20, ..PLAIN }, "peak"),
            (Usage { resident: 150 << 20, ..PLAIN }, "1.50 times"),
            (Usage { clients: 30 << 20, ..PLAIN }, "clients"),
        ] {
            let report = diagnosis(&odd);
            assert!(report.contains(word) && report.lines().count() == 1, "{report}");
        }
    }
}
