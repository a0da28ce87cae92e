//! What goes on by itself: ticks for the engine, keys that expire, and keys that go for want of memory.
//!
//! *Invariant:* what writes by itself (expiry, eviction) stops while a handover or `CLIENT PAUSE` holds commands back.

use super::DataNode;
use super::blocked;
use super::memory::OF_A_TICK;
use super::plane::TICK_MS;
use super::statistics;
use crate::clock::{unix_ms, wall_ms};
use ironcache_keyspace::{Effects, EventClass, progress};
use ironcache_replication::Scope;
use ironcache_shard::Event;
use ironcache_spine::boottime_ms;
use ironcache_types::key_slot;
use std::rc::Rc;
use std::time::Duration;

/// Often enough that a replica enters the set within a few of these; seldom enough to cost nothing.
const TICK: Duration = Duration::from_millis(TICK_MS);
/// Keys that one tick expires at most: a mass expiry is spread instead of stalling clients.
const EXPIRE_MAX: usize = 200;

/// Runs until the process ends.
pub(super) async fn run(node: Rc<DataNode>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        progress::tick();
        {
            let mut plane = node.plane.borrow_mut();
            plane.coarse_ms = unix_ms();
            plane.look_at_writes();
            plane.look_at_memory();
            plane.tell_time();
            statistics::tick(&mut plane);
            plane.pause.look(boottime_ms());
        }
        node.on(Event::Tick);
        let loaded = node.plane.borrow_mut().load_libraries();
        if loaded {
            node.changed.notify_waiters();
        }
        expire(&node);
        evict(&node);
        if node.plane.borrow().parked > 0 {
            // What held commands back may have been a link that stands still.
            node.acked.notify_waiters();
        }
    }
}

/// What commands began goes on, also if no command comes.
pub(super) fn evict(node: &Rc<DataNode>) {
    let mut plane = node.plane.borrow_mut();
    let before = plane.offset();
    if plane.is_above_limit() {
        plane.make_room(OF_A_TICK);
    }
    if plane.blocked.has_ready() {
        blocked::serve(&mut plane);
    }
    if plane.offset() != before {
        node.feed.notify_waiters();
    }
}

pub(super) fn expire(node: &Rc<DataNode>) {
    let mut plane = node.plane.borrow_mut();
    // A script that waits has read keys that it may read again.
    let is_held = plane.pause.what().is_some() || plane.scripts.is_busy() || !plane.expires_by_itself;
    if !plane.is_serving() || plane.is_backed_up() || is_held {
        return;
    }
    let now_ms = wall_ms();
    if plane.keyspace.next_deadline_ms().is_none_or(|at| at > now_ms) {
        return;
    }
    let plane = &mut *plane;
    plane.statistics.stopwatch.begin();
    let began_ns = plane.statistics.stopwatch.ns();
    let mut effects = Effects::at(plane.effects.level());
    let expired = plane.keyspace.expire_cycle(now_ms, EXPIRE_MAX, &mut effects);
    if effects.is_empty() {
        return;
    }
    plane.stats.expired += expired as u64;
    // One frame a key: each touches its own slot.
    for effect in effects.iter() {
        let scope = effect.key().map_or(Scope::All, |key| Scope::Slot(key_slot(key)));
        plane.effects.append(&effect);
        plane.note_keys(EventClass::Expired, "expired");
        plane.commit(scope);
        plane.tell_of_keys();
    }
    if plane.blocked.has_ready() {
        blocked::serve(plane);
    }
    statistics::note_event(plane, statistics::Event::ExpireCycle, began_ns);
    node.feed.notify_waiters();
}
