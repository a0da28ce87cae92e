//! The effects of one command, encoded as they are applied.

use crate::effect::Effect;
use crate::events::Events;
use crate::keyspace::Keyspace;
use ironcache_types::Level;

/// A larger buffer is given back after use: what it takes to get one again is nothing beside filling it.
const KEEP_BYTES: usize = 1 << 20;

/// A reusable buffer of encoded effects: what one command, or one transaction, changed.
pub struct Effects {
    /// The encodings, back to back; what [`crate::apply_effects`] takes.
    pub bytes: Vec<u8>,
    /// How many effects `bytes` holds.
    pub count: usize,
    level: Level,
    /// How many of `bytes` those who keep keys were told of.
    told: usize,
    /// What clients are told of it.
    pub events: Events,
}

impl Effects {
    /// A buffer of effects that are written at `level`.
    pub fn at(level: Level) -> Self {
        Effects { bytes: Vec::new(), count: 0, level, told: 0, events: Events::default() }
    }

    /// At which the effects are written.
    pub fn level(&self) -> Level {
        self.level
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets the effects, keeps the buffer unless it is large.
    pub fn clear(&mut self) {
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.count = 0;
        self.told = 0;
    }

    /// Forgets the effects, and writes those that follow at `level`: one frame is of one level.
    pub fn restart_at(&mut self, level: Level) {
        self.clear();
        self.level = level;
    }

    /// Changes the keyspace, and remembers the change.
    ///
    /// # Panics
    /// If the effect does not fit the keyspace: whoever records has read the key before. If the level does not have
    /// the effect: whoever executes has refused the command.
    pub fn record(&mut self, keyspace: &mut Keyspace, effect: &Effect<'_>) {
        self.append(effect);
        keyspace.apply(effect).expect("a command records only effects that fit what it has read");
    }

    /// Remembers a change that was applied already. A large one becomes several that do the same: whoever applies them
    /// can say how far it is.
    ///
    /// # Panics
    /// If the level does not have the effect.
    pub fn append(&mut self, effect: &Effect<'_>) {
        effect.parts(|part| {
            part.encode(self.level, &mut self.bytes)
                .expect("a command that needs a higher level was refused before it executed");
            self.count += 1;
        });
    }

    /// The effects, in the order in which they happened.
    pub fn iter(&self) -> impl Iterator<Item = Effect<'_>> {
        self.from(0)
    }

    /// Those that came after the last call of [`Effects::all_told`].
    pub fn untold(&self) -> impl Iterator<Item = Effect<'_>> {
        self.from(self.told)
    }

    /// Those who keep keys were told of all.
    pub fn all_told(&mut self) {
        self.told = self.bytes.len();
    }

    fn from(&self, at: usize) -> impl Iterator<Item = Effect<'_>> {
        let mut rest = self.bytes.get(at..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (effect, after) = (!rest.is_empty())
                .then(|| Effect::decode(rest, self.level).expect("only encoded effects were appended"))?;
            rest = after;
            Some(effect)
        })
    }
}
