//! The commands about connections, the server and the cluster: what they answer, beside Redis 7.

use super::*;
use crate::data::client::Kept;

/// A primary of all slots, and a client of it.
fn served() -> (Plane, Client) {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let client = client(&mut plane);
    (plane, client)
}

#[test]
fn a_wrong_number_of_arguments_names_the_subcommand() {
    let (mut plane, mut client) = served();
    for (command, name) in [
        ("CLIENT SETNAME", "client|setname"),
        ("client setname a b", "client|setname"),
        ("CLIENT ID x", "client|id"),
        ("CLIENT HELP x", "client|help"),
        ("CONFIG SET", "config|set"),
        ("CONFIG SET maxclients", "config|set"),
        ("CONFIG GET", "config|get"),
        ("CONFIG RESETSTAT x", "config|resetstat"),
        ("CLUSTER KEYSLOT", "cluster|keyslot"),
        ("CLUSTER NODES x", "cluster|nodes"),
        ("COMMAND COUNT x", "command|count"),
        ("COMMAND GETKEYS get", "command|getkeys"),
    ] {
        let expected = format!("-ERR wrong number of arguments for '{name}' command\r\n");
        assert_eq!(answer(&mut plane, &mut client, command), expected, "{command}");
    }
    let unknown = "-ERR unknown subcommand 'Foo'. Try CLIENT HELP.\r\n";
    assert_eq!(answer(&mut plane, &mut client, "client Foo"), unknown);
}

#[test]
fn help_lists_subcommands_that_exist() {
    let (mut plane, mut client) = served();
    for container in ["CLIENT", "CONFIG", "CLUSTER", "COMMAND", "SLOWLOG", "LATENCY"] {
        let help = answer(&mut plane, &mut client, &format!("{container} HELP"));
        let names: Vec<&str> = help
            .lines()
            .skip(2)
            .filter_map(|line| line.strip_prefix('+'))
            .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert!(names.len() > 3 && names.contains(&"HELP"), "{help}");
        for name in names {
            let reply = answer(&mut plane, &mut client, &format!("{container} {name}"));
            assert!(!reply.contains("unknown subcommand"), "{container} {name}: {reply}");
        }
    }
}

#[test]
fn a_slot_is_a_number_below_16384() {
    let (mut plane, mut client) = served();
    for (slot, expected) in [
        ("0", ":0\r\n"),
        ("16384", "-ERR Invalid slot\r\n"),
        ("-1", "-ERR Invalid slot\r\n"),
        ("x", "-ERR value is not an integer or out of range\r\n"),
    ] {
        assert_eq!(answer(&mut plane, &mut client, &format!("CLUSTER COUNTKEYSINSLOT {slot}")), expected);
    }
}

#[test]
fn client_list_shows_who_was_asked_for() {
    let (mut plane, mut first) = served();
    let second = client(&mut plane);
    let mut listed = |filter: &str| {
        let list = answer(&mut plane, &mut first, &format!("CLIENT LIST{filter}"));
        let ids = list.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next());
        ids.map(|id| id.parse().unwrap()).collect::<Vec<u64>>()
    };
    assert_eq!(listed(""), [1, second.session.id()]);
    assert_eq!(listed(" TYPE normal"), [1, second.session.id()]);
    for kind in ["master", "replica", "slave", "pubsub"] {
        assert!(listed(&format!(" type {kind}")).is_empty(), "{kind}");
    }
    assert_eq!(listed(" ID 2"), [2]);
    assert_eq!(listed(" id 2 99 1"), [1, 2]);
    for (filter, error) in [
        (" foo", "ERR syntax error"),
        (" TYPE", "ERR syntax error"),
        (" ID", "ERR syntax error"),
        (" TYPE normal ID 1", "ERR syntax error"),
        (" TYPE foo", "ERR Unknown client type 'foo'"),
        (" ID x", "ERR Invalid client ID"),
        (" ID 1 x", "ERR Invalid client ID"),
    ] {
        let reply = answer(&mut plane, &mut first, &format!("CLIENT LIST{filter}"));
        assert_eq!(reply, format!("-{error}\r\n"));
    }
}

#[test]
fn client_list_shows_what_is_kept_for_each_client() {
    let (mut plane, mut client) = served();
    let other = self::client(&mut plane);
    plane.clients.account(&other, Kept { output_bytes: 700, output_chunks: 3, ..Kept::default() }, 0);
    let list = answer(&mut plane, &mut client, "CLIENT LIST ID 2");
    assert!(list.contains(" oll=3 omem=700 tot-mem=700 "), "{list}");
}

#[test]
fn flags_show_a_transaction_and_readonly() {
    let (mut plane, mut client) = served();
    let mut other = self::client(&mut plane);
    for (commands, expected) in [
        (&[][..], "flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 "),
        (&["READONLY"], "flags=r db=0 sub=0 psub=0 ssub=0 multi=-1 "),
        (&["MULTI", "PING"], "flags=xr db=0 sub=0 psub=0 ssub=0 multi=1 "),
        (&["EXEC", "READWRITE", "MULTI"], "flags=x db=0 sub=0 psub=0 ssub=0 multi=0 "),
    ] {
        for command in commands {
            answer(&mut plane, &mut client, command);
        }
        // As its connection does after each batch of commands.
        client.show(plane.coarse_ms);
        let list = answer(&mut plane, &mut other, "CLIENT LIST ID 1");
        assert!(list.contains(expected), "{commands:?}: {list}");
    }
    answer(&mut plane, &mut client, "DISCARD");
    answer(&mut plane, &mut client, "READONLY");
    let own = answer(&mut plane, &mut client, "CLIENT INFO");
    assert!(own.contains("flags=r "), "its own are shown at once: {own}");
}

#[test]
fn config_set_takes_what_the_file_would_take_and_all_or_none() {
    let (mut plane, mut client) = served();
    let before = Arc::clone(&plane.config);
    for (pairs, error) in [
        ("maxclients 0", "(possibly related to argument 'maxclients') - no client could connect"),
        (
            "min-in-sync 2",
            "(possibly related to argument 'min-in-sync') - `min-in-sync` is a setting of the whole cluster: \
             `ironcache cluster policy set min-in-sync V`",
        ),
        (
            "maxclients 1000001",
            "(possibly related to argument 'maxclients') - a process has descriptors for about a million",
        ),
        (
            "latency-tracking foo",
            "(possibly related to argument 'latency-tracking') - argument must be 'yes' or 'no'",
        ),
        (
            "tls-auth-clients foo",
            "(possibly related to argument 'tls-auth-clients') - argument(s) must be one of the following: yes, no, optional",
        ),
        ("maxclients x", "(possibly related to argument 'maxclients') - argument couldn't be parsed"),
        (
            "port 1",
            "(possibly related to argument 'port') - can't set immutable config: it is read from the file",
        ),
        ("heartbeat-ms 1", "(possibly related to argument 'heartbeat-ms') - can't set immutable config"),
        ("save 1", "(possibly related to argument 'save') - can't set immutable config: it is shown"),
        ("maxclients 5 park-commands-max 0", "(possibly related to argument 'park-commands-max')"),
        ("maxclients 5 park-ms-max 5", "(possibly related to argument 'park-ms-max')"),
        ("maxclients 5 MAXCLIENTS 6", "(possibly related to argument 'MAXCLIENTS') - duplicate parameter"),
    ] {
        let reply = answer(&mut plane, &mut client, &format!("CONFIG SET {pairs}"));
        assert!(reply.starts_with(&format!("-ERR CONFIG SET failed {error}")), "{pairs}: {reply}");
    }
    let unknown = "-ERR Unknown option or number of arguments for CONFIG SET - 'Foo'\r\n";
    for pairs in ["Foo 1", "maxclients 5 Foo 1", "port 1 Foo 1"] {
        assert_eq!(answer(&mut plane, &mut client, &format!("CONFIG SET {pairs}")), unknown);
    }
    assert_eq!(answer(&mut plane, &mut client, "CONFIG SET a b c"), "-ERR syntax error\r\n");
    assert!(Arc::ptr_eq(&plane.config, &before), "nothing changed");
    assert_eq!(answer(&mut plane, &mut client, "CONFIG SET MAXclients 5 park-commands-max 7"), "+OK\r\n");
    assert_eq!((plane.config.maxclients, plane.config.park_commands_max), (5, 7));
}

/// However long the disk takes.
fn rewrite(plane: &mut Plane, client: &mut Client) {
    loop {
        match answer(plane, client, "CONFIG REWRITE").as_str() {
            "+OK\r\n" => return,
            late => assert!(late.contains("has not answered"), "{late}"),
        }
    }
}

#[test]
fn config_rewrite_writes_what_was_set_into_the_file_of_the_start() {
    let (mut plane, mut client) = served();
    let none = "-ERR The server is running without a config file\r\n";
    assert_eq!(answer(&mut plane, &mut client, "CONFIG REWRITE"), none);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    std::fs::write(&file, "# mine\nport = 7000\nmaxclients = 5 # few\n").unwrap();
    plane.config = Arc::new(Config { file: Some(file.clone()), ..Config::clone(&plane.config) });
    answer(&mut plane, &mut client, "CONFIG SET maxclients 50 slowlog-log-slower-than -1");
    rewrite(&mut plane, &mut client);
    let written = "# mine\nport = 7000\nmaxclients = 50 # few\nslowlog-slower-than-us = \"never\"\n";
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    // What is as it was is written if it was written before.
    answer(&mut plane, &mut client, "CONFIG SET maxclients 10000");
    rewrite(&mut plane, &mut client);
    assert!(std::fs::read_to_string(&file).unwrap().contains("maxclients = 10000 # few\n"));
    std::fs::remove_file(&file).unwrap();
    let failed = answer(&mut plane, &mut client, "CONFIG REWRITE");
    assert!(
        failed.starts_with("-ERR Rewriting config file: ") && failed.contains("cannot be read"),
        "{failed}"
    );
}

#[test]
fn config_get_shows_every_setting_of_the_file() {
    let (mut plane, mut client) = served();
    let shown = answer(&mut plane, &mut client, "CONFIG GET *");
    for name in ["heartbeat-ms", "log", "data-dir", "dir", "repl-backlog-size", "requirepass"] {
        assert!(shown.contains(&format!("\r\n{name}\r\n")), "{name}: {shown}");
    }
    assert_eq!(
        answer(&mut plane, &mut client, "CONFIG GET MAXCL* min-in-sync"),
        "*4\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n$11\r\nmin-in-sync\r\n$1\r\n1\r\n"
    );
}

#[test]
fn a_changed_setting_is_in_force_for_what_waits_already() {
    let mut world = World::pair(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    attach(&mut plane, B);
    let mut client = client(&mut plane);
    let mut lag = |plane: &mut Plane, max_lag_ops| {
        world.set_policy(|policy| policy.max_lag_ops = max_lag_ops);
        plane.apply_view(world.view());
    };
    lag(&mut plane, 1);
    for _ in 0..2 {
        answer(&mut plane, &mut client, "SET k v");
    }
    assert_ne!(plane.may_reply(client.owed), ironcache_shard::Reply::Now, "B lacks more than one write");
    lag(&mut plane, 100);
    assert_eq!(plane.may_reply(client.owed), ironcache_shard::Reply::Now);
}

#[test]
fn wait_says_which_of_its_numbers_is_none() {
    let (mut plane, mut client) = served();
    for (numbers, error) in [
        ("a 0", "ERR value is not an integer or out of range"),
        ("0 a", "ERR timeout is not an integer or out of range"),
        ("a a", "ERR value is not an integer or out of range"),
        ("0 -1", "ERR timeout is negative"),
    ] {
        assert_eq!(answer(&mut plane, &mut client, &format!("WAIT {numbers}")), format!("-{error}\r\n"));
    }
}

#[test]
fn command_info_of_an_unknown_name_is_null() {
    let (mut plane, mut client) = served();
    let get = "*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n";
    let reply = answer(&mut plane, &mut client, "COMMAND INFO foo get");
    assert_eq!(reply, format!("*2\r\n$-1\r\n{get}"));
    answer(&mut plane, &mut client, "HELLO 3");
    let reply = answer(&mut plane, &mut client, "COMMAND INFO foo ping");
    assert_eq!(
        reply,
        "*2\r\n_\r\n*10\r\n$4\r\nping\r\n:-1\r\n~1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n~2\r\n+@fast\r\n+@connection\r\n~2\r\n$25\r\nrequest_policy:all_shards\r\n$29\r\nresponse_policy:all_succeeded\r\n~0\r\n*0\r\n"
    );
}

#[test]
fn command_list_takes_a_filter() {
    let (mut plane, mut client) = served();
    let all = answer(&mut plane, &mut client, "COMMAND LIST");
    let every =
        ironcache_command::table().iter().map(|spec| 1 + ironcache_command::subcommands(spec).count());
    assert!(all.starts_with(&format!("*{}\r\n", every.sum::<usize>())));
    for (filter, expected) in [
        ("PATTERN LINS*", "*1\r\n$7\r\nlinsert\r\n"),
        ("PATTERN config|*t", "*3\r\n$10\r\nconfig|get\r\n$16\r\nconfig|resetstat\r\n$10\r\nconfig|set\r\n"),
        ("ACLCAT connection_", "*0\r\n"),
        ("ACLCAT nosuch", "*0\r\n"),
        ("MODULE nosuch", "*0\r\n"),
        ("nosuch x", "-ERR syntax error\r\n"),
        ("PATTERN", "-ERR syntax error\r\n"),
    ] {
        let command = format!("COMMAND LIST FILTERBY {filter}");
        assert_eq!(answer(&mut plane, &mut client, &command), expected, "{command}");
    }
    assert_eq!(answer(&mut plane, &mut client, "COMMAND LIST x"), "-ERR syntax error\r\n");
}

#[test]
fn command_getkeys_checks_the_command_first() {
    let (mut plane, mut client) = served();
    for (command, expected) in [
        ("MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("foo x", "-ERR Invalid command specified\r\n"),
        ("ping x", "-ERR The command has no key arguments\r\n"),
        ("GET a b", "-ERR Invalid number of arguments specified for command\r\n"),
        ("LMPOP x a b left", "-ERR Invalid arguments specified for command\r\n"),
    ] {
        assert_eq!(answer(&mut plane, &mut client, &format!("COMMAND GETKEYS {command}")), expected);
    }
}

#[test]
fn keys_come_with_what_is_done_with_them() {
    let (mut plane, mut client) = served();
    let mut keys = |command: &str| {
        let reply = answer(&mut plane, &mut client, &format!("COMMAND GETKEYSANDFLAGS {command}"));
        let words: Vec<&str> = reply.lines().filter(|line| !line.starts_with(['*', '$'])).collect();
        words.join(" ")
    };
    for (command, expected) in [
        ("SET a 1", "a +OW +update"),
        ("SET a 1 GET", "a +RW +access +update"),
        ("COPY a b", "a +RO +access b +OW +update"),
        ("LMPOP 2 a b LEFT", "a +RW +access +delete b +RW +access +delete"),
        ("PING x", "-ERR The command has no key arguments"),
        ("LMPOP x a b LEFT", "-ERR Invalid arguments specified for command"),
    ] {
        assert_eq!(keys(command), expected, "{command}");
    }
}

#[test]
fn containers_tell_their_subcommands() {
    let (mut plane, mut client) = served();
    let info = answer(&mut plane, &mut client, "COMMAND INFO slowlog");
    assert!(
        info.starts_with(
            "*1\r\n*10\r\n$7\r\nslowlog\r\n:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*1\r\n+@slow\r\n*0\r\n*0\r\n*4\r\n"
        ),
        "{info}"
    );
    let of_get = answer(&mut plane, &mut client, "COMMAND INFO slowlog|get");
    assert!(
        of_get
            .starts_with("*1\r\n*10\r\n$11\r\nslowlog|get\r\n:-2\r\n*3\r\n+admin\r\n+loading\r\n+stale\r\n"),
        "{of_get}"
    );
    let docs = answer(&mut plane, &mut client, "COMMAND DOCS slowlog");
    assert!(docs.contains("$11\r\nsubcommands\r\n*8\r\n$11\r\nslowlog|get\r\n"), "{docs}");
    let one = answer(&mut plane, &mut client, "COMMAND DOCS slowlog|len nothing slowlog|");
    assert!(one.starts_with("*2\r\n$11\r\nslowlog|len\r\n"), "{one}");
}

#[test]
fn the_keys_of_a_slot_are_told_up_to_a_count() {
    let (mut plane, mut client) = served();
    for command in ["SET {a}1 v", "SET {a}2 v", "SET b v"] {
        answer(&mut plane, &mut client, command);
    }
    for (request, expected) in [
        ("15495 10", "*2\r\n$4\r\n{a}1\r\n$4\r\n{a}2\r\n"),
        ("15495 1", "*1\r\n$4\r\n{a}1\r\n"),
        ("15495 0", "*0\r\n"),
        ("1 10", "*0\r\n"),
        ("x 1", "-ERR value is not an integer or out of range\r\n"),
        ("1 x", "-ERR value is not an integer or out of range\r\n"),
        ("16384 1", "-ERR Invalid slot or number of keys\r\n"),
        ("1 -1", "-ERR Invalid slot or number of keys\r\n"),
    ] {
        let request = format!("CLUSTER GETKEYSINSLOT {request}");
        assert_eq!(answer(&mut plane, &mut client, &request), expected, "{request}");
    }
}

#[test]
fn replicas_are_those_of_a_primary() {
    let (mut plane, _proposals) = plane(A, &World::pair(AckMode::Primary));
    let mut client = client(&mut plane);
    let [of_a, of_b] = [A, B].map(|member| member.node.redis_id());
    let replicas = answer(&mut plane, &mut client, &format!("CLUSTER REPLICAS {of_a}"));
    assert!(
        replicas.starts_with("*1\r\n$") && replicas.contains(&format!("\r\n{of_b} c2:1@1 slave {of_a} ")),
        "{replicas}"
    );
    let not = answer(&mut plane, &mut client, &format!("CLUSTER SLAVES {of_b}"));
    assert_eq!(not, "-ERR The specified node is not a master\r\n");
    assert_eq!(answer(&mut plane, &mut client, "CLUSTER REPLICAS foo"), "-ERR Unknown node foo\r\n");
}

#[test]
fn what_redis_has_and_a_node_has_not_can_be_set_to_what_it_is() {
    let (mut plane, mut client) = served();
    for pairs in ["appendonly no", "slaveof  maxclients 7", "IO-threads 1"] {
        assert_eq!(answer(&mut plane, &mut client, &format!("CONFIG SET {pairs}")), "+OK\r\n", "{pairs}");
    }
    assert_eq!(plane.config.maxclients, 7);
    for pairs in ["appendonly yes", "save 1", "databases 16"] {
        let reply = answer(&mut plane, &mut client, &format!("CONFIG SET {pairs}"));
        assert!(reply.contains("can't set immutable config"), "{reply}");
    }
}

#[test]
fn debug_is_for_whom_the_configuration_names() {
    use crate::config::DebugCommand;
    let (mut plane, mut client) = served();
    let not_allowed = "-ERR DEBUG command not allowed.";
    assert!(answer(&mut plane, &mut client, "DEBUG SLEEP 0").starts_with(not_allowed));
    let may = |plane: &mut Plane, who| {
        plane.config = Arc::new(Config { debug_command: who, ..Config::clone(&plane.config) });
    };
    for who in [DebugCommand::Everybody, DebugCommand::Local] {
        may(&mut plane, who);
        assert_eq!(answer(&mut plane, &mut client, "DEBUG SLEEP 0.001"), "+OK\r\n");
    }
    for seconds in ["x", "-1", "nan", "1e300"] {
        let refused = answer(&mut plane, &mut client, &format!("DEBUG SLEEP {seconds}"));
        assert_eq!(refused, "-ERR value is not a valid float\r\n", "{seconds}");
    }
    let unknown = "-ERR unknown subcommand 'foo'. Try DEBUG HELP.\r\n";
    assert_eq!(answer(&mut plane, &mut client, "DEBUG foo"), unknown);
    let from_elsewhere = "10.0.0.1:1".parse().unwrap();
    client.info.borrow_mut().addr = from_elsewhere;
    assert!(answer(&mut plane, &mut client, "DEBUG SLEEP 0").starts_with(not_allowed));
    may(&mut plane, DebugCommand::Everybody);
    assert_eq!(answer(&mut plane, &mut client, "DEBUG SLEEP 0"), "+OK\r\n");
}

#[test]
fn debug_reads_back_what_replicas_get_and_every_value_is_what_it_was() {
    use crate::config::DebugCommand;
    let (mut plane, mut client) = served();
    plane.config =
        Arc::new(Config { debug_command: DebugCommand::Everybody, ..Config::clone(&plane.config) });
    for command in [
        "SET s x",
        "RPUSH l a b",
        "HSET h f v",
        "SADD set a b",
        "ZADD z 1 a 2 b",
        "XADD x 1-1 f v",
        "EXPIRE s 100",
    ] {
        assert!(!answer(&mut plane, &mut client, command).starts_with('-'), "{command}");
    }
    let digest = answer(&mut plane, &mut client, "DEBUG DIGEST");
    for command in ["DEBUG RELOAD", "DEBUG RELOAD NOSAVE", "DEBUG LOADAOF"] {
        assert_eq!(answer(&mut plane, &mut client, command), "+OK\r\n");
        assert_eq!(answer(&mut plane, &mut client, "DEBUG DIGEST"), digest, "{command}");
    }
    assert_eq!(answer(&mut plane, &mut client, "COPY l {l}2"), ":1\r\n");
    let digests = answer(&mut plane, &mut client, "DEBUG DIGEST-VALUE l {l}2 h none");
    let lines: Vec<&str> = digests.split("\r\n").collect();
    assert_eq!((lines[0], lines[4]), ("*4", format!("+{:040}", 0).as_str()), "{digests}");
    assert!(lines[1] == lines[2] && lines[2] != lines[3], "{digests}");
    assert!(answer(&mut plane, &mut client, "DEBUG OBJECT h").contains(" refcount:1 encoding:listpack "));
    assert_eq!(answer(&mut plane, &mut client, "DEBUG OBJECT none"), "-ERR no such key\r\n");
}

#[test]
fn lolwut_tells_the_version_of_redis() {
    let (mut plane, mut client) = served();
    assert_eq!(answer(&mut plane, &mut client, "LOLWUT"), "$18\r\nRedis ver. 7.0.15\n\r\n");
    let refused = answer(&mut plane, &mut client, "LOLWUT VERSION x");
    assert_eq!(refused, "-ERR value is not an integer or out of range\r\n");
}

fn info(plane: &mut Plane, client: &mut Client, section: &str, key: &str) -> Option<String> {
    let text = answer(plane, client, &format!("INFO {section}"));
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.to_owned()))
}

#[test]
fn a_witness_is_a_master_without_slots_wherever_it_is_asked() {
    let world = World::pair(AckMode::Primary);
    let witness = Member { node: NodeId(3), incarnation: Incarnation(30) };
    let (mut plane, _proposals) = plane(witness, &world);
    let mut client = client(&mut plane);
    assert_eq!(answer(&mut plane, &mut client, "ROLE"), "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    assert_eq!(info(&mut plane, &mut client, "replication", "role").as_deref(), Some("master"));
    assert_eq!(info(&mut plane, &mut client, "ironcache", "shard_role").as_deref(), Some("none"));
    assert!(answer(&mut plane, &mut client, "HELLO").contains("$4\r\nrole\r\n$6\r\nmaster\r\n"));
    let nodes = answer(&mut plane, &mut client, "CLUSTER NODES");
    let own = nodes.lines().find(|line| line.contains("myself")).unwrap();
    assert!(own.contains(" myself,master - 0 0 0 ") && own.ends_with("connected"), "without slots: {own}");
}

#[test]
fn a_replica_is_a_slave_wherever_it_is_asked() {
    let mut plane = following(&World::pair(AckMode::Primary));
    let mut client = client(&mut plane);
    assert!(answer(&mut plane, &mut client, "ROLE").starts_with("*5\r\n$5\r\nslave\r\n"));
    assert_eq!(info(&mut plane, &mut client, "replication", "role").as_deref(), Some("slave"));
    assert!(answer(&mut plane, &mut client, "HELLO").contains("$4\r\nrole\r\n$7\r\nreplica\r\n"));
    assert!(answer(&mut plane, &mut client, "CLUSTER NODES").contains(" myself,slave "));
}

#[test]
fn a_field_of_info_is_there_once() {
    let (mut plane, mut client) = served();
    // So that calls, errors and databases are told, too.
    for command in ["SET k v", "GET k", "INCR k"] {
        answer(&mut plane, &mut client, command);
    }
    let text = answer(&mut plane, &mut client, "INFO everything");
    let mut names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    assert!(names.contains(&"role") && names.contains(&"db0"), "all of it: {names:?}");
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    assert_eq!(twice, [""; 0], "who reads INFO into a table loses one of the two");
}

#[test]
fn info_counts_hits_and_misses() {
    let (mut plane, mut client) = served();
    for command in ["SET k v", "GET k", "MGET {k} k", "GET other", "EXISTS k", "CONFIG GET x"] {
        answer(&mut plane, &mut client, command);
    }
    assert_eq!(info(&mut plane, &mut client, "stats", "keyspace_hits").as_deref(), Some("3"));
    assert_eq!(info(&mut plane, &mut client, "stats", "keyspace_misses").as_deref(), Some("2"));
    answer(&mut plane, &mut client, "CONFIG RESETSTAT");
    assert_eq!(info(&mut plane, &mut client, "stats", "keyspace_hits").as_deref(), Some("0"));
}

#[test]
fn info_tells_loading_until_the_checkpoint_is_read() {
    let (to_control, _proposals) = mpsc::unbounded_channel();
    let mut plane = Plane::new(Arc::new(Config::default()), A, Version::new(1, 0, 0), LEVELS, to_control, 1);
    grant(&mut plane, super::FOR_EVER);
    let mut client = client(&mut plane);
    assert_eq!(info(&mut plane, &mut client, "persistence", "loading").as_deref(), Some("1"));
    plane.loaded(Keyspace::new(), None);
    assert_eq!(info(&mut plane, &mut client, "persistence", "loading").as_deref(), Some("0"));
}

#[test]
fn the_replication_id_is_that_of_the_primary_and_changes_with_it() {
    let mut world = World::pair(AckMode::Primary);
    let (mut primary, _proposals) = plane(A, &world);
    let mut replica = following(&world);
    let (mut of_primary, mut of_replica) = (client(&mut primary), client(&mut replica));
    let first = info(&mut primary, &mut of_primary, "replication", "master_replid").unwrap();
    assert!(first.len() == 40 && first.bytes().all(|b| b.is_ascii_hexdigit()), "{first}");
    assert_eq!(info(&mut replica, &mut of_replica, "replication", "master_replid"), Some(first.clone()));
    let handover = world.begin_handover(A, B);
    world.promote(handover, Offset(0));
    replica.apply_view(world.view());
    let next = info(&mut replica, &mut of_replica, "replication", "master_replid");
    assert!(next.is_some_and(|next| next.len() == 40 && next != first));
}

#[test]
fn hello_tells_a_version_that_it_lacks_from_what_is_no_number() {
    let (mut plane, mut client) = served();
    let unsupported = "-NOPROTO unsupported protocol version\r\n";
    let no_number = "-ERR Protocol version is not an integer or out of range\r\n";
    for (version, expected) in
        [("4", unsupported), ("-1", unsupported), ("", no_number), ("02", no_number), ("x", no_number)]
    {
        assert_eq!(answer(&mut plane, &mut client, &format!("HELLO {version}")), expected, "{version:?}");
    }
}
