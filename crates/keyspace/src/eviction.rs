//! Which key goes when there is no room: Redis' eight policies, approximate where Redis is.
//!
//! ```text
//!   draw a few keys ──► pool of the 16 coldest met so far ──► the coldest that is still there and still as cold ──► Delete
//! ```
//! A key that was seen to be cold is remembered beyond the draw that met it, so that few draws come near the coldest of all.
//!
//! *Invariant:* a key is proposed by a policy on keys that expire only if it expires.
//! *Invariant:* nothing is deleted here: whoever may write does, by an effect.

use crate::effect::Effect;
use crate::effects::Effects;
use crate::entry::Entry;
use crate::keyspace::Keyspace;
use ironcache_types::{Slot, key_slot};

/// Which keys may go, and which of them goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionPolicy {
    /// None may: what would take more memory is refused.
    NoEviction,
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    /// The one that expires next.
    VolatileTtl,
}

/// Larger remembers more of what was met, and takes longer to keep in order. As in Redis.
const POOL_MAX: usize = 16;
/// A pool that holds nothing but what has gone or was used since is filled anew; after so many times the newest draw decides.
const ROUNDS_MAX: usize = 4;

impl EvictionPolicy {
    pub const ALL: [EvictionPolicy; 8] = [
        EvictionPolicy::NoEviction,
        EvictionPolicy::AllkeysLru,
        EvictionPolicy::AllkeysLfu,
        EvictionPolicy::AllkeysRandom,
        EvictionPolicy::VolatileLru,
        EvictionPolicy::VolatileLfu,
        EvictionPolicy::VolatileRandom,
        EvictionPolicy::VolatileTtl,
    ];

    /// As Redis spells it.
    pub fn word(self) -> &'static str {
        match self {
            EvictionPolicy::NoEviction => "noeviction",
            EvictionPolicy::AllkeysLru => "allkeys-lru",
            EvictionPolicy::AllkeysLfu => "allkeys-lfu",
            EvictionPolicy::AllkeysRandom => "allkeys-random",
            EvictionPolicy::VolatileLru => "volatile-lru",
            EvictionPolicy::VolatileLfu => "volatile-lfu",
            EvictionPolicy::VolatileRandom => "volatile-random",
            EvictionPolicy::VolatileTtl => "volatile-ttl",
        }
    }

    pub fn of(word: &str) -> Option<EvictionPolicy> {
        Self::ALL.into_iter().find(|policy| policy.word() == word)
    }

    /// Does it ask how often a key is used, and not when it was?
    pub fn counts_use(self) -> bool {
        match self {
            EvictionPolicy::AllkeysLfu | EvictionPolicy::VolatileLfu => true,
            EvictionPolicy::NoEviction
            | EvictionPolicy::AllkeysLru
            | EvictionPolicy::AllkeysRandom
            | EvictionPolicy::VolatileLru
            | EvictionPolicy::VolatileRandom
            | EvictionPolicy::VolatileTtl => false,
        }
    }
}

/// Which keys are drawn from.
#[derive(Clone, Copy, PartialEq)]
enum Among {
    All,
    Expiring,
}

impl Among {
    fn draw(self, keyspace: &Keyspace, random: u64) -> Option<&Entry> {
        match self {
            Among::All => keyspace.random_entry(random),
            Among::Expiring => keyspace.random_expiring(random),
        }
    }

    fn has(self, entry: &Entry) -> bool {
        self == Among::All || entry.expire_at_ms().is_some()
    }
}

struct Candidate {
    coldness: u32,
    key: Box<[u8]>,
}

/// Chooses keys, and remembers what it has met.
pub struct Evictor {
    policy: EvictionPolicy,
    /// The coldest last.
    pool: Vec<Candidate>,
    /// splitmix64
    dice: u64,
}

impl Evictor {
    pub fn new(seed: u64) -> Self {
        Evictor { policy: EvictionPolicy::NoEviction, pool: Vec::new(), dice: seed }
    }

    /// The key that goes next, if any may; by `samples` draws.
    fn choose(&mut self, keyspace: &Keyspace, policy: EvictionPolicy, samples: usize) -> Option<Box<[u8]>> {
        if policy != self.policy {
            // By another measure.
            self.pool.clear();
            self.policy = policy;
        }
        match policy {
            EvictionPolicy::NoEviction => None,
            EvictionPolicy::AllkeysLru | EvictionPolicy::AllkeysLfu => {
                self.coldest(keyspace, Among::All, samples)
            }
            EvictionPolicy::VolatileLru | EvictionPolicy::VolatileLfu => {
                self.coldest(keyspace, Among::Expiring, samples)
            }
            EvictionPolicy::AllkeysRandom => Among::All.draw(keyspace, self.roll()).map(owned),
            EvictionPolicy::VolatileRandom => Among::Expiring.draw(keyspace, self.roll()).map(owned),
            EvictionPolicy::VolatileTtl => keyspace.next_expiring().map(owned),
        }
    }

    fn coldest(&mut self, keyspace: &Keyspace, among: Among, samples: usize) -> Option<Box<[u8]>> {
        let clock = keyspace.clock();
        for _ in 0..ROUNDS_MAX {
            for _ in 0..samples {
                let met = among.draw(keyspace, self.roll())?;
                self.meet(clock.coldness(met.access()), met.key());
            }
            while let Some(Candidate { coldness, key }) = self.pool.pop() {
                let is_as_cold = |entry: &&Entry| clock.coldness(entry.access()) >= coldness;
                if keyspace.get(&key).filter(|entry| among.has(entry)).filter(is_as_cold).is_some() {
                    return Some(key);
                }
            }
        }
        among.draw(keyspace, self.roll()).map(owned)
    }

    /// Takes a key into the pool, if it is colder than one that is there, or there is a place.
    fn meet(&mut self, coldness: u32, key: &[u8]) {
        if let Some(known) = self.pool.iter().position(|candidate| &*candidate.key == key) {
            if self.pool[known].coldness == coldness {
                return;
            }
            self.pool.remove(known);
        }
        let at = self.pool.partition_point(|candidate| candidate.coldness < coldness);
        if self.pool.len() == POOL_MAX {
            if at == 0 {
                return;
            }
            self.pool.remove(0);
            self.pool.insert(at - 1, Candidate { coldness, key: key.into() });
        } else {
            self.pool.insert(at, Candidate { coldness, key: key.into() });
        }
    }

    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn owned(entry: &Entry) -> Box<[u8]> {
    entry.key().into()
}

/// What went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Evicted {
    /// A key of this slot, with so many elements: what its deletion costs.
    Key { slot: Slot, elements: usize },
    /// No key may go.
    None,
}

impl Keyspace {
    /// Deletes the key that goes next by `policy`, by an effect.
    pub fn evict(
        &mut self,
        evictor: &mut Evictor,
        policy: EvictionPolicy,
        samples: usize,
        effects: &mut Effects,
    ) -> Evicted {
        let Some(key) = evictor.choose(self, policy, samples) else { return Evicted::None };
        let elements = self.get(&key).map_or(0, Entry::elements);
        effects.record(self, &Effect::Delete { key: &key });
        Evicted::Key { slot: key_slot(&key), elements }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{AccessClock, Tracking};
    use crate::effect::SetExpiry;
    use ironcache_types::Level;
    use std::collections::BTreeSet;

    fn set(keyspace: &mut Keyspace, key: &str, expiry: SetExpiry) {
        keyspace.apply(&Effect::SetString { key: key.as_bytes(), value: b"v", expiry }).expect("it fits");
    }

    fn tell(keyspace: &mut Keyspace, second: u64, tracking: Tracking) {
        keyspace.tell_time(AccessClock::new(second * 1000, tracking));
    }

    /// `k0` to `k{count - 1}`, each a second younger than the one before; the even ones expire, the later the sooner.
    fn aged(count: u64) -> Keyspace {
        let mut keyspace = Keyspace::new();
        for i in 0..count {
            tell(&mut keyspace, i, Tracking::Recency);
            let expiry = if i % 2 == 0 { SetExpiry::At(1 << 40 | (count - i)) } else { SetExpiry::Never };
            set(&mut keyspace, &format!("k{i}"), expiry);
        }
        tell(&mut keyspace, count, Tracking::Recency);
        keyspace
    }

    fn evict(keyspace: &mut Keyspace, policy: EvictionPolicy, count: usize) -> Vec<u64> {
        let (mut evictor, mut effects) = (Evictor::new(1), Effects::at(Level::FIRST));
        for _ in 0..count {
            if keyspace.evict(&mut evictor, policy, 5, &mut effects) == Evicted::None {
                break;
            }
        }
        let number = |key: &[u8]| std::str::from_utf8(&key[1..]).expect("text").parse().expect("a number");
        effects.iter().map(|effect| number(effect.key().expect("it deletes a key"))).collect()
    }

    #[test]
    fn without_eviction_nothing_goes() {
        assert_eq!(evict(&mut aged(10), EvictionPolicy::NoEviction, 5), [0; 0]);
    }

    #[test]
    fn every_policy_frees_all_that_it_may_and_nothing_else() {
        for policy in EvictionPolicy::ALL {
            let mut keyspace = aged(100);
            let gone = evict(&mut keyspace, policy, 1000);
            let expected = match policy.word().split_once('-') {
                Some(("allkeys", _)) => 100,
                Some(_) => 50,
                None => 0,
            };
            assert_eq!(gone.iter().collect::<BTreeSet<_>>().len(), expected, "{}", policy.word());
            let only_volatile = policy.word().starts_with("volatile");
            assert!(gone.iter().all(|number| !only_volatile || number % 2 == 0), "{}", policy.word());
            assert_eq!(keyspace.used_bytes(), keyspace.recount_bytes());
        }
    }

    #[test]
    fn the_least_recently_used_go_first_but_for_a_few() {
        for (policy, every) in [(EvictionPolicy::AllkeysLru, 1), (EvictionPolicy::VolatileLru, 2)] {
            let gone = evict(&mut aged(2000), policy, 200);
            let oldest = 3 * 200 * every;
            let among_oldest = gone.iter().filter(|number| **number < oldest).count();
            assert!(among_oldest > 150, "{}: {among_oldest} of 200 are of the oldest 600", policy.word());
        }
    }

    #[test]
    fn what_was_used_since_it_was_met_stays() {
        let mut keyspace = aged(16);
        let mut evictor = Evictor::new(1);
        let cold = evictor.choose(&keyspace, EvictionPolicy::AllkeysLru, 400).expect("there are keys");
        assert_eq!(&*cold, b"k0", "all were met");
        tell(&mut keyspace, 100, Tracking::Recency);
        // All that the pool holds is used, but one.
        for i in (0..16).filter(|i| *i != 9) {
            keyspace.touch(keyspace.find(format!("k{i}").as_bytes()).expect("it is there"));
        }
        assert_eq!(&*evictor.choose(&keyspace, EvictionPolicy::AllkeysLru, 1).expect("one is cold"), b"k9");
    }

    #[test]
    fn the_least_frequently_used_go_first() {
        let tracking = Tracking::Frequency { log_factor: 0, decay_minutes: 1 };
        let mut keyspace = Keyspace::new();
        tell(&mut keyspace, 0, tracking);
        for i in 0..100 {
            set(&mut keyspace, &format!("k{i}"), SetExpiry::Never);
        }
        for i in 0..50 {
            let hot = keyspace.find(format!("k{i}").as_bytes()).expect("it is there");
            (0..20).for_each(|_| keyspace.touch(hot));
        }
        let gone = evict(&mut keyspace, EvictionPolicy::AllkeysLfu, 40);
        let cold = gone.iter().filter(|number| **number >= 50).count();
        assert!(cold >= 36, "{cold} of 40 were used seldom");
    }

    #[test]
    fn whoever_expires_next_goes_first_exactly() {
        let gone = evict(&mut aged(20), EvictionPolicy::VolatileTtl, 4);
        assert_eq!(gone, [18, 16, 14, 12]);
    }

    #[test]
    fn one_key_that_expires_is_found_among_many_of_its_slot_that_do_not() {
        let mut keyspace = Keyspace::new();
        for i in 0..5000 {
            set(&mut keyspace, &format!("{{s}}{i}"), SetExpiry::Never);
        }
        set(&mut keyspace, "{s}the one", SetExpiry::At(9));
        for seed in 0..20 {
            let drawn = Among::Expiring.draw(&keyspace, Evictor::new(seed).roll()).expect("one expires");
            assert_eq!(drawn.key(), b"{s}the one");
        }
    }

    #[test]
    fn a_policy_is_called_what_it_is() {
        for policy in EvictionPolicy::ALL {
            assert_eq!(EvictionPolicy::of(policy.word()), Some(policy));
        }
        assert_eq!(EvictionPolicy::of("allkeys"), None);
    }
}
