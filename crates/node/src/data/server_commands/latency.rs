//! LATENCY: when something was slow, and how long commands take.

mod doctor;
mod graph;

use super::super::client::Client;
use super::super::plane::Plane;
use super::super::statistics::{Event, Sample, Samples};
use super::{answer, help, refuse};
use ironcache_command::{Spec, lookup, subcommands, table};
use ironcache_resp::Writer;
use ironcache_session::Subcommand;

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "DOCTOR",
        arguments: "",
        about: &["Return a human readable latency analysis report."],
    },
    Subcommand {
        name: "GRAPH",
        arguments: "<event>",
        about: &["Return an ASCII latency graph for the <event> class."],
    },
    Subcommand {
        name: "HISTORY",
        arguments: "<event>",
        about: &["Return time-latency samples for the <event> class."],
    },
    Subcommand {
        name: "LATEST",
        arguments: "",
        about: &["Return the latest latency samples for all events."],
    },
    Subcommand {
        name: "RESET",
        arguments: "[<event> ...]",
        about: &[
            "Reset latency data of one or more <event> classes.",
            "(default: reset all data for all event classes)",
        ],
    },
    Subcommand {
        name: "HISTOGRAM",
        arguments: "[COMMAND ...]",
        about: &[
            "Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
            "If no commands are specified then all histograms are replied.",
        ],
    },
];

pub(super) fn run(plane: &mut Plane, client: &mut Client, args: &[&[u8]], out: &mut Vec<u8>) {
    let now_s = plane.statistics.stopwatch.wall_ms() / 1000;
    let events = &mut plane.statistics.events;
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"latest", []) => answer(client, out, |reply| {
            reply.array(events.iter().len());
            for (event, samples) in events.iter() {
                let Some(Sample { at_s, ms }) = samples.iter().next_back() else { continue };
                reply.array(4);
                reply.bulk(event.name().as_bytes());
                [at_s, ms, samples.ms_max].iter().for_each(|number| reply.int(number.cast_signed()));
            }
        }),
        (b"history", [event]) => answer(client, out, |reply| {
            let samples = Event::named(event).and_then(|event| events.of(event));
            reply.array(samples.map_or(0, |samples| samples.iter().len()));
            for Sample { at_s, ms } in samples.into_iter().flat_map(Samples::iter) {
                reply.array(2);
                reply.int(at_s.cast_signed());
                reply.int(ms.cast_signed());
            }
        }),
        (b"graph", [name]) => match Event::named(name).and_then(|event| Some((event, events.of(event)?))) {
            Some((event, samples)) => {
                let text = graph::draw(event.name(), samples, now_s);
                answer(client, out, |reply| reply.verbatim("txt", text.as_bytes()));
            }
            None => {
                let name = String::from_utf8_lossy(name);
                refuse(client, out, &format_args!("ERR No samples available for event '{name}'"));
            }
        },
        (b"doctor", []) => {
            let text = doctor::report(events, &plane.config, now_s);
            answer(client, out, |reply| reply.verbatim("txt", text.as_bytes()));
        }
        (b"reset", names) => {
            let forgotten = match names {
                [] => events.forget_all(),
                names => names
                    .iter()
                    .filter_map(|name| Event::named(name))
                    .filter(|event| events.forget(*event))
                    .count(),
            };
            answer(client, out, |reply| reply.count(forgotten));
        }
        (b"histogram", names) => {
            let named = names.iter().flat_map(|name| asked_for(name));
            let wanted: Vec<&Spec> = if names.is_empty() { every().collect() } else { named.collect() };
            answer(client, out, |reply| histograms(plane, &wanted, reply));
        }
        _ => help(client, args, SUBCOMMANDS, out),
    }
}

/// Every command and subcommand.
pub(super) fn every() -> impl Iterator<Item = &'static Spec> {
    table().iter().flat_map(|spec| std::iter::once(spec).chain(subcommands(spec)))
}

/// A name is a command's with all its subcommands, or one subcommand's.
fn asked_for(name: &[u8]) -> Vec<&'static Spec> {
    match lookup(name) {
        Some(spec) => std::iter::once(spec).chain(subcommands(spec)).collect(),
        None => every().filter(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name)).collect(),
    }
}

/// Of those that were called.
fn histograms(plane: &Plane, wanted: &[&Spec], reply: &mut Writer<'_>) {
    let tally = &plane.statistics.tally;
    let called: Vec<_> = wanted
        .iter()
        .map(|spec| (spec.name, &tally.of(spec).took))
        .filter(|(_, took)| took.total() > 0)
        .collect();
    reply.map(called.len());
    for (name, took) in called {
        reply.bulk(name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(took.total().cast_signed());
        reply.bulk(b"histogram_usec");
        let bounds = took.cumulative_us();
        reply.map(bounds.len());
        for (bound_us, count) in bounds {
            reply.int(bound_us.cast_signed());
            reply.int(count.cast_signed());
        }
    }
}
