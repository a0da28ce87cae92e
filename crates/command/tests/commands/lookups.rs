//! Hits and misses, as redis-server 7.0.15 counts them.

use crate::db::Db;

#[test]
fn keys_that_are_read_are_hits_or_misses_and_keys_that_are_changed_are_neither() {
    let mut db = Db::new();
    for command in ["SET k v", "SADD s a", "HSET h a 1", "SET gone v PX 1"] {
        db.run(command);
    }
    db.context.now_ms += 10;
    for (command, hits, misses) in [
        ("GET k", 1, 0),
        ("GET no", 0, 1),
        ("GET gone", 0, 1),
        ("GETEX k", 1, 0),
        ("GETEX k EX 10", 1, 0),
        ("GETEX no", 0, 1),
        ("GETDEL no", 0, 1),
        ("GETSET k v", 1, 0),
        ("SET k v GET", 1, 0),
        ("SET k v XX", 0, 0),
        ("MGET k no no", 1, 2),
        ("EXISTS k k no", 2, 1),
        ("TTL k", 1, 0),
        ("INCR n", 0, 0),
        ("APPEND k x", 0, 0),
        ("SINTER s no", 1, 1),
        ("HGET h b", 1, 0),
        ("HMGET h a b", 1, 0),
        ("LRANGE no 0 -1", 0, 1),
        ("HSCAN h 0", 1, 0),
        ("KEYS *", 0, 0),
        ("EXPIRE k 10", 0, 0),
        ("DEL no", 0, 0),
    ] {
        db.run(command);
        assert_eq!((db.lookups.hits, db.lookups.misses), (hits, misses), "{command}");
    }
}
