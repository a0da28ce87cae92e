//! The answers to the most recent requests, so that a request sent twice gets its first answer.
//!
//! *Invariant:* part of the replicated state and of its hash: it depends on the log alone, and is in every snapshot.

use ironcache_formats::state::Answer;
use ironcache_types::RequestId;
use std::collections::{HashMap, VecDeque};

/// Answers kept, at level 1: the number is part of what the state's hash covers, so it changes with a level only.
/// A retry comes within seconds of the first try; at a thousand commands a second, far more than a control plane has,
/// this still spans one. All of it is in every snapshot.
pub(crate) const KEPT: usize = 1024;

#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    order: VecDeque<RequestId>,
    by_id: HashMap<RequestId, Answer>,
}

impl Answers {
    pub(crate) fn get(&self, id: RequestId) -> Option<&Answer> {
        self.by_id.get(&id)
    }

    /// Remembers the first answer to a request, and forgets the oldest one beyond [`KEPT`].
    pub(crate) fn remember(&mut self, answer: Answer) {
        let id = answer.request;
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
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.order.iter().map(|id| &self.by_id[id])
    }
}

impl FromIterator<Answer> for Answers {
    fn from_iter<I: IntoIterator<Item = Answer>>(items: I) -> Self {
        let mut answers = Answers::default();
        for answer in items {
            answers.remember(answer);
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answer_is_forgotten_first() {
        let answer = |index: u64| Answer { request: RequestId(u128::from(index)), index, refused: None };
        let answers: Answers = (0..KEPT as u64 + 3).map(answer).collect();
        assert_eq!(answers.get(RequestId(2)), None);
        assert_eq!(answers.get(RequestId(3)), Some(&answer(3)));
        assert_eq!(answers.iter().count(), KEPT);
        let again: Answers = answers.iter().cloned().collect();
        assert!(again.iter().eq(answers.iter()));
    }
}
