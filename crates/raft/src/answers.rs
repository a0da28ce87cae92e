//! The answers to the most recent requests, so that a request sent twice gets its first answer.
//!
//! *Invariant:* part of the replicated state: it depends on the log alone, and is in every snapshot.

use crate::types::Proposed;
use ironcache_types::RequestId;
use std::collections::{HashMap, VecDeque};

/// Answers kept. A retry comes within seconds of the first try; at a thousand commands a second, far
/// more than a control plane has, this still spans one. All of it is in every snapshot.
pub const KEPT: usize = 1024;

#[derive(Clone, Debug, Default)]
pub struct Answers {
    order: VecDeque<RequestId>,
    by_id: HashMap<RequestId, Proposed>,
}

impl Answers {
    pub fn get(&self, id: RequestId) -> Option<&Proposed> {
        self.by_id.get(&id)
    }

    /// Remembers the first answer to `id`, and forgets the oldest one beyond [`KEPT`].
    pub fn remember(&mut self, id: RequestId, answer: Proposed) {
        if self.by_id.insert(id, answer).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.by_id.remove(&oldest);
            }
        }
    }

    /// Oldest first.
    pub fn to_vec(&self) -> Vec<(RequestId, Proposed)> {
        self.order.iter().map(|id| (*id, self.by_id[id].clone())).collect()
    }
}

impl FromIterator<(RequestId, Proposed)> for Answers {
    fn from_iter<I: IntoIterator<Item = (RequestId, Proposed)>>(items: I) -> Self {
        let mut answers = Answers::default();
        for (id, answer) in items {
            answers.remember(id, answer);
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_control::Applied;

    fn answer(index: u64) -> Proposed {
        Proposed { index, outcome: Ok(Applied::Unchanged) }
    }

    #[test]
    fn the_oldest_answer_is_forgotten_first() {
        let count = KEPT as u64 + 3;
        let answers: Answers = (0..count).map(|i| (RequestId(u128::from(i)), answer(i))).collect();
        assert_eq!(answers.get(RequestId(2)), None);
        assert_eq!(answers.get(RequestId(3)), Some(&answer(3)));
        assert_eq!(answers.to_vec().len(), KEPT);
        let again: Answers = answers.to_vec().into_iter().collect();
        assert_eq!(again.to_vec(), answers.to_vec());
    }
}
