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

#[test]
fn the_newer_families_are_counted_likewise() {
    let mut db = Db::new();
    for command in [
        "SET k v",
        "SADD s a b",
        "SADD s2 b",
        "HSET h a 1",
        "ZADD z 1 a 2 b",
        "RPUSH l a b",
        "PFADD p a",
        "GEOADD g 13 38 a",
    ] {
        db.run(command);
    }
    for (command, hits, misses) in [
        ("LMOVE l m LEFT LEFT", 0, 0),
        ("LPOS l b", 1, 0),
        ("LMPOP 2 no l LEFT", 0, 0),
        ("SMOVE s s3 a", 0, 0),
        ("SINTERCARD 2 s no", 1, 1),
        ("SUNIONSTORE d s no", 1, 1),
        ("ZUNION 2 z no", 1, 1),
        ("ZUNIONSTORE d 2 z no", 1, 1),
        ("ZRANGESTORE d z 0 -1", 1, 0),
        ("ZMPOP 2 no z MIN", 0, 0),
        ("ZRANDMEMBER z", 1, 0),
        ("HRANDFIELD h", 1, 0),
        ("COPY k kk", 1, 0),
        ("COPY k kk", 1, 0),
        ("COPY no kk", 0, 1),
        ("LCS k no", 1, 1),
        ("SORT s ALPHA", 1, 0),
        ("SORT s ALPHA STORE d", 1, 0),
        ("SETBIT k 1 1", 0, 0),
        ("GETBIT k 1", 1, 0),
        ("BITCOUNT no", 0, 1),
        ("BITPOS k 1", 1, 0),
        ("BITOP OR d k no", 1, 1),
        ("BITFIELD k GET u8 0", 1, 0),
        ("BITFIELD k SET u8 0 1", 0, 0),
        ("BITFIELD_RO k GET u8 0", 1, 0),
        ("PFADD p b", 0, 0),
        ("PFCOUNT p", 1, 0),
        ("PFCOUNT p no", 1, 1),
        ("PFMERGE q p no", 1, 2),
        ("GEOADD g 13 38 b", 0, 0),
        ("GEODIST g a b", 1, 0),
        ("GEOSEARCH g FROMLONLAT 13 38 BYRADIUS 1 m", 1, 0),
        ("GEOSEARCHSTORE d g FROMLONLAT 13 38 BYRADIUS 1 m", 1, 0),
        ("GEORADIUS g 13 38 1 m", 1, 0),
        ("DUMP k", 1, 0),
        ("DUMP no", 0, 1),
        ("RESTORE x 0 y", 0, 0),
    ] {
        db.run(command);
        assert_eq!((db.lookups.hits, db.lookups.misses), (hits, misses), "{command}");
    }
}

#[test]
fn streams_are_counted_likewise() {
    let mut db = Db::new();
    for command in ["XADD x 1-1 a b", "XGROUP CREATE x g 0", "SET k v"] {
        db.run(command);
    }
    for (command, hits, misses) in [
        ("XADD x 2-1 a b", 0, 0),
        ("XADD no NOMKSTREAM 2-1 a b", 0, 0),
        ("XLEN x", 1, 0),
        ("XRANGE no - +", 0, 1),
        ("XTRIM x MAXLEN 9", 0, 0),
        ("XDEL x 7", 0, 0),
        ("XSETID x 9", 0, 0),
        ("XREAD STREAMS x no 0 0", 2, 2),
        ("XREAD STREAMS x $", 2, 0),
        ("XGROUP CREATE x h 0", 0, 0),
        ("XREADGROUP GROUP g c STREAMS x >", 2, 0),
        ("XREADGROUP GROUP g c STREAMS x 0", 2, 0),
        ("XPENDING x g", 1, 0),
        ("XACK x g 7", 1, 0),
        ("XACK no g 7", 0, 1),
        ("XCLAIM x g d 0 1-1", 1, 0),
        ("XAUTOCLAIM x g d 0 0", 1, 0),
        ("XINFO STREAM x", 1, 0),
        ("XINFO GROUPS x", 1, 0),
    ] {
        db.run(command);
        assert_eq!((db.lookups.hits, db.lookups.misses), (hits, misses), "{command}");
    }
}
