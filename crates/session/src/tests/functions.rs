//! Functions: where they run, when they wait, and what is ordered about their libraries.

use super::*;

#[test]
fn a_function_is_checked_before_it_begins_and_first_that_there_is_one() {
    check(
        &mut session(),
        &primary(),
        &[
            ("FCALL f 1 k arg", "script fcall of 1 on 7629"),
            ("FCALL_RO f 0", "script fcall_ro of 0"),
            ("FCALL f 2 a b", "-CROSSSLOT Keys in request don't hash to the same slot"),
            ("FCALL f -1", "-ERR Number of keys can't be negative"),
            ("FCALL f 1", "-ERR Number of keys can't be greater than number of args"),
            ("FCALL F x", "-ERR Bad number of keys provided"),
            ("FCALL nosuch x", "script fcall of 0"),
            ("FCALL f", "-ERR wrong number of arguments for 'fcall' command"),
        ],
    );
    check(
        &mut session(),
        &replica(),
        &[
            ("FCALL f 1 k", "-MOVED 7629 10.0.0.1:7000"),
            ("READONLY", "+OK"),
            ("FCALL_RO f 1 k", "script fcall_ro of 1 on 7629"),
        ],
    );
}

#[test]
fn whoever_needs_the_libraries_waits_until_they_are_loaded() {
    let loading = Node { loading_libraries: true, ..primary() };
    check(
        &mut session(),
        &loading,
        &[
            ("FCALL f 1 k", "Park"),
            ("FCALL_RO nosuch 0", "Park"),
            ("FUNCTION LIST", "Park"),
            ("FUNCTION STATS", "answer Functions(Stats)"),
            ("EVAL code 1 k", "script eval of 1 on 7629"),
            ("MULTI", "+OK"),
            ("FCALL f 1 k", "+QUEUED"),
            ("EXEC", "Park"),
        ],
    );
    let backed_up = Node { backed_up: true, ..primary() };
    check(
        &mut session(),
        &backed_up,
        &[("FCALL f 1 k", "Hold"), ("FCALL_RO f 1 k", "script fcall_ro of 1 on 7629")],
    );
}

#[test]
fn beside_a_slow_function_it_is_ended_and_told_of() {
    let busy = Node { busy: Some(Busy::Function), ..primary() };
    let told = "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    check(
        &mut session(),
        &busy,
        &[
            ("GET k", told),
            ("FCALL f 0", told),
            ("FUNCTION LIST", told),
            ("FUNCTION LOAD x", told),
            ("FUNCTION STATS", "answer Functions(Stats)"),
            ("FUNCTION kill", "answer Functions(Kill)"),
            ("SCRIPT KILL", "answer Scripts"),
        ],
    );
}

#[test]
fn what_is_said_of_libraries_is_an_order_or_refused_in_the_words_of_redis() {
    check(
        &mut session(),
        &primary(),
        &[
            ("FUNCTION LOAD x", "order Libraries(Load { code: [120], known: Stay })"),
            ("FUNCTION load REPLACE replace x", "order Libraries(Load { code: [120], known: Replaced })"),
            ("FUNCTION LOAD FOO x", "-ERR Unknown option given: FOO"),
            ("FUNCTION LOAD", "-ERR wrong number of arguments for 'function|load' command"),
            ("FUNCTION DELETE x", "order Libraries(Delete { name: [120] })"),
            ("FUNCTION DELETE", "-ERR wrong number of arguments for 'function|delete' command"),
            ("FUNCTION FLUSH", "order Libraries(Flush)"),
            ("FUNCTION FLUSH async", "order Libraries(Flush)"),
            ("FUNCTION FLUSH x", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
            (
                "FUNCTION FLUSH SYNC x",
                "-ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.",
            ),
            ("FUNCTION RESTORE x", "-ERR DUMP payload version or checksum are wrong"),
            (
                "FUNCTION RESTORE x y",
                "-ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ),
            (
                "FUNCTION RESTORE x FLUSH y",
                "-ERR unknown subcommand or wrong number of arguments for 'RESTORE'. Try FUNCTION HELP.",
            ),
            ("FUNCTION LIST", "answer Functions(List { pattern: None, code: LeftOut })"),
            (
                "FUNCTION LIST WITHCODE libraryname a",
                "answer Functions(List { pattern: Some([97]), code: Shown })",
            ),
            ("FUNCTION LIST LIBRARYNAME", "-ERR library name argument was not given"),
            ("FUNCTION LIST WITHCODE WITHCODE", "-ERR Unknown argument WITHCODE"),
            ("FUNCTION LIST FOO", "-ERR Unknown argument FOO"),
            ("FUNCTION DUMP", "answer Functions(Dump)"),
            ("FUNCTION DUMP x", "-ERR wrong number of arguments for 'function|dump' command"),
            ("FUNCTION KILL x", "-ERR wrong number of arguments for 'function|kill' command"),
            ("FUNCTION FOO", "-ERR unknown subcommand 'FOO'. Try FUNCTION HELP."),
        ],
    );
}

#[test]
fn libraries_are_not_changed_within_a_transaction() {
    let told = "-ERR users and libraries are not changed, loaded or saved within a transaction";
    check(
        &mut session(),
        &primary(),
        &[
            ("MULTI", "+OK"),
            ("FUNCTION LIST", "+QUEUED"),
            ("FUNCTION LOAD x", told),
            ("FUNCTION flush", told),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
}
