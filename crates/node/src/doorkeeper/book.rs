//! Who stands in a door, and who of them makes room when one more comes.
//!
//! ```text
//!                       makes room first ◄──────────────────────────────────────► last
//!   has said nothing, ─► of a source with more ─► of a source from which ─► of one from which ─► is served
//!   and had time to      than its share           nobody came lately        a member or an
//!                                                 who is known              operator came
//!   among equals: who has only come, before who is in a handshake or a request, for as long as a quarter of the places
//!   is left to those who have only come; then whoever has let the node wait for longest
//! ```
//! The rule: **a stranger makes room for a stranger, and never ends somebody who is known.** Whoever has proved the key of a
//! member or an operator goes only where those fill the door themselves, and strangers have no more than the quarter that
//! is kept for them.
//!
//! *Invariant:* nobody is locked out: one who comes gets a place, whoever has the others.
//! *Invariant:* one address, however many connections it makes, takes no more than its share from the others.
//! *Invariant:* this reads no clock.

use super::visit::Stage;
use super::{Limits, Remote};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A round trip around the world takes 0.3 s. Longer, and who says nothing keeps somebody out who does; shorter, and far
/// callers are gone before their first byte is here.
const GREETS_WITHIN: Duration = Duration::from_millis(500);
/// Nobody makes room sooner than this after what it said last: so many places let in so many strangers in a second, 1,280 with
/// 64 of them, and make the node compute no more often. Longer, and who comes behind a crowd waits in the kernel's queue, which
/// in the end is full; shorter, and who asks at once, from a machine with other work, is gone before its request is here.
const STAYS_FOR: Duration = Duration::from_millis(50);
/// This part of the places is kept for strangers, and is the share of one source. Larger, and four sources fill the door;
/// smaller, and the nodes of one machine push each other out.
const PARTS: usize = 4;
/// Sources that are remembered: a hundred nodes, and their operators. More is memory for nothing; fewer, and a large
/// cluster's nodes are strangers to each other.
const GOOD_SOURCES_MAX: usize = 256;
/// Longer, and an address that has changed hands is preferred for longer; shorter, and an operator who comes twice a day is a
/// stranger each time.
const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);

/// Where somebody comes from: an address, or what one host of IPv6 has of them (RFC 6177: a /64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source(IpAddr);

impl Source {
    pub(super) fn of(Remote(remote): Remote) -> Option<Source> {
        let host = |ip: Ipv6Addr| Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX));
        Some(Source(match remote?.ip().to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            // All of this machine's are one.
            IpAddr::V6(ip) if ip.is_loopback() => IpAddr::V6(ip),
            IpAddr::V6(ip) => IpAddr::V6(host(ip)),
        }))
    }
}

/// What is known of who stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Stranger,
    /// It has proved the key of a member or of an operator, or the join code; where nobody is asked for one, it has asked for
    /// something, and was given it.
    Known,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub stage: Stage,
    /// Since when the node waits for what it waits for.
    pub since: Instant,
    pub progress: Instant,
    /// That it has to go.
    pub told: Arc<Notify>,
    standing: Standing,
    source: Option<Source>,
    /// A byte of it has come.
    has_spoken: bool,
    /// Its hello of TLS has come, whole, or it was asked for one of another kind.
    has_greeted: bool,
}

impl Entry {
    /// It has said more than whoever has just come: its hello, or the head of a request.
    fn is_further(&self) -> bool {
        self.has_greeted || self.stage != Stage::Stranger
    }
}

/// How much there is to be said for somebody: the lowest makes room first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_served: bool,
    speaks: bool,
    within_share: bool,
    of_a_good_source: bool,
    is_favoured: bool,
    since: Instant,
}

/// Who is in.
#[derive(Debug, Default)]
pub(super) struct Book {
    next: u64,
    pub entries: BTreeMap<u64, Entry>,
    /// Where members and operators came from, and when they did last.
    good: BTreeMap<Source, Instant>,
    /// Since the start: those that others had to make room for, and those whose time was up.
    pub turned_away: u64,
}

impl Book {
    /// Lets one in: its number, how it is told to go, and who had to make room for it.
    pub(super) fn enter(
        &mut self,
        remote: Remote,
        now: Instant,
        limits: &Limits,
    ) -> (u64, Arc<Notify>, Vec<Standing>) {
        let mut made_room = Vec::new();
        while self.entries.len() >= limits.visits_max {
            let Some(id) = self.next_to_go(now, limits) else { break };
            made_room.extend(self.turn_away(id));
        }
        let id = self.next;
        self.next += 1;
        let entry = Entry {
            stage: Stage::Stranger,
            since: now,
            progress: now,
            told: Arc::default(),
            standing: Standing::Stranger,
            source: Source::of(remote),
            has_spoken: false,
            has_greeted: false,
        };
        let told = Arc::clone(&entry.told);
        self.entries.insert(id, entry);
        (id, told, made_room)
    }

    /// How long the next one waits outside: whoever would make room for it has just come.
    pub(super) fn full_for(&self, now: Instant, limits: &Limits) -> Option<Duration> {
        if self.entries.len() < limits.visits_max {
            return None;
        }
        let goes = self.next_to_go(now, limits).and_then(|id| self.entries.get(&id))?;
        STAYS_FOR.checked_sub(now - goes.since).filter(|left| !left.is_zero())
    }

    fn next_to_go(&self, now: Instant, limits: &Limits) -> Option<u64> {
        let mut of_source = BTreeMap::<Option<Source>, usize>::new();
        let strangers = || self.entries.values().filter(|entry| entry.standing == Standing::Stranger);
        strangers().for_each(|entry| *of_source.entry(entry.source).or_default() += 1);
        let part = (limits.visits_max / PARTS).max(1);
        // Who is further along stays, but for a part of the places: else who sends hellos alone would keep all of them.
        let is_crowded = strangers().filter(|entry| !entry.is_further()).count() >= part;
        let goes = if strangers().count() >= part { Standing::Stranger } else { Standing::Known };
        let rank = |entry: &Entry| Rank {
            is_served: entry.stage.is_served(now - entry.progress, limits.patience),
            speaks: entry.has_spoken || now - entry.since < GREETS_WITHIN,
            within_share: of_source.get(&entry.source).is_none_or(|places| *places <= part),
            of_a_good_source: entry.source.is_some_and(|source| self.is_good(source, now)),
            is_favoured: entry.is_further() == is_crowded,
            since: entry.since,
        };
        let those = self.entries.iter().filter(|(_, entry)| entry.standing == goes);
        those.min_by_key(|(_, entry)| rank(entry)).map(|(id, _)| *id)
    }

    /// Who that was, if it is still there.
    pub(super) fn turn_away(&mut self, id: u64) -> Option<Standing> {
        let entry = self.entries.remove(&id)?;
        self.turned_away += 1;
        entry.told.notify_one();
        Some(entry.standing)
    }

    /// A step further: the node waits for something else from now on.
    pub(super) fn to(&mut self, id: u64, stage: Stage, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.stage, entry.since, entry.progress) = (stage, now, now);
        }
    }

    /// Its first byte is here. It is as old as before.
    pub(super) fn speaks(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.has_spoken = true;
        }
    }

    /// Its hello is whole: it is further than whoever has only come, and has no more time for all of it.
    pub(super) fn greeted(&mut self, id: u64, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.has_greeted, entry.since) = (true, now);
        }
    }

    /// What had come of it when it was handed on was looked at, and is no whole head.
    pub(super) fn looked_at(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.stage == Stage::Handed) {
            entry.stage = Stage::Stranger;
        }
    }

    /// So many are on their way.
    pub(super) fn handed_on(&self) -> usize {
        self.entries.values().filter(|entry| entry.stage == Stage::Handed).count()
    }

    /// It may have asked something, and is on its way to where that is looked at. It is as old as before.
    pub(super) fn handed(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.stage = Stage::Handed;
        }
    }

    /// Who it is, as the node knows it now.
    pub(super) fn stands(&mut self, id: u64, standing: Standing, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.standing = standing;
        let (Some(source), Standing::Known) = (entry.source, standing) else { return };
        self.good.insert(source, now);
        if self.good.len() > GOOD_SOURCES_MAX {
            let oldest = self.good.iter().min_by_key(|(_, seen)| **seen).map(|(source, _)| *source);
            oldest.and_then(|oldest| self.good.remove(&oldest));
        }
    }

    fn is_good(&self, source: Source, now: Instant) -> bool {
        self.good.get(&source).is_some_and(|seen| now - *seen < GOOD_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::super::PATIENCE;
    use super::*;

    const LIMITS: Limits = Limits { visits_max: 8, large_kib: 0, patience: PATIENCE };
    const SHARE: usize = LIMITS.visits_max / PARTS;

    /// A door, a moment, and those who came one after the other.
    struct Door {
        book: Book,
        now: Instant,
    }

    impl Door {
        fn new() -> Self {
            Door { book: Book::default(), now: Instant::now() }
        }

        fn later(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        /// One from host `host` comes, a little after the one before; who goes is seen by [`Self::is_in`].
        fn comes(&mut self, host: u8) -> u64 {
            self.later(1);
            let remote = Remote(Some(([10, 0, 0, host], 4711).into()));
            self.book.enter(remote, self.now, &LIMITS).0
        }

        fn says_hello(&mut self, host: u8) -> u64 {
            let id = self.comes(host);
            self.book.speaks(id);
            self.book.greeted(id, self.now);
            id
        }

        fn known(&mut self, host: u8) -> u64 {
            let id = self.says_hello(host);
            self.book.stands(id, Standing::Known, self.now);
            self.book.to(id, Stage::Idle, self.now);
            id
        }

        fn is_in(&self, id: u64) -> bool {
            self.book.entries.contains_key(&id)
        }

        fn of(&self, host: u8) -> usize {
            let source = Source::of(Remote(Some(([10, 0, 0, host], 1).into())));
            self.book.entries.values().filter(|entry| entry.source == source).count()
        }
    }

    #[test]
    fn whoever_says_nothing_goes_before_who_is_in_a_handshake_and_then_the_one_who_lets_the_node_wait_longest()
     {
        let mut door = Door::new();
        let speaking: Vec<_> = (0..6).map(|host| door.says_hello(host)).collect();
        // The older of the two that have only come: what it said is what it stays for.
        let slow = door.comes(6);
        let silent = door.comes(7);
        door.later(500);
        door.book.speaks(slow);
        door.says_hello(8);
        assert!(!door.is_in(silent) && door.is_in(slow) && speaking.iter().all(|id| door.is_in(*id)));
        // A hello that has just become whole is younger than all that have waited since theirs.
        door.book.greeted(speaking[0], door.now);
        door.says_hello(9);
        assert!(door.is_in(speaking[0]) && !door.is_in(speaking[1]));
    }

    #[test]
    fn who_has_just_come_has_time_to_say_something() {
        let mut door = Door::new();
        let oldest = door.says_hello(0);
        for host in 1..7 {
            door.says_hello(host);
        }
        let comes = door.comes(7);
        door.says_hello(8);
        assert!(door.is_in(comes) && !door.is_in(oldest));
    }

    #[test]
    fn who_is_in_a_handshake_stays_while_others_only_come_and_those_keep_a_part_of_the_places() {
        let mut door = Door::new();
        let greeted = door.says_hello(0);
        for host in 1..100 {
            let id = door.comes(host);
            door.book.speaks(id);
        }
        assert!(door.is_in(greeted), "halves of hellos without end make room for each other");
        for host in 100..200 {
            door.says_hello(host);
        }
        let comes = door.comes(200);
        assert!(!door.is_in(greeted) && door.is_in(comes), "whole ones do, too");
        door.says_hello(201);
        assert!(door.is_in(comes));
    }

    #[test]
    fn nobody_is_pushed_out_who_has_just_come() {
        let mut door = Door::new();
        assert_eq!(door.book.full_for(door.now, &LIMITS), None);
        for host in 0..8 {
            door.comes(host);
        }
        // The first one came 7 ms ago.
        assert_eq!(door.book.full_for(door.now, &LIMITS), Some(STAYS_FOR - Duration::from_millis(7)));
        door.later(STAYS_FOR.as_millis() as u64 - 7);
        assert_eq!(door.book.full_for(door.now, &LIMITS), None);
    }

    #[test]
    fn one_source_takes_no_more_than_its_share_from_others() {
        let mut door = Door::new();
        let others: Vec<_> = (1..=4).map(|host| door.says_hello(host)).collect();
        for _ in 0..100 {
            door.says_hello(200);
        }
        assert!(others.iter().all(|id| door.is_in(*id)), "older ones stay");
        assert_eq!(door.of(200), LIMITS.visits_max - others.len());
        // Others who come take them from the crowd, until it has its share.
        for host in 5..=8 {
            door.says_hello(host);
        }
        assert_eq!(door.of(200), SHARE);
        assert!(others[2..].iter().all(|id| door.is_in(*id)));
    }

    #[test]
    fn hosts_of_one_network_of_ipv6_are_one_source() {
        let of = |text: &str| Source::of(Remote(Some((text.parse::<IpAddr>().unwrap(), 1).into())));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
    }

    #[test]
    fn a_crowd_of_strangers_ends_nobody_who_is_known() {
        let mut door = Door::new();
        let known: Vec<_> = (0..6).map(|_| door.known(1)).collect();
        door.later(60_000);
        // From where they came, even.
        for _ in 0..100 {
            door.says_hello(1);
        }
        assert!(known.iter().all(|id| door.is_in(*id)));
        // Members who fill the door leave strangers what is kept for them.
        for _ in 0..10 {
            door.known(1);
        }
        assert!(!door.is_in(known[0]), "the one that was idle for longest");
        let strangers = door.book.entries.values().filter(|entry| entry.standing == Standing::Stranger);
        assert!(strangers.count() >= SHARE - 1);
    }

    #[test]
    fn who_comes_from_where_an_operator_came_from_is_preferred_within_its_share() {
        let mut door = Door::new();
        let operator = door.known(1);
        door.book.turn_away(operator);
        let again = door.says_hello(1);
        for host in 2..100 {
            door.says_hello(host);
        }
        assert!(door.is_in(again), "the oldest of all, of a good source");
        for _ in 0..100 {
            door.says_hello(1);
        }
        for host in 2..20 {
            door.says_hello(host);
        }
        assert!(door.of(1) <= SHARE, "a crowd from there is a crowd");
        door.later(GOOD_FOR.as_millis() as u64);
        for host in 20..40 {
            door.says_hello(host);
        }
        assert_eq!(door.of(1), 0, "it is not remembered for ever");
    }

    #[test]
    fn good_sources_are_forgotten_where_there_are_too_many() {
        let mut door = Door::new();
        for i in 0..2 * GOOD_SOURCES_MAX {
            door.later(1);
            let remote = Remote(Some(([10, 0, (i >> 8) as u8, i as u8], 1).into()));
            let (id, _, _) = door.book.enter(remote, door.now, &LIMITS);
            door.book.stands(id, Standing::Known, door.now);
        }
        assert_eq!(door.book.good.len(), GOOD_SOURCES_MAX);
    }

    #[test]
    fn who_takes_its_answer_slowly_makes_room_before_strangers_that_have_just_come() {
        let mut door = Door::new();
        let takes = door.says_hello(0);
        door.book.to(takes, Stage::Sending { is_large: false }, door.now);
        let oldest = door.says_hello(1);
        for host in 2..8 {
            door.says_hello(host);
        }
        door.says_hello(8);
        assert!(door.is_in(takes) && !door.is_in(oldest), "it is served");
        door.later(PATIENCE.stranger.as_millis() as u64);
        door.says_hello(9);
        assert!(!door.is_in(takes), "it lets the node wait");
    }
}
