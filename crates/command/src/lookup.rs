//! Finding a command by its name: a hash table built at compile time.

use crate::spec::Spec;
use crate::table::{ROWS, TABLE};

/// Sparse, so that most names are found at the first place.
const PLACES: usize = 1024;
const EMPTY: u16 = u16::MAX;

const INDEX: [u16; PLACES] = {
    assert!(ROWS.len() < PLACES / 2);
    let mut index = [EMPTY; PLACES];
    let mut i = 0;
    while i < ROWS.len() {
        let mut place = place_of(ROWS[i].name.as_bytes());
        while index[place] != EMPTY {
            place = (place + 1) % PLACES;
        }
        index[place] = i as u16;
        i += 1;
    }
    index
};

/// The command of this name, in any case.
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    let mut place = place_of(name);
    while INDEX[place] != EMPTY {
        let spec = &TABLE[usize::from(INDEX[place])];
        if spec.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(spec);
        }
        place = (place + 1) % PLACES;
    }
    None
}

/// Letters differ from their other case by one bit, which is set here. Names longer than any command
/// are not read to their end.
const fn place_of(name: &[u8]) -> usize {
    let mut hash = name.len() as u32;
    let mut i = 0;
    while i < name.len() && i < 32 {
        hash = (hash ^ (name[i] | 0x20) as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    (hash ^ (hash >> 15)) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else_is() {
        for spec in &TABLE {
            let found = lookup(spec.name.to_uppercase().as_bytes()).expect("in the table");
            assert_eq!(found.name, spec.name);
        }
        for name in ["", "ge", "gett", "g\u{0}t", "GETGETGETGETGETGETGETGETGETGETGETGETGETGET"] {
            assert!(lookup(name.as_bytes()).is_none(), "{name}");
        }
    }
}
