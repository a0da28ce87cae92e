//! A member leaves by time and never by size; what somebody still needs is kept; and writes wait rather than anything
//! is dropped.

use super::*;
use ironcache_shard::Reply;

/// A's plane with a backlog of 64 KiB, B linked to it.
fn small(world: &World) -> (Plane, mpsc::UnboundedReceiver<ToControl>, Link) {
    let (to_control, proposals) = mpsc::unbounded_channel();
    let config = Config { backlog_bytes: 64 << 10, ..Config::default() };
    let mut plane = Plane::new(Arc::new(config), A, Version::new(1, 0, 0), LEVELS, to_control, 1);
    grant(&mut plane, super::FOR_EVER);
    plane.loaded(Keyspace::new(), None);
    plane.apply_view(world.view());
    let link = attach(&mut plane, B);
    (plane, proposals, link)
}

fn set(key: &str, bytes: usize) -> String {
    format!("SET {key} {}", "x".repeat(bytes))
}

fn removals(proposals: &mut mpsc::UnboundedReceiver<ToControl>) -> usize {
    let all = std::iter::from_fn(|| proposals.try_recv().ok());
    all.filter(|p| matches!(p.command, Command::RemoveInSync { .. })).count()
}

/// Ticks until something is so, or for longer than anything here takes.
fn tick_until(node: &Rc<DataNode>, mut so: impl FnMut(&mut Plane) -> bool) -> bool {
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(30) {
        node.on(Event::Tick);
        if so(&mut node.plane.borrow_mut()) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn one_write_above_the_lag_makes_nobody_leave_and_its_reply_waits() {
    let world = World::pair(AckMode::Primary);
    let (mut plane, mut proposals, link) = small(&world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, &set("k", 1_200_000));
    let owed = client.owed;
    assert_eq!(plane.may_reply(owed), Reply::After(owed.write));
    let node = node(plane);
    node.on(Event::Tick);
    assert_eq!(removals(&mut proposals), 0);
    let mut plane = node.plane.borrow_mut();
    acknowledge(&mut plane, link);
    assert_eq!(plane.may_reply(owed), Reply::Now);
    assert_eq!(removals(&mut proposals), 0);
}

#[test]
fn a_member_that_is_not_heard_is_to_leave() {
    let mut world = World::pair(AckMode::Primary);
    world.set_policy(|policy| policy.isr_timeout_ms = 1);
    let (plane, mut proposals, _) = small(&world);
    let node = node(plane);
    assert!(tick_until(&node, |_| removals(&mut proposals) > 0));
}

#[test]
fn one_write_above_the_backlog_is_kept_until_the_replica_has_it() {
    let world = World::pair(AckMode::InSync);
    let (mut plane, _proposals, link) = small(&world);
    let mut client = client(&mut plane);
    answer(&mut plane, &mut client, "SET a 1");
    let before = plane.offset();
    sent(&mut plane, link, before);
    acknowledge(&mut plane, link);
    plane.retain();
    answer(&mut plane, &mut client, &set("k", 1_500_000));
    let kept = plane.backlog.read_from(before, usize::MAX).expect("it is still asked for");
    assert_eq!(kept.0.len() + kept.1.len(), (plane.offset().0 - before.0) as usize);
    // It was all sent, and is not acknowledged: the link may break, and its member come back.
    let end = plane.offset();
    sent(&mut plane, link, end);
    plane.retain();
    assert!(plane.backlog.read_from(before, 1).is_some());
    acknowledge(&mut plane, link);
    plane.retain();
    assert!(plane.backlog.start() > before);
    assert!(plane.offset().0 - plane.backlog.start().0 <= 64 << 10);
}

#[test]
fn writes_wait_while_too_much_is_not_replicated_and_reads_go_on() {
    let world = World::pair(AckMode::Primary);
    let (mut plane, _proposals, link) = small(&world);
    let (mut client, mut other) = (client(&mut plane), client(&mut plane));
    answer(&mut plane, &mut client, "SET gone v PX 1");
    for command in ["MULTI", "GET k", "SET k v"] {
        answer(&mut plane, &mut other, command);
    }
    let bound = plane.view.state.policy.max_lag_bytes as usize;
    answer(&mut plane, &mut client, &set("k", bound + 100));
    assert!(plane.is_backed_up());
    let end = plane.offset();
    assert_eq!(run(&mut plane, &mut client, "SET k v"), (Some(Stop::Hold), String::new()));
    assert_eq!(run(&mut plane, &mut client, "FLUSHALL"), (Some(Stop::Hold), String::new()));
    assert_eq!(run(&mut plane, &mut other, "EXEC"), (Some(Stop::Hold), String::new()), "it waits whole");
    assert_eq!(answer(&mut plane, &mut client, "STRLEN k"), format!(":{}\r\n", bound + 100));
    let node = node(plane);
    let expired = || ironcache_keyspace::Keyspace::next_deadline_ms(&node.plane.borrow().keyspace);
    let due = expired().expect("a key expires");
    while crate::clock::wall_ms() <= due {
        std::thread::yield_now();
    }
    crate::data::clockwork::expire(&node);
    let mut plane = node.plane.borrow_mut();
    assert_eq!(answer(&mut plane, &mut client, "GET gone"), "$-1\r\n");
    assert_eq!(plane.offset(), end, "what expires is written, and waits as well");

    acknowledge(&mut plane, link);
    sent(&mut plane, link, end);
    plane.retain();
    assert_eq!(answer(&mut plane, &mut client, "SET k v"), "+OK\r\n");
    assert_eq!(answer(&mut plane, &mut other, "EXEC"), "*2\r\n$1\r\nv\r\n+OK\r\n");
}

#[test]
fn a_replica_that_is_no_member_holds_back_while_it_takes_something_and_not_once_it_stands_still() {
    let mut world = World::pair(AckMode::Primary);
    let (mut plane, _proposals, link) = small(&world);
    world.remove_in_sync(B);
    // Longer than this thread may be kept from running.
    world.set_policy(|policy| policy.isr_timeout_ms = 1_000);
    plane.apply_view(world.view());
    let mut client = client(&mut plane);
    let bound = plane.view.state.policy.max_lag_bytes as usize;
    answer(&mut plane, &mut client, &set("k", bound + 100));
    let moves = |plane: &mut Plane| {
        let now = plane.now();
        plane.engine.moved(B, link.1, now);
    };
    moves(&mut plane);
    plane.retain();
    assert!(plane.is_backed_up());
    let until_ms = plane.clock_ms() + 1_300;
    while plane.clock_ms() < until_ms {
        moves(&mut plane);
        plane.retain();
        assert!(plane.is_backed_up(), "it takes something all the time");
    }
    let began = std::time::Instant::now();
    while plane.is_backed_up() {
        assert!(began.elapsed().as_secs() < 30, "writes wait for a link that takes nothing");
        plane.retain();
    }
    answer(&mut plane, &mut client, &set("k", 100_000));
    assert!(plane.offset().0 - plane.backlog.start().0 <= 64 << 10, "nothing is kept for it");
    plane.engine.detach(B, link.1);
    plane.retain();
    assert_eq!(plane.retained.hold_from, None);
}
