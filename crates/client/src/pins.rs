//! Whose keys a client believes, and how it learns of others: nodes come and go while a credentials file lies about.
//!
//! ```text
//!   pinned ──┬── one node names another ──► heard: it may answer, and nobody goes by what it says of others
//!            └── two of them name the same ──► exactly those are pinned from now on
//! ```
//! *Invariant:* one key takes no pin away, and makes none that counts: whoever stole it, or has the key of a node that was
//! removed, makes a client believe more keys, and never fewer.
//! *Invariant:* one of those that agree is among those that are pinned then: they are never nobody.
//! *Invariant:* nothing here asks anybody or reads a clock.

use ironcache_types::KeyHash;
use std::collections::BTreeSet;

/// More than any cluster has nodes. Whoever names more wants to fill a file, and is not heard.
const HEARD_MAX: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pins {
    /// By the file, by a join code, or by the words of two.
    pub pinned: BTreeSet<KeyHash>,
    /// By one node's word alone.
    pub heard: BTreeSet<KeyHash>,
}

/// Who the nodes of the cluster are, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub named: BTreeSet<KeyHash>,
    by: BTreeSet<KeyHash>,
}

impl Words {
    pub(crate) fn of(by: KeyHash, named: BTreeSet<KeyHash>) -> Self {
        Words { named, by: BTreeSet::from([by]) }
    }

    /// Is it the word of `key` alone?
    pub(crate) fn are_of(&self, key: KeyHash) -> bool {
        self.by == BTreeSet::from([key])
    }

    /// Another node says who they are: it counts if it says the same.
    pub(crate) fn and(&mut self, by: KeyHash, named: &BTreeSet<KeyHash>) {
        if *named == self.named {
            self.by.insert(by);
        }
    }
}

impl Pins {
    /// Everybody who may answer.
    pub(crate) fn all(&self) -> BTreeSet<KeyHash> {
        &self.pinned | &self.heard
    }

    /// Is everything known that is named here, and nothing else?
    pub(crate) fn is(&self, named: &BTreeSet<KeyHash>) -> bool {
        self.pinned == *named && self.heard.is_empty()
    }

    /// Whose word could be the second one.
    pub(crate) fn could_second(&self, words: &Words) -> BTreeSet<KeyHash> {
        &self.pinned - &words.by
    }

    /// After `words` that may be one node's alone.
    #[must_use]
    pub(crate) fn heard(&self, words: &Words) -> Pins {
        let heard = &self.heard | &(&words.named - &self.pinned);
        let heard = if heard.len() > HEARD_MAX { self.heard.clone() } else { heard };
        Pins { pinned: self.pinned.clone(), heard }
    }

    /// After `words` of somebody who is believed in everything.
    #[must_use]
    pub(crate) fn told(&self, words: &Words) -> Pins {
        Pins { pinned: &self.pinned | &words.named, heard: &self.heard - &words.named }
    }

    /// After `words` that two of the pinned nodes agree in, one of which stays; otherwise there is no reason to believe them.
    pub(crate) fn agreed(&self, words: &Words) -> Option<Pins> {
        let by = &self.pinned & &words.by;
        let stays = !by.is_disjoint(&words.named);
        (by.len() >= 2 && stays).then(|| Pins { pinned: words.named.clone(), heard: BTreeSet::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::Digest;

    fn keys(bytes: &[u8]) -> BTreeSet<KeyHash> {
        bytes.iter().map(|byte| key(*byte)).collect()
    }

    fn key(byte: u8) -> KeyHash {
        KeyHash(Digest([byte; 32]))
    }

    fn pins(pinned: &[u8], heard: &[u8]) -> Pins {
        Pins { pinned: keys(pinned), heard: keys(heard) }
    }

    fn words(by: &[u8], named: &[u8]) -> Words {
        let mut words = Words::of(key(by[0]), keys(named));
        by[1..].iter().for_each(|by| words.and(key(*by), &keys(named)));
        words
    }

    #[test]
    fn one_node_adds_and_takes_nothing_away() {
        let heard = pins(&[1, 2, 3], &[]).heard(&words(&[1], &[1, 9]));
        assert_eq!(heard, pins(&[1, 2, 3], &[9]));
        assert_eq!(pins(&[1, 2, 3], &[]).agreed(&words(&[1], &[1, 9])), None);
    }

    #[test]
    fn two_pinned_nodes_say_who_is_pinned() {
        assert_eq!(pins(&[1, 2, 3], &[9]).agreed(&words(&[1, 2], &[1, 2, 4])), Some(pins(&[1, 2, 4], &[])));
        // One of the two has left; the other stays.
        assert_eq!(pins(&[1, 2, 3], &[]).agreed(&words(&[1, 2], &[2, 4])), Some(pins(&[2, 4], &[])));
    }

    #[test]
    fn a_key_with_those_that_it_named_itself_is_one_word() {
        let heard = pins(&[1, 2, 3], &[]).heard(&words(&[1], &[1, 8, 9]));
        for by in [&[1, 8][..], &[8, 9], &[1, 8, 9]] {
            assert_eq!(heard.agreed(&words(by, &[1, 8, 9])), None, "{by:?}");
        }
        assert_eq!(heard.could_second(&words(&[1], &[1, 8, 9])), keys(&[2, 3]));
    }

    #[test]
    fn nobody_is_left_alone_by_those_that_leave() {
        for named in [&[][..], &[4, 5]] {
            assert_eq!(pins(&[1, 2, 3], &[]).agreed(&words(&[1, 2], named)), None, "{named:?}");
        }
    }

    #[test]
    fn who_says_something_else_is_no_second() {
        let mut said = Words::of(key(1), keys(&[1, 2, 4]));
        said.and(key(2), &keys(&[1, 2, 3]));
        assert_eq!(pins(&[1, 2, 3], &[]).agreed(&said), None);
    }

    #[test]
    fn whoever_names_a_crowd_is_not_heard() {
        let crowd: BTreeSet<KeyHash> = (0..=HEARD_MAX)
            .map(|number| {
                let mut bytes = [7; 32];
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                KeyHash(Digest(bytes))
            })
            .collect();
        assert_eq!(pins(&[1], &[5]).heard(&Words::of(key(1), crowd)), pins(&[1], &[5]));
    }
}
