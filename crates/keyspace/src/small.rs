//! Changes of a small hash, set or sorted set within its block: see the modules `packed` and `run`.
//!
//! *Invariant:* what answers `false` has changed nothing: it does not fit, and the collection has to become a table first.

use crate::packed::Packed;
use crate::run::{self, ELEMENTS_MAX, Length, Run, Score};
use std::ops::Range;

/// Where a field and its value stand, and of it the value.
fn field(packed: &Packed, name: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    let mut pieces = Run(packed.content()).pieces();
    while let (Some(field), Some(value)) = (pieces.next(), pieces.next()) {
        if field.text == name {
            return Some((field.range().start..value.end, value.range()));
        }
    }
    None
}

fn member(packed: &Packed, name: &[u8]) -> Option<Range<usize>> {
    Run(packed.content()).pieces().find(|piece| piece.text == name).map(|piece| piece.range())
}

#[must_use]
pub(crate) fn set_field(packed: &mut Box<Packed>, name: &[u8], value: &[u8]) -> bool {
    let (Some(name_len), Some(value_len)) = (Length::of(name), Length::of(value)) else { return false };
    match field(packed, name) {
        Some((_, old)) => Packed::splice(packed, old, &[value_len.as_slice(), value]),
        None => append(packed, &[name_len.as_slice(), name, value_len.as_slice(), value]),
    }
}

pub(crate) fn remove_field(packed: &mut Box<Packed>, name: &[u8]) {
    if let Some((both, _)) = field(packed, name) {
        remove(packed, both);
    }
}

#[must_use]
pub(crate) fn add_member(packed: &mut Box<Packed>, name: &[u8]) -> bool {
    let Some(len) = Length::of(name) else { return false };
    member(packed, name).is_some() || append(packed, &[len.as_slice(), name])
}

pub(crate) fn remove_member(packed: &mut Box<Packed>, name: &[u8]) {
    if let Some(range) = member(packed, name) {
        remove(packed, range);
    }
}

fn scored(packed: &Packed, member: &[u8]) -> Option<(Range<usize>, f64)> {
    let mut pieces = Run(packed.content()).pieces();
    let piece = pieces.find(|piece| run::ranked(piece.text).member == member)?;
    Some((piece.range(), run::ranked(piece.text).score))
}

/// Adds a member where it belongs, or moves it there.
#[must_use]
pub(crate) fn set_score(packed: &mut Box<Packed>, score: f64, member: &[u8]) -> bool {
    let old = scored(packed, member);
    if old.as_ref().is_some_and(|(_, known)| known.to_bits() == score.to_bits()) {
        return true;
    }
    let run = Run(packed.content());
    if old.is_none() && run.elements() == ELEMENTS_MAX {
        return false;
    }
    let behind = run.pieces().find(|piece| run::ranked(piece.text).cmp(score, member).is_gt());
    let at = behind.map_or(packed.content().len(), |piece| piece.range().start);
    let (encoded, before) = (Score::of(score), packed.content().len());
    let Some(len) = Length::of_bytes(member.len() + encoded.as_slice().len()) else { return false };
    if !Packed::splice(packed, at..at, &[len.as_slice(), member, encoded.as_slice()]) {
        return false;
    }
    packed.content_mut()[0] += 1;
    if let Some((range, _)) = old {
        let moved = if range.start >= at { packed.content().len() - before } else { 0 };
        remove(packed, range.start + moved..range.end + moved);
    }
    true
}

pub(crate) fn remove_scored(packed: &mut Box<Packed>, member: &[u8]) {
    if let Some((range, _)) = scored(packed, member) {
        remove(packed, range);
    }
}

fn append(packed: &mut Box<Packed>, parts: &[&[u8]]) -> bool {
    let (elements, end) = (Run(packed.content()).elements(), packed.content().len());
    if elements == ELEMENTS_MAX || !Packed::splice(packed, end..end, parts) {
        return false;
    }
    packed.content_mut()[0] += 1;
    true
}

fn remove(packed: &mut Box<Packed>, range: Range<usize>) {
    let fits = Packed::splice(packed, range, &[]);
    assert!(fits, "less than what is there fits");
    packed.content_mut()[0] -= 1;
}
