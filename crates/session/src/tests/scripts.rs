//! Scripts: where they run, when they wait, and who is told BUSY beside one.

use super::*;

#[test]
fn a_script_is_checked_before_it_begins() {
    check(
        &mut session(),
        &primary(),
        &[
            ("EVAL code 0", "script eval of 0"),
            ("EVAL code 1 k arg", "script eval of 1 on 7629"),
            ("EVALSHA sha 2 {t}a {t}b", "script evalsha of 2 on 15891"),
            ("EVAL_RO code 1 k", "script eval_ro of 1 on 7629"),
            ("EVAL code 2 a b", "-CROSSSLOT Keys in request don't hash to the same slot"),
            ("EVAL code -1", "-ERR Number of keys can't be negative"),
            ("EVAL code 1", "-ERR Number of keys can't be greater than number of args"),
            ("EVAL code x", "-ERR value is not an integer or out of range"),
            ("EVAL code", "-ERR wrong number of arguments for 'eval' command"),
            ("SCRIPT LOAD x", "answer Scripts"),
        ],
    );
}

#[test]
fn a_script_waits_where_a_command_on_its_keys_would() {
    let undecided = Node { owner: Owner::Undecided, serves_reads: false, ..primary() };
    check(&mut session(), &undecided, &[("EVAL code 1 k", "Park"), ("EVAL code 0", "Park")]);
    let backed_up = Node { backed_up: true, ..primary() };
    check(
        &mut session(),
        &backed_up,
        &[
            ("EVAL code 1 k", "Hold"),
            ("EVALSHA sha 0", "Hold"),
            ("EVAL_RO code 1 k", "script eval_ro of 1 on 7629"),
        ],
    );
    check(&mut session(), &backed_up, &[("MULTI", "+OK"), ("EVAL code 1 k", "+QUEUED"), ("EXEC", "Hold")]);
}

#[test]
fn a_script_at_a_replica_goes_to_the_primary_unless_it_may_read_there() {
    let mut client = session();
    check(
        &mut client,
        &replica(),
        &[
            ("EVAL code 1 k", "-MOVED 7629 10.0.0.1:7000"),
            ("EVAL_RO code 1 k", "-MOVED 7629 10.0.0.1:7000"),
            ("EVAL code 0", "script eval of 0"),
            ("READONLY", "+OK"),
            ("EVAL code 1 k", "script eval of 1 on 7629"),
        ],
    );
}

#[test]
fn beside_a_slow_script_only_what_ends_it_or_is_of_the_connection_is_answered() {
    let busy = Node { busy: Some(Busy::Script), ..primary() };
    let told = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    let ended = told.replace("-BUSY", "-EXECABORT Transaction discarded because of: BUSY");
    check(
        &mut session(),
        &busy,
        &[
            ("GET k", told),
            ("PING", told),
            ("EVAL code 0", told),
            ("SCRIPT FLUSH", told),
            ("SCRIPT KILL", "answer Scripts"),
            ("MULTI", "+OK"),
            ("SET k v", told),
            ("EXEC", ended.as_str()),
            ("DISCARD", "-ERR DISCARD without MULTI"),
            ("RESET", "+RESET"),
        ],
    );
}
