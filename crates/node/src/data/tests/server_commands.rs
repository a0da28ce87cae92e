//! The commands about connections, the server and the cluster: what they answer, beside Redis 7.

use super::*;

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
    for container in ["CLIENT", "CONFIG", "CLUSTER", "COMMAND"] {
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
