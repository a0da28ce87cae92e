//! The subcommands that exist, as rows beside those of the table: named `client|list`, with arity and flags of their own.
//!
//! *Invariant:* a row is of a command of the table, and its number follows those of the table.

use crate::lookup::lookup;
use crate::spec::{Flags, Spec};
use crate::table::{ADMIN, ANY, CHANNELS, CONTROL, NO_KEYS, SECOND_KEY, TABLE_LEN, row, two};

pub(crate) const SUBCOMMANDS_LEN: usize = ROWS.len();

/// Between the name of a command and that of its subcommand.
const BETWEEN: u8 = b'|';

/// All of a command, in the order of the table.
pub fn subcommands(of: &Spec) -> impl Iterator<Item = &'static Spec> + use<> {
    let of = of.name;
    SUBCOMMANDS.iter().filter(move |sub| own_name(sub, of).is_some())
}

/// A command, or a subcommand as `client|list`.
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    match name.iter().position(|byte| *byte == BETWEEN) {
        Some(at) => subcommand(lookup(&name[..at])?, &name[at + 1..]),
        None => lookup(name),
    }
}

/// The one of this name, in any case.
pub fn subcommand(of: &Spec, name: &[u8]) -> Option<&'static Spec> {
    SUBCOMMANDS.iter().find(|sub| own_name(sub, of.name).is_some_and(|own| own.eq_ignore_ascii_case(name)))
}

/// What follows the command's name, if it is of this command.
fn own_name(sub: &Spec, of: &str) -> Option<&'static [u8]> {
    let (command, rest) = sub.name.as_bytes().split_at_checked(of.len())?;
    (command == of.as_bytes()).then_some(rest)?.strip_prefix(&[BETWEEN])
}

pub(crate) const fn has_subcommands(name: &str) -> bool {
    let name = name.as_bytes();
    let mut i = 0;
    while i < ROWS.len() {
        let row = ROWS[i].name.as_bytes();
        let mut same = 0;
        while same < name.len() && same < row.len() && row[same] == name[same] {
            same += 1;
        }
        if same == name.len() && row.len() > same && row[same] == BETWEEN {
            return true;
        }
        i += 1;
    }
    false
}

static SUBCOMMANDS: [Spec; SUBCOMMANDS_LEN] = {
    let mut table = [ROWS[0]; SUBCOMMANDS_LEN];
    let mut i = 0;
    while i < SUBCOMMANDS_LEN {
        table[i] = Spec { number: TABLE_LEN + i, ..ROWS[i] };
        i += 1;
    }
    table
};

/// Only the connection that asks is concerned.
const OWN: Flags = CONTROL;
/// The node, or other connections.
const OTHERS: Flags = ADMIN.with(CONTROL);
const STALE: Flags = Flags::STALE;
/// What the cluster has for all of its nodes.
const CHANGES: Flags = Flags::WRITE.with(Flags::NOSCRIPT);

// A row a line.
#[rustfmt::skip]
const ROWS: &[Spec] = &[
    row("client|getname", 2, OWN, NO_KEYS, "connection", "2.6.9", "Returns the name of the connection."),
    row("client|help", 2, ANY, NO_KEYS, "connection", "5.0.0", "Lists the subcommands."),
    row("client|id", 2, OWN, NO_KEYS, "connection", "5.0.0", "Returns the number of the connection."),
    row("client|info", 2, OWN, NO_KEYS, "connection", "6.2.0", "Tells about the connection."),
    row("client|list", -2, OTHERS, NO_KEYS, "connection", "2.4.0", "Tells about all connections."),
    row("client|no-evict", 3, OTHERS, NO_KEYS, "connection", "7.0.0", "Keeps the connection from being closed for memory."),
    row("client|no-touch", 3, OWN, NO_KEYS, "connection", "7.2.0", "Keeps the connection's reads from counting as use of a key."),
    row("client|setinfo", 4, OWN, NO_KEYS, "connection", "7.2.0", "Names the client's library or its version."),
    row("client|setname", 3, OWN, NO_KEYS, "connection", "2.6.9", "Names the connection."),
    row("cluster|countkeysinslot", 3, STALE, NO_KEYS, "cluster", "3.0.0", "Counts the keys of a slot."),
    row("cluster|help", 2, ANY, NO_KEYS, "cluster", "5.0.0", "Lists the subcommands."),
    row("cluster|info", 2, STALE, NO_KEYS, "cluster", "3.0.0", "Tells about the cluster's state."),
    row("cluster|keyslot", 3, STALE, NO_KEYS, "cluster", "3.0.0", "Returns the slot of a key."),
    row("cluster|myid", 2, STALE, NO_KEYS, "cluster", "3.0.0", "Returns the id of the node."),
    row("cluster|nodes", 2, STALE, NO_KEYS, "cluster", "3.0.0", "Tells about the nodes, a line a node."),
    row("cluster|shards", 2, STALE, NO_KEYS, "cluster", "7.0.0", "Tells about the shards and their nodes."),
    row("cluster|slots", 2, STALE, NO_KEYS, "cluster", "3.0.0", "Tells which nodes serve which slots."),
    row("command|count", 2, ANY, NO_KEYS, "server", "2.8.13", "Counts the commands."),
    row("command|docs", -2, ANY, NO_KEYS, "server", "7.0.0", "Describes commands."),
    row("command|getkeys", -4, ANY, NO_KEYS, "server", "2.8.13", "Returns the keys among a command's arguments."),
    row("command|help", 2, ANY, NO_KEYS, "server", "5.0.0", "Lists the subcommands."),
    row("command|info", -2, ANY, NO_KEYS, "server", "2.8.13", "Tells about commands."),
    row("command|list", -2, ANY, NO_KEYS, "server", "7.0.0", "Returns the names of the commands."),
    row("config|get", -3, OTHERS, NO_KEYS, "server", "2.0.0", "Returns settings."),
    row("config|help", 2, ANY, NO_KEYS, "server", "5.0.0", "Lists the subcommands."),
    row("config|resetstat", 2, OTHERS, NO_KEYS, "server", "2.0.0", "Sets what is counted back to 0."),
    row("config|set", -4, OTHERS, NO_KEYS, "server", "2.0.0", "Changes settings."),
    // Since level 2.
    two(row("acl|cat", -2, OWN, NO_KEYS, "server", "6.0.0", "Lists the categories of commands, or the commands of one.")),
    two(row("acl|deluser", -3, OTHERS, NO_KEYS, "server", "6.0.0", "Deletes users, and closes their connections.")),
    two(row("acl|dryrun", -4, OTHERS, NO_KEYS, "server", "7.0.0", "Tells whether a user may run a command.")),
    two(row("acl|genpass", -2, OWN, NO_KEYS, "server", "6.0.0", "Makes a password that nobody guesses.")),
    two(row("acl|getuser", 3, OTHERS, NO_KEYS, "server", "6.0.0", "Tells what a user may do.")),
    two(row("acl|help", 2, ANY, NO_KEYS, "server", "6.0.0", "Lists the subcommands.")),
    two(row("acl|list", 2, OTHERS, NO_KEYS, "server", "6.0.0", "Tells the rules of all users.")),
    two(row("acl|load", 2, OTHERS, NO_KEYS, "server", "6.0.0", "Takes the users of the ACL file for those of the cluster.")),
    two(row("acl|log", -2, OTHERS, NO_KEYS, "server", "6.0.0", "Tells what was refused to users.")),
    two(row("acl|save", 2, OTHERS, NO_KEYS, "server", "6.0.0", "Writes the users of the cluster to the ACL file.")),
    two(row("acl|setuser", -3, OTHERS, NO_KEYS, "server", "6.0.0", "Changes what a user may do.")),
    two(row("acl|users", 2, OTHERS, NO_KEYS, "server", "6.0.0", "Lists the names of all users.")),
    two(row("acl|whoami", 2, OWN, NO_KEYS, "server", "6.0.0", "Returns the name of the connection's user.")),
    two(row("client|caching", 3, OWN, NO_KEYS, "connection", "6.0.0", "Says whether what the next command reads is tracked.")),
    two(row("client|getredir", 2, OWN, NO_KEYS, "connection", "6.0.0", "Returns to which connection invalidations are redirected.")),
    two(row("client|kill", -3, OTHERS, NO_KEYS, "connection", "2.4.0", "Ends connections.")),
    two(row("client|pause", -3, OTHERS, NO_KEYS, "connection", "2.9.50", "Holds commands back for a while.")),
    two(row("client|reply", 3, OWN, NO_KEYS, "connection", "3.2.0", "Says whether requests are replied to.")),
    two(row("client|tracking", -3, OWN, NO_KEYS, "connection", "6.0.0", "Has the connection told of keys that it has read and that change.")),
    two(row("client|trackinginfo", 2, OWN, NO_KEYS, "connection", "6.2.0", "Tells whether keys are tracked for the connection.")),
    two(row("client|unblock", -3, OTHERS, NO_KEYS, "connection", "5.0.0", "Ends the waiting of another connection.")),
    two(row("client|unpause", 2, OTHERS, NO_KEYS, "connection", "6.2.0", "Has commands go on that were held back.")),
    two(row("cluster|getkeysinslot", 4, STALE, NO_KEYS, "cluster", "3.0.0", "Returns keys of a slot.")),
    two(row("cluster|replicas", 3, ADMIN.with(STALE), NO_KEYS, "cluster", "5.0.0", "Tells about the replicas of a primary.")),
    two(row("cluster|slaves", 3, ADMIN.with(STALE), NO_KEYS, "cluster", "3.0.0", "Tells about the replicas of a primary.")),
    two(row("command|getkeysandflags", -4, ANY, NO_KEYS, "server", "7.0.0", "Returns the keys among a command's arguments, and what is done with each.")),
    two(row("config|rewrite", 2, OTHERS, NO_KEYS, "server", "2.8.0", "Writes the configuration file anew.")),
    two(row("latency|doctor", 2, OTHERS, NO_KEYS, "server", "2.8.13", "Reads what was slow, and advises.")),
    two(row("latency|graph", 3, OTHERS, NO_KEYS, "server", "2.8.13", "Draws how long an event took.")),
    two(row("latency|help", 2, ANY, NO_KEYS, "server", "2.8.13", "Lists the subcommands.")),
    two(row("latency|histogram", -2, OTHERS, NO_KEYS, "server", "7.0.0", "Returns how long commands took, in buckets.")),
    two(row("latency|history", 3, OTHERS, NO_KEYS, "server", "2.8.13", "Returns when an event was slow, and how slow.")),
    two(row("latency|latest", 2, OTHERS, NO_KEYS, "server", "2.8.13", "Returns the latest slow moment of each event.")),
    two(row("latency|reset", -2, OTHERS, NO_KEYS, "server", "2.8.13", "Forgets what was slow.")),
    two(row("memory|doctor", 2, Flags::NONE, NO_KEYS, "server", "4.0.0", "Tells what is unusual about the memory in use.")),
    two(row("memory|help", 2, ANY, NO_KEYS, "server", "4.0.0", "Lists the subcommands.")),
    two(row("memory|malloc-stats", 2, Flags::NONE, NO_KEYS, "server", "4.0.0", "Returns what the allocator tells of itself.")),
    two(row("memory|purge", 2, Flags::NONE, NO_KEYS, "server", "4.0.0", "Has the allocator give back what was freed.")),
    two(row("memory|stats", 2, Flags::NONE, NO_KEYS, "server", "4.0.0", "Tells what memory is used for.")),
    two(row("memory|usage", -3, Flags::READONLY, SECOND_KEY, "server", "4.0.0", "Returns the bytes that a key takes.")),
    two(row("object|encoding", 3, Flags::READONLY, SECOND_KEY, "generic", "2.2.3", "Returns how Redis would hold the value of a key.")),
    two(row("object|freq", 3, Flags::READONLY, SECOND_KEY, "generic", "4.0.0", "Returns how often a key is used.")),
    two(row("object|help", 2, ANY, NO_KEYS, "generic", "6.2.0", "Lists the subcommands.")),
    two(row("object|idletime", 3, Flags::READONLY, SECOND_KEY, "generic", "2.2.3", "Returns for how long a key was not used.")),
    two(row("object|refcount", 3, Flags::READONLY, SECOND_KEY, "generic", "2.2.3", "Returns how many keys share a value.")),
    two(row("pubsub|channels", -2, CHANNELS, NO_KEYS, "pubsub", "2.8.0", "Returns the channels that clients listen to.")),
    two(row("pubsub|help", 2, ANY, NO_KEYS, "pubsub", "6.2.0", "Lists the subcommands.")),
    two(row("pubsub|numpat", 2, CHANNELS, NO_KEYS, "pubsub", "2.8.0", "Counts the patterns that clients listen to.")),
    two(row("pubsub|numsub", -2, CHANNELS, NO_KEYS, "pubsub", "2.8.0", "Counts who listens to channels.")),
    two(row("pubsub|shardchannels", -2, CHANNELS, NO_KEYS, "pubsub", "7.0.0", "Returns the channels of the shard that clients listen to.")),
    two(row("pubsub|shardnumsub", -2, CHANNELS, NO_KEYS, "pubsub", "7.0.0", "Counts who listens to channels of the shard.")),
    two(row("function|delete", 3, CHANGES, NO_KEYS, "scripting", "7.0.0", "Deletes a library.")),
    two(row("function|dump", 2, Flags::NOSCRIPT, NO_KEYS, "scripting", "7.0.0", "Returns all libraries as bytes that FUNCTION RESTORE reads.")),
    two(row("function|flush", -2, CHANGES, NO_KEYS, "scripting", "7.0.0", "Deletes all libraries.")),
    two(row("function|help", 2, ANY, NO_KEYS, "scripting", "7.0.0", "Lists the subcommands.")),
    two(row("function|kill", 2, Flags::NOSCRIPT, NO_KEYS, "scripting", "7.0.0", "Ends the function that is executed.")),
    two(row("function|list", -2, Flags::NOSCRIPT, NO_KEYS, "scripting", "7.0.0", "Tells of the libraries.")),
    two(row("function|load", -3, CHANGES.with(Flags::DENYOOM), NO_KEYS, "scripting", "7.0.0", "Creates a library.")),
    two(row("function|restore", -3, CHANGES.with(Flags::DENYOOM), NO_KEYS, "scripting", "7.0.0", "Creates libraries from what FUNCTION DUMP returned.")),
    two(row("function|stats", 2, Flags::NOSCRIPT, NO_KEYS, "scripting", "7.0.0", "Tells what function is executed, and how many there are.")),
    two(row("script|exists", -3, Flags::NOSCRIPT, NO_KEYS, "scripting", "2.6.0", "Tells which scripts the node knows.")),
    two(row("script|flush", -2, Flags::NOSCRIPT, NO_KEYS, "scripting", "2.6.0", "Forgets all scripts.")),
    two(row("script|help", 2, ANY, NO_KEYS, "scripting", "5.0.0", "Lists the subcommands.")),
    two(row("script|kill", 2, Flags::NOSCRIPT, NO_KEYS, "scripting", "2.6.0", "Ends the script that is executed.")),
    two(row("script|load", 3, Flags::NOSCRIPT.with(STALE), NO_KEYS, "scripting", "2.6.0", "Keeps a script.")),
    two(row("slowlog|get", -2, ADMIN.with(ANY), NO_KEYS, "server", "2.2.12", "Returns the commands that were slow.")),
    two(row("slowlog|help", 2, ANY, NO_KEYS, "server", "6.2.0", "Lists the subcommands.")),
    two(row("slowlog|len", 2, ADMIN.with(ANY), NO_KEYS, "server", "2.2.12", "Counts the commands that were slow.")),
    two(row("slowlog|reset", 2, ADMIN.with(ANY), NO_KEYS, "server", "2.2.12", "Forgets the commands that were slow.")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TABLE;

    #[test]
    fn every_number_is_one_commands() {
        let numbers = TABLE.iter().chain(&SUBCOMMANDS).map(|spec| spec.number);
        assert!(numbers.eq(0..Spec::COUNT));
    }

    #[test]
    fn a_subcommand_is_of_a_container_and_found_in_any_case() {
        for sub in &SUBCOMMANDS {
            let (command, own) = sub.name.split_once('|').expect("a command and its subcommand");
            let spec = TABLE.iter().find(|spec| spec.name == command).expect("it is in the table");
            assert!(spec.is_container && subcommands(spec).any(|each| each.name == sub.name), "{}", sub.name);
            let args: [&[u8]; 2] = [command.as_bytes(), &own.to_ascii_uppercase().into_bytes()];
            assert_eq!(spec.named(&args).name, sub.name);
        }
        let get = TABLE.iter().find(|spec| spec.name == "get").expect("there is one");
        assert!(!get.is_container && get.named(&[b"get", b"id"]).name == "get");
        let client = TABLE.iter().find(|spec| spec.name == "client").expect("there is one");
        for args in [&[&b"client"[..]][..], &[b"client", b"nothing"], &[b"client", b""]] {
            assert_eq!(client.named(args).name, "client");
        }
    }
}
