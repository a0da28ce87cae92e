//! Integers of any width in a string. Source of the overflow rules: `bitops.c` of redis 7.

use crate::arg;
use crate::bits;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::{Effect, EventClass};
use ironcache_resp::parse_integer;

type Outcome = Result<(), CommandError>;

/// The type of an integer: `i1` to `i64`, `u1` to `u63`.
#[derive(Clone, Copy)]
struct Encoding {
    signed: bool,
    bits: u32,
}

impl Encoding {
    fn parse(arg: &[u8]) -> Result<Self, CommandError> {
        let (signed, width) = match arg {
            [b'i', width @ ..] => (true, width),
            [b'u', width @ ..] => (false, width),
            _ => return Err(CommandError::BitfieldType),
        };
        let max = if signed { 64 } else { 63 };
        let bits = parse_integer(width).filter(|bits| (1..=max).contains(bits));
        let bits = bits.ok_or(CommandError::BitfieldType)?;
        Ok(Encoding { signed, bits: bits as u32 })
    }

    /// The least and the most that it holds. An `i128` holds every sum of two of them.
    fn range(self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// What is nearest to a number that is set. Redis computes the room above it in 64 bits; where that overflows, a very
    /// small number is taken for a very large one.
    fn nearest_to_set(self, number: i128) -> i128 {
        let (min, max) = self.range();
        let overflows = self.signed && self.bits < 64 && max - number > i128::from(i64::MAX);
        if overflows { max } else { number.clamp(min, max) }
    }

    /// What the lowest bits of a number are, as this type reads them.
    fn wrap(self, number: i128) -> i128 {
        let low = number & ((1_i128 << self.bits) - 1);
        if self.signed && low >> (self.bits - 1) == 1 { low - (1 << self.bits) } else { low }
    }
}

/// What happens to a number that does not fit.
#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    /// Nothing is written, and the answer is null.
    Fail,
}

impl Overflow {
    fn parse(arg: &[u8]) -> Result<Self, CommandError> {
        [("wrap", Overflow::Wrap), ("sat", Overflow::Saturate), ("fail", Overflow::Fail)]
            .into_iter()
            .find_map(|(name, overflow)| arg::is(arg, name).then_some(overflow))
            .ok_or(CommandError::BitfieldOverflow)
    }

    fn fit(self, number: i128, encoding: Encoding) -> Option<i128> {
        let (min, max) = encoding.range();
        match self {
            _ if (min..=max).contains(&number) => Some(number),
            Overflow::Wrap => Some(encoding.wrap(number)),
            Overflow::Saturate => Some(number.clamp(min, max)),
            Overflow::Fail => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set { to: i64, overflow: Overflow },
    Increment { by: i64, overflow: Overflow },
}

#[derive(Clone, Copy)]
struct Operation {
    encoding: Encoding,
    /// Of its first bit.
    offset: usize,
    action: Action,
}

impl Operation {
    fn parse_all(mut args: &[&[u8]]) -> Result<Vec<Self>, CommandError> {
        let (mut operations, mut overflow) = (Vec::new(), Overflow::Wrap);
        while let [name, rest @ ..] = args {
            args = match rest {
                [encoding, offset, rest @ ..] if arg::is(name, "get") => {
                    operations.push(Operation::at(encoding, offset, Action::Get)?);
                    rest
                }
                [encoding, offset, value, rest @ ..] if arg::is(name, "set") || arg::is(name, "incrby") => {
                    let place = Operation::at(encoding, offset, Action::Get)?;
                    let value = arg::integer(value)?;
                    let action = if arg::is(name, "set") {
                        Action::Set { to: value, overflow }
                    } else {
                        Action::Increment { by: value, overflow }
                    };
                    operations.push(Operation { action, ..place });
                    rest
                }
                [wanted, rest @ ..] if arg::is(name, "overflow") => {
                    overflow = Overflow::parse(wanted)?;
                    rest
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        Ok(operations)
    }

    /// An offset with `#` counts in integers of the type.
    fn at(encoding: &[u8], offset: &[u8], action: Action) -> Result<Self, CommandError> {
        let encoding = Encoding::parse(encoding)?;
        let offset = match offset {
            [b'#', index @ ..] => {
                let index = parse_integer(index).ok_or(CommandError::BitOffset)?;
                let offset = index.wrapping_mul(i64::from(encoding.bits));
                bits::offset(itoa::Buffer::new().format(offset).as_bytes())?
            }
            offset => bits::offset(offset)?,
        };
        Ok(Operation { encoding, offset, action })
    }

    fn is_write(&self) -> bool {
        match self.action {
            Action::Get => false,
            Action::Set { .. } | Action::Increment { .. } => true,
        }
    }

    fn last_byte(&self) -> usize {
        (self.offset + self.encoding.bits as usize - 1) / 8
    }

    /// How far the number's last bit is from the end of its last byte.
    fn shift(&self) -> u32 {
        ((self.last_byte() + 1) * 8 - self.offset) as u32 - self.encoding.bits
    }

    /// The bytes that hold the number, as one; what the string lacks is zero. At most nine bytes.
    fn window(&self, text: &[u8]) -> u128 {
        (self.offset / 8..=self.last_byte())
            .fold(0, |window, at| window << 8 | u128::from(text.get(at).copied().unwrap_or(0)))
    }

    fn read(&self, text: &[u8]) -> i128 {
        self.encoding.wrap((self.window(text) >> self.shift()) as i128)
    }

    /// The bytes that hold the number, with this one in its place.
    fn written(&self, text: &[u8], number: i128) -> Vec<u8> {
        let mask = (1_u128 << self.encoding.bits) - 1;
        let window = self.window(text) & !(mask << self.shift()) | (number as u128 & mask) << self.shift();
        let bytes = self.last_byte() - self.offset / 8 + 1;
        window.to_be_bytes()[16 - bytes..].to_vec()
    }
}

pub(crate) fn bitfield(call: &mut Call<'_>) -> Outcome {
    let operations = Operation::parse_all(&call.args[2..])?;
    run(call, &operations)
}

pub(crate) fn bitfield_ro(call: &mut Call<'_>) -> Outcome {
    let operations = Operation::parse_all(&call.args[2..])?;
    if operations.iter().any(Operation::is_write) {
        return Err(CommandError::BitfieldReadOnly);
    }
    run(call, &operations)
}

fn run(call: &mut Call<'_>, operations: &[Operation]) -> Outcome {
    let key = call.args[1];
    let len = call.db.read::<[u8]>(key)?.map(<[u8]>::len);
    if !operations.iter().any(Operation::is_write) {
        call.db.was_read();
    }
    // A write makes room for the furthest one first, whether or not it then fails.
    let writes = operations.iter().filter(|operation| operation.is_write());
    let mut differs = false;
    if let Some(last) = writes.map(Operation::last_byte).max()
        && len.is_none_or(|len| len <= last)
    {
        differs = true;
        call.db.record(Effect::SetRange { key, offset: last as u64, value: &[0] });
    }
    let mut writes = false;
    call.reply.array(operations.len());
    for operation in operations {
        let text = call.db.again::<[u8]>(key).unwrap_or_default();
        let old = operation.read(text);
        let (new, answer) = match operation.action {
            Action::Get => (None, Some(old)),
            Action::Set { to, overflow } => {
                // To an unsigned type a negative number is a very large one.
                let to = if operation.encoding.signed { i128::from(to) } else { i128::from(to as u64) };
                let new = match overflow {
                    Overflow::Saturate => Some(operation.encoding.nearest_to_set(to)),
                    Overflow::Wrap | Overflow::Fail => overflow.fit(to, operation.encoding),
                };
                (new, new.map(|_| old))
            }
            Action::Increment { by, overflow } => {
                let new = overflow.fit(old + i128::from(by), operation.encoding);
                (new, new)
            }
        };
        if let Some(new) = new.filter(|new| *new != old) {
            let value = operation.written(text, new);
            differs = true;
            call.db.record(Effect::SetRange { key, offset: operation.offset as u64 / 8, value: &value });
        }
        writes |= operation.is_write() && answer.is_some();
        match answer {
            Some(number) => call.reply.int(number as i64),
            None => call.reply.null(),
        }
    }
    // Of room alone, where every write failed, nobody is told.
    if differs && writes {
        call.did(EventClass::String, "setbit", key);
    }
    Ok(())
}
