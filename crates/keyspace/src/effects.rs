//! The effects of one command, encoded as they are applied.

use crate::effect::Effect;
use crate::keyspace::Keyspace;

/// A reusable buffer of encoded effects: what one command, or one transaction, changed.
#[derive(Default)]
pub struct Effects {
    /// The encodings, back to back; what [`crate::apply_effects`] takes.
    pub bytes: Vec<u8>,
    /// How many effects `bytes` holds.
    pub count: usize,
}

impl Effects {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets the effects, keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Changes the keyspace, and remembers the change.
    ///
    /// # Panics
    /// If the effect does not fit the keyspace: whoever records has read the key before.
    pub fn record(&mut self, keyspace: &mut Keyspace, effect: &Effect<'_>) {
        effect.encode(&mut self.bytes);
        self.count += 1;
        keyspace.apply(effect).expect("a command records only effects that fit what it has read");
    }

    /// The effects, in the order in which they happened.
    pub fn iter(&self) -> impl Iterator<Item = Effect<'_>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (effect, after) = (!rest.is_empty())
                .then(|| Effect::decode(rest).expect("only encoded effects were appended"))?;
            rest = after;
            Some(effect)
        })
    }
}
