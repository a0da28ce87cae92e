//! What commands answer: transcripts of `> command` and the reply in RESP, a line each.
//!
//! `@+1500` moves the clock by so many ms, `@resp3` and `@resp2` change the protocol, `@replica` and
//! `@primary` the role. `UPDATE_EXPECT=1 cargo test` writes what is answered now into the files: read
//! the difference before keeping it.

use crate::db::Db;
use expect_test::expect_file;
use ironcache_command::Expiry;
use ironcache_resp::Protocol;

fn check(family: &str, transcript: &str) {
    let mut db = Db::new();
    let mut played = String::new();
    for line in transcript.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            played += &format!("> {command}\n{}\n", db.run(command));
        } else if line.is_empty() || line.starts_with(['@', '#']) {
            match line {
                "@resp3" => db.context.protocol = Protocol::Resp3,
                "@resp2" => db.context.protocol = Protocol::Resp2,
                "@replica" => db.context.expiry = Expiry::Hide,
                "@primary" => db.context.expiry = Expiry::Delete,
                _ => {
                    if let Some(ms) = line.strip_prefix("@+") {
                        db.context.now_ms += ms.parse::<u64>().expect("a number of ms");
                    }
                }
            }
            played += &format!("{line}\n");
        }
    }
    expect_file![format!("{}/tests/commands/transcripts/{family}.txt", env!("CARGO_MANIFEST_DIR"))]
        .assert_eq(&played);
}

macro_rules! families {
    ($($name:ident: $family:literal,)*) => {$(
        #[test]
        fn $name() {
            check($family, include_str!(concat!("transcripts/", $family, ".txt")));
        }
    )*};
}

families! {
    strings_answer_as_in_redis: "strings",
    keys_and_expiry_answer_as_in_redis: "keys",
    hashes_answer_as_in_redis: "hashes",
    lists_answer_as_in_redis: "lists",
    sets_answer_as_in_redis: "sets",
    sorted_sets_answer_as_in_redis: "zsets",
    what_moves_answers_as_in_redis: "moves",
    what_may_wait_answers_as_in_redis_inside_a_transaction: "blocking",
    what_is_combined_and_sorted_answers_as_in_redis: "combined",
    bits_answer_as_in_redis: "bits",
    places_and_counters_answer_as_in_redis: "places",
    streams_answer_as_in_redis: "streams",
    groups_of_consumers_answer_as_in_redis: "groups",
    what_is_pending_tells_its_times: "pending",
}
