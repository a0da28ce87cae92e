//! What is counted and timed of commands: INFO, SLOWLOG and LATENCY, beside Redis 7.0.15.

use super::*;
use std::collections::BTreeSet;

fn served() -> (Plane, Client) {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let client = client(&mut plane);
    (plane, client)
}

fn play(plane: &mut Plane, client: &mut Client, commands: &[&str]) {
    for command in commands {
        run(plane, client, command);
    }
}

/// The lines of some sections, without what was measured.
fn lines(plane: &mut Plane, client: &mut Client, section: &str) -> Vec<String> {
    let text = answer(plane, client, &format!("INFO {section}"));
    text.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn counts(plane: &mut Plane, client: &mut Client, command: &str) -> String {
    let lines = lines(plane, client, "commandstats");
    let prefix = format!("cmdstat_{command}:");
    let Some(line) = lines.iter().find_map(|line| line.strip_prefix(&prefix)) else {
        return "none".to_owned();
    };
    let shown = line.split(',').filter(|field| !field.starts_with("usec"));
    shown.collect::<Vec<_>>().join(",")
}

#[test]
fn a_call_a_rejection_and_a_failure_are_told_apart() {
    let (mut plane, mut client) = served();
    play(
        &mut plane,
        &mut client,
        &["SET k v", "SET k", "INCR k", "GET k", "GET k", "nothing", "CLIENT LIST x"],
    );
    for (command, expected) in [
        ("set", "calls=1,rejected_calls=1,failed_calls=0"),
        ("incr", "calls=1,rejected_calls=0,failed_calls=1"),
        ("get", "calls=2,rejected_calls=0,failed_calls=0"),
        ("client|list", "calls=1,rejected_calls=0,failed_calls=1"),
        ("client", "none"),
        ("del", "none"),
    ] {
        assert_eq!(counts(&mut plane, &mut client, command), expected, "{command}");
    }
    play(&mut plane, &mut client, &["LPUSH k x"]);
    let errors = lines(&mut plane, &mut client, "errorstats");
    assert_eq!(errors, ["# Errorstats", "errorstat_ERR:count=4", "errorstat_WRONGTYPE:count=1"]);
    play(&mut plane, &mut client, &["CONFIG RESETSTAT"]);
    assert_eq!(counts(&mut plane, &mut client, "set"), "none");
    assert_eq!(lines(&mut plane, &mut client, "errorstats"), ["# Errorstats"]);
}

#[test]
fn what_exec_executes_counts_once_and_what_is_queued_not_yet() {
    let (mut plane, mut client) = served();
    play(&mut plane, &mut client, &["MULTI", "SET k v", "INCR k", "CONFIG GET x"]);
    let mut other = self::client(&mut plane);
    assert_eq!(counts(&mut plane, &mut other, "set"), "none");
    play(&mut plane, &mut client, &["EXEC"]);
    for (command, expected) in [
        ("multi", "calls=1,rejected_calls=0,failed_calls=0"),
        ("exec", "calls=1,rejected_calls=0,failed_calls=0"),
        ("set", "calls=1,rejected_calls=0,failed_calls=0"),
        ("incr", "calls=1,rejected_calls=0,failed_calls=1"),
        ("config|get", "calls=1,rejected_calls=0,failed_calls=0"),
    ] {
        assert_eq!(counts(&mut plane, &mut client, command), expected, "{command}");
    }
}

#[test]
fn what_is_redirected_was_not_called() {
    let (mut plane, _proposals) = plane(B, &World::pair(AckMode::Primary));
    let mut client = client(&mut plane);
    play(&mut plane, &mut client, &["GET k"]);
    assert_eq!(counts(&mut plane, &mut client, "get"), "calls=0,rejected_calls=1,failed_calls=0");
    assert_eq!(lines(&mut plane, &mut client, "errorstats"), ["# Errorstats", "errorstat_MOVED:count=1"]);
}

#[test]
fn sections_are_those_that_were_asked_for_in_the_order_of_redis() {
    let (mut plane, mut client) = served();
    let mut titles = |asked: &str| {
        let text = answer(&mut plane, &mut client, &format!("INFO{asked}"));
        text.lines().filter_map(|line| line.strip_prefix("# ")).collect::<Vec<_>>().join(" ")
    };
    let default = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace Ironcache";
    let all = "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats \
               Cluster Keyspace Ironcache";
    for (asked, expected) in [
        ("", default),
        (" default", default),
        (" all", all),
        (" EVERYTHING", all),
        (" keyspace cpu SERVER", "Server CPU Keyspace"),
        (" commandstats", "Commandstats"),
        (" nothing", ""),
    ] {
        assert_eq!(titles(asked), expected, "{asked}");
    }
    let with_more = titles(" default latencystats");
    assert_eq!(with_more, default.replace("Cluster", "Latencystats Cluster"));
}

#[test]
fn no_field_is_told_twice_and_what_exporters_read_is_there() {
    let (mut plane, mut client) = served();
    play(&mut plane, &mut client, &["SET k v", "GET k"]);
    let text = answer(&mut plane, &mut client, "INFO all");
    let fields: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let mut seen = BTreeSet::new();
    // Our own section tells the role in its own words.
    let twice: Vec<_> = fields.iter().filter(|field| !seen.insert(**field) && **field != "role").collect();
    assert!(twice.is_empty(), "{twice:?}");
    for field in [
        "redis_version",
        "redis_mode",
        "os",
        "process_id",
        "uptime_in_seconds",
        "connected_clients",
        "blocked_clients",
        "used_memory",
        "maxmemory",
        "loading",
        "rdb_last_save_time",
        "total_connections_received",
        "total_commands_processed",
        "instantaneous_ops_per_sec",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "rejected_connections",
        "expired_keys",
        "keyspace_hits",
        "keyspace_misses",
        "total_error_replies",
        "role",
        "connected_slaves",
        "master_repl_offset",
        "repl_backlog_histlen",
        "used_cpu_sys",
        "used_cpu_user",
        "cmdstat_get",
        "latency_percentiles_usec_get",
        "cluster_enabled",
        "db0",
    ] {
        assert!(seen.contains(field), "{field}");
    }
}

#[test]
fn latencies_are_of_commands_and_their_percentiles_are_chosen() {
    let (mut plane, mut client) = served();
    play(&mut plane, &mut client, &["SET k v", "CLIENT ID"]);
    let shown = lines(&mut plane, &mut client, "latencystats");
    let of_set = shown.iter().find(|line| line.starts_with("latency_percentiles_usec_set:p50=")).unwrap();
    let names: Vec<&str> =
        of_set.split_once(':').unwrap().1.split(',').map(|p| p.split_once('=').unwrap().0).collect();
    assert_eq!(names, ["p50", "p99", "p99.9"]);
    assert!(shown.iter().any(|line| line.starts_with("latency_percentiles_usec_client|id:")), "{shown:?}");
    play(&mut plane, &mut client, &["CONFIG RESETSTAT", "CONFIG SET latency-tracking no", "GET k"]);
    let shown = lines(&mut plane, &mut client, "latencystats");
    assert!(!shown.iter().any(|line| line.contains("usec_get")), "{shown:?}");
    let refused = answer(&mut plane, &mut client, "CONFIG SET latency-tracking-info-percentiles 101");
    assert!(refused.starts_with("-ERR CONFIG SET failed"), "{refused}");
}

#[test]
fn a_histogram_counts_each_call_and_is_asked_for_by_name() {
    let (mut plane, mut client) = served();
    play(&mut plane, &mut client, &["SET k v", "SET k v", "CLIENT ID", "CLIENT GETNAME"]);
    let reply = answer(&mut plane, &mut client, "LATENCY HISTOGRAM set nothing get");
    assert!(
        reply.starts_with("*2\r\n$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n*"),
        "{reply}"
    );
    assert!(reply.ends_with(":2\r\n"), "the last bound is above all of them: {reply}");
    let of_client = answer(&mut plane, &mut client, "LATENCY HISTOGRAM client");
    assert!(
        of_client.starts_with("*4\r\n$14\r\nclient|getname\r\n") && of_client.contains("client|id"),
        "{of_client}"
    );
    let one = answer(&mut plane, &mut client, "LATENCY HISTOGRAM client|id");
    assert!(one.starts_with("*2\r\n$9\r\nclient|id\r\n"), "{one}");
}

#[test]
fn the_slowlog_keeps_what_took_as_long_as_is_asked_for() {
    let (mut plane, mut client) = served();
    play(&mut plane, &mut client, &["CONFIG SET slowlog-log-slower-than 0", "SLOWLOG RESET"]);
    play(&mut plane, &mut client, &["CLIENT SETNAME me", "SET k v", "MULTI", "GET k", "EXEC", "GET"]);
    let log = answer(&mut plane, &mut client, "SLOWLOG GET -1");
    let commands: Vec<&str> = log
        .lines()
        .filter(|line| ["SLOWLOG", "CLIENT", "SET", "MULTI", "GET", "EXEC"].contains(line))
        .collect();
    // `EXEC` is what it executed, and what was refused did not take any time. SLOWLOG GET names itself.
    assert_eq!(commands, ["GET", "MULTI", "SET", "CLIENT", "SLOWLOG"], "{log}");
    assert!(log.contains("$11\r\n127.0.0.1:1\r\n$2\r\nme\r\n"), "{log}");
    assert_eq!(answer(&mut plane, &mut client, "SLOWLOG LEN"), ":6\r\n");
    play(&mut plane, &mut client, &["CONFIG SET slowlog-max-len 2"]);
    assert_eq!(answer(&mut plane, &mut client, "SLOWLOG LEN"), ":2\r\n");
    assert!(answer(&mut plane, &mut client, "SLOWLOG GET 1").starts_with("*1\r\n*6\r\n:9\r\n"));
    play(&mut plane, &mut client, &["CONFIG SET slowlog-log-slower-than -1", "SLOWLOG RESET", "SET k v"]);
    assert_eq!(answer(&mut plane, &mut client, "SLOWLOG LEN"), ":0\r\n");
    let shown = answer(&mut plane, &mut client, "CONFIG GET slowlog-*");
    assert!(shown.contains("slowlog-log-slower-than\r\n$2\r\n-1\r\n"), "{shown}");
    assert!(shown.contains("slowlog-slower-than-us\r\n$5\r\nnever\r\n"), "{shown}");
    for count in ["-2", "x"] {
        assert_eq!(
            answer(&mut plane, &mut client, &format!("SLOWLOG GET {count}")),
            "-ERR count should be greater than or equal to -1\r\n"
        );
    }
}

#[test]
fn what_takes_longer_than_the_threshold_is_a_sample() {
    use crate::data::statistics::{Event, Sample};
    let (mut plane, mut client) = served();
    let unknown = "-ERR No samples available for event 'command'\r\n";
    assert_eq!(answer(&mut plane, &mut client, "LATENCY GRAPH command"), unknown);
    assert_eq!(answer(&mut plane, &mut client, "LATENCY HISTORY command"), "*0\r\n");
    assert_eq!(answer(&mut plane, &mut client, "LATENCY LATEST"), "*0\r\n");
    assert!(answer(&mut plane, &mut client, "LATENCY DOCTOR").contains("Nothing is sampled"));
    play(&mut plane, &mut client, &["CONFIG SET latency-monitor-threshold 100000"]);
    assert!(answer(&mut plane, &mut client, "LATENCY DOCTOR").contains("Nothing has taken 100000 ms"));
    for (at_s, ms) in [(7, 3), (9, 2)] {
        plane.statistics.events.add(Event::Command, Sample { at_s, ms });
    }
    let latest = "*1\r\n*4\r\n$7\r\ncommand\r\n:9\r\n:2\r\n:3\r\n";
    assert_eq!(answer(&mut plane, &mut client, "LATENCY LATEST"), latest);
    let history = "*2\r\n*2\r\n:7\r\n:3\r\n*2\r\n:9\r\n:2\r\n";
    assert_eq!(answer(&mut plane, &mut client, "LATENCY HISTORY command"), history);
    assert!(
        answer(&mut plane, &mut client, "LATENCY GRAPH command").contains("command - high 3 ms, low 2 ms")
    );
    assert!(answer(&mut plane, &mut client, "LATENCY DOCTOR").contains("command: 2 latency spikes"));
    assert_eq!(answer(&mut plane, &mut client, "LATENCY RESET expire-cycle nothing"), ":0\r\n");
    assert_eq!(answer(&mut plane, &mut client, "LATENCY RESET"), ":1\r\n");
}

#[test]
fn below_level_2_there_is_no_slowlog() {
    let mut world = World::alone(AckMode::Primary);
    world.raise(Level::FIRST);
    let (mut plane, _proposals) = plane(A, &world);
    let mut client = client(&mut plane);
    for command in ["SLOWLOG LEN", "LATENCY LATEST"] {
        let reply = answer(&mut plane, &mut client, command);
        assert!(reply.starts_with("-NOTYET "), "{reply}");
    }
    assert_eq!(answer(&mut plane, &mut client, "CLIENT ID"), ":1\r\n");
}
