//! Of what happens to keys, what clients are told: `notify-keyspace-events`, as Redis writes it.

use std::fmt;

/// The classes in the order in which Redis prints them; `d` is of modules, of which there are none here.
const CLASSES: &[u8] = b"g$lshzxetdn";
/// What `A` stands for.
const ALL: &[u8] = b"g$lshzxetd";
/// To which channels, and keys that were not found: printed after the classes.
const AFTER: &[u8] = b"KEm";

/// Letters, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(u32);

impl KeyspaceEvents {
    /// `None` for a letter that there is not.
    pub fn parse(text: &str) -> Option<KeyspaceEvents> {
        let mut events = KeyspaceEvents::default();
        for letter in text.bytes() {
            match letter {
                b'A' => ALL.iter().for_each(|letter| events.add(*letter)),
                letter => {
                    place(letter)?;
                    events.add(letter);
                }
            }
        }
        Some(events)
    }

    fn add(&mut self, letter: u8) {
        self.0 |= place(letter).map_or(0, |place| 1 << place);
    }

    pub fn has(self, letter: u8) -> bool {
        place(letter).is_some_and(|place| self.0 >> place & 1 == 1)
    }

    /// Is anybody told anything? As in Redis, not without a kind of channel.
    pub fn is_on(self) -> bool {
        self.has(b'K') || self.has(b'E')
    }
}

fn place(letter: u8) -> Option<usize> {
    CLASSES.iter().chain(AFTER).position(|known| *known == letter)
}

impl fmt::Display for KeyspaceEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest: &[u8] = if ALL.iter().all(|letter| self.has(*letter)) {
            f.write_str("A")?;
            // Redis leaves it out here, and then does not read back what it was told.
            b"n"
        } else {
            CLASSES
        };
        for letter in rest.iter().chain(AFTER).filter(|letter| self.has(**letter)) {
            write!(f, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_printed_in_the_order_of_redis() {
        for (text, printed) in [
            ("", ""),
            ("KEA", "AKE"),
            ("EKx", "xKE"),
            ("mKg$lshzxetd", "AKm"),
            ("zhslxgE$", "g$lshzxE"),
            ("KEAn", "AnKE"),
            ("KEnm", "nKEm"),
        ] {
            let events = KeyspaceEvents::parse(text).expect("letters that there are");
            assert_eq!(events.to_string(), printed);
            assert_eq!(KeyspaceEvents::parse(printed), Some(events));
        }
        assert_eq!(KeyspaceEvents::parse("Kq"), None);
    }

    #[test]
    fn without_a_kind_of_channel_nobody_is_told() {
        assert!(!KeyspaceEvents::parse("Am").expect("letters").is_on());
        assert!(KeyspaceEvents::parse("K").expect("letters").is_on());
    }
}
