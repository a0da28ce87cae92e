//! What clients keep of what they have read, and are told when it is no longer so.

use super::*;
use crate::data::clockwork;

/// One that keeps what it reads, and is told in RESP3.
fn keeper(plane: &mut Plane, options: &str) -> Client {
    let mut keeper = client(plane);
    answer(plane, &mut keeper, "HELLO 3");
    assert_eq!(answer(plane, &mut keeper, &format!("CLIENT TRACKING ON{options}")), "+OK\r\n");
    keeper
}

/// What it was told since the last look: the keys, or `all`.
pub(super) fn told(keeper: &Client) -> Vec<String> {
    let text = String::from_utf8(keeper.inbox.as_ref().unwrap().take()).unwrap();
    let notices = text.split(">2\r\n$10\r\ninvalidate\r\n").skip(1);
    let keys = |notice: &str| match notice {
        "_\r\n" => "all".to_owned(),
        keys => keys.split("\r\n").skip(2).step_by(2).collect::<Vec<_>>().join(" "),
    };
    notices.map(keys).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_key_that_was_read_is_told_of_once_when_it_changes() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut keeper, mut other) = (keeper(&mut plane, ""), client(&mut plane));
    for command in ["GET k", "MGET l{t} m{t}", "LLEN l{t}", "GET never"] {
        answer(&mut plane, &mut keeper, command);
    }
    answer(&mut plane, &mut other, "GET k");
    assert_eq!(told(&keeper), NOTHING, "nobody has written");
    for command in ["SET k 1", "SET k 2", "SET unread 1"] {
        answer(&mut plane, &mut other, command);
    }
    assert_eq!(told(&keeper), ["k"]);
    answer(&mut plane, &mut other, "MSET m{t} 1 l{t} 1");
    assert_eq!(told(&keeper), ["m{t}", "l{t}"]);
    // What it writes itself it is told of as well, after the reply.
    answer(&mut plane, &mut keeper, "GET k");
    assert_eq!(answer(&mut plane, &mut keeper, "SET k 3"), "+OK\r\n");
    assert_eq!(told(&keeper), ["k"]);
    for command in ["MULTI", "SET k 4", "GET k", "EXEC"] {
        answer(&mut plane, &mut keeper, command);
    }
    assert_eq!(told(&keeper), NOTHING, "it has read what it has written");
    answer(&mut plane, &mut other, "RENAME k r{k}");
    assert_eq!(told(&keeper), ["k"]);
    answer(
        &mut plane,
        &mut keeper,
        "EVAL return{redis.call('GET','r{k}'),redis.call('SET','r{k}','5')} 1 r{k}",
    );
    assert_eq!(told(&keeper), ["r{k}"], "a script reads for its client");
    answer(&mut plane, &mut keeper, "GET r{k}");
    answer(&mut plane, &mut other, "FLUSHALL");
    assert_eq!(told(&keeper), ["all"]);
    answer(&mut plane, &mut keeper, "CLIENT TRACKING OFF");
    answer(&mut plane, &mut keeper, "GET r{k}");
    answer(&mut plane, &mut other, "SET r{k} 1");
    assert_eq!(told(&keeper), NOTHING);
}

#[test]
fn keys_that_expire_or_go_for_want_of_memory_are_told_of() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut keeper, mut other) = (keeper(&mut plane, ""), client(&mut plane));
    answer(&mut plane, &mut other, "SET k 1 PX 30");
    answer(&mut plane, &mut keeper, "GET k");
    let node = node(plane);
    let began = std::time::Instant::now();
    while told(&keeper) != ["k"] {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "it expires in time");
        clockwork::expire(&node);
    }
    let mut plane = node.plane.borrow_mut();
    answer(&mut plane, &mut other, &format!("SET k {}", "x".repeat(100_000)));
    answer(&mut plane, &mut keeper, "GET k");
    answer(&mut plane, &mut other, "CONFIG SET maxmemory-policy allkeys-lru");
    answer(&mut plane, &mut other, "CONFIG SET maxmemory 1");
    answer(&mut plane, &mut other, "PING");
    assert_eq!((told(&keeper), plane.stats.evicted), (vec!["k".to_owned()], 1));
}

#[test]
fn the_table_is_bounded_and_whoever_is_forgotten_is_told() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut keeper, mut other) = (keeper(&mut plane, ""), client(&mut plane));
    let before = plane.counted_bytes();
    answer(&mut plane, &mut other, "CONFIG SET tracking-table-max-keys 2");
    answer(&mut plane, &mut keeper, "MGET a{t} b{t}");
    assert!(plane.counted_bytes() > before, "what is remembered counts as memory");
    assert_eq!(told(&keeper), NOTHING);
    answer(&mut plane, &mut keeper, "GET c{t}");
    assert_eq!(told(&keeper), ["a{t}"]);
    answer(&mut plane, &mut keeper, "GET d{t}");
    assert_eq!(told(&keeper), ["b{t}"]);
    let info = answer(&mut plane, &mut other, "INFO");
    for line in
        ["tracking_clients:1", "tracking_total_keys:2", "tracking_total_items:2", "tracking_total_prefixes:0"]
    {
        assert!(info.contains(&format!("{line}\r\n")), "{line}");
    }
    // A long key takes the place of many.
    answer(&mut plane, &mut keeper, &format!("GET {}", "x".repeat(1_000)));
    assert_eq!(plane.clients.tracking().counts().keys, 0);
    assert_eq!(told(&keeper).len(), 3);
    plane.clients.leave(&keeper);
    assert!(!plane.clients.is_tracked());
    assert_eq!(plane.counted_bytes(), before);
}

#[test]
fn prefixes_are_told_of_whether_they_were_read_or_not() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut of_two, mut other) = (keeper(&mut plane, " BCAST PREFIX a PREFIX b NOLOOP"), client(&mut plane));
    let all = keeper(&mut plane, " BCAST");
    answer(&mut plane, &mut other, "MSET a2{t} 1 a1{t} 1 b{t} 1 c{t} 1");
    assert_eq!(
        (told(&of_two), told(&all)),
        (vec!["a1{t} a2{t}".to_owned(), "b{t}".to_owned()], vec!["a1{t} a2{t} b{t} c{t}".to_owned()])
    );
    answer(&mut plane, &mut of_two, "SET a1{t} 1");
    assert_eq!((told(&of_two), told(&all)), (vec![], vec!["a1{t}".to_owned()]));
    assert_eq!(plane.clients.tracking().counts().prefixes, 3);
}

#[test]
fn who_is_told_in_the_place_of_a_client_may_go() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut reader, mut other) = (client(&mut plane), client(&mut plane));
    answer(&mut plane, &mut reader, "HELLO 3");
    reader.show(0);
    let mut keeper = keeper(&mut plane, &format!(" REDIRECT {}", reader.session.id()));
    answer(&mut plane, &mut keeper, "GET k");
    answer(&mut plane, &mut other, "SET k 1");
    let summons = Rc::clone(&reader.info.borrow().summons);
    reader.inbox = summons.take();
    assert_eq!((told(&reader), told(&keeper)), (vec!["k".to_owned()], vec![]));
    let id = reader.session.id();
    let line = answer(&mut plane, &mut keeper, "CLIENT INFO");
    assert!(line.contains(" flags=t ") && line.contains(&format!(" redir={id} ")), "{line}");
    plane.clients.leave(&reader);
    answer(&mut plane, &mut keeper, "GET k");
    answer(&mut plane, &mut other, "SET k 2");
    let text = String::from_utf8(keeper.inbox.as_ref().unwrap().take()).unwrap();
    assert_eq!(text, format!(">2\r\n$21\r\ntracking-redir-broken\r\n:{id}\r\n"));
    assert!(answer(&mut plane, &mut keeper, "CLIENT TRACKINGINFO").contains("broken_redirect"));
    assert!(answer(&mut plane, &mut keeper, "CLIENT INFO").contains(" flags=tR "));
}

/// Before the other node can have acknowledged anything newer.
#[test]
fn a_primary_that_hands_over_or_loses_its_lease_tells_that_nothing_is_to_be_kept() {
    let mut world = World::pair(AckMode::InSync);
    let (mut plane, _proposals) = plane(A, &world);
    let mut keeper = keeper(&mut plane, "");
    answer(&mut plane, &mut keeper, "GET k");
    let handover = world.begin_handover(A, B);
    plane.apply_view(world.view());
    assert_eq!(told(&keeper), ["all"], "it is held back, and B not promoted yet");
    world.promote(handover, Offset(0));
    plane.apply_view(world.view());
    assert_eq!(told(&keeper), ["all"]);
    let (mut plane, _proposals) = without_lease(A, &World::alone(AckMode::Primary));
    let mut keeper = self::keeper(&mut plane, "");
    // Long enough for one read.
    let until_ms = ironcache_spine::boottime_ms() + 2_000;
    grant(&mut plane, Grant { until_ms, index: 0 });
    assert_eq!(answer(&mut plane, &mut keeper, "GET k"), "_\r\n");
    told(&keeper);
    let began = std::time::Instant::now();
    while plane.is_leased() {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "it ends in time");
        plane.look_at_lease();
    }
    assert_eq!(told(&keeper), ["all"]);
}
