//! Changes of a small hash or set within its block: see the modules `packed` and `run`.
//!
//! *Invariant:* what answers `false` has changed nothing: it does not fit, and the collection has to become a table first.

use crate::packed::Packed;
use crate::run::{ELEMENTS_MAX, Length, Run};
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
