//! How a setting's text is read, and what it is bounded by.

use crate::bad_setting::Why;
use crate::keyspace_events::KeyspaceEvents;
use crate::memory;
use crate::output_limit::OutputLimits;
use crate::percentiles::Percentiles;
use crate::tls_protocols::TlsProtocols;
use crate::value::Value;

/// Where a setting takes it, no number.
pub const NEVER: &str = "never";

/// A day: no wait of a node's is meant to be longer.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Number {
        unit: Unit,
        range: Range,
    },
    /// A number, or the word `never`.
    NumberOrNever {
        unit: Unit,
        range: Range,
    },
    Word(&'static [&'static str]),
    Text(Form),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Port,
    Bytes,
    /// Bytes, with Redis' units if one likes: `4gb`.
    Memory,
    Us,
    Ms,
    Seconds,
    /// Of things, which the setting's name tells.
    Count,
}

/// Both ends included. Each says what is lost past it; below 0 there is nothing, and `below` is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub least: u64,
    pub below: &'static str,
    pub most: u64,
    pub above: &'static str,
}

/// What a text is. Whether a machine has the address or the directory is found out where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Directory,
    IpAddress,
    Host,
    /// Separated by spaces, without ports.
    Hosts,
    /// Never shown, except to a client that gave it.
    Password,
    LogFilter,
    /// [`OutputLimits`].
    OutputLimits,
    /// [`KeyspaceEvents`].
    KeyspaceEvents,
    File,
    /// A [`TlsProtocols`].
    TlsProtocols,
    /// A [`Percentiles`].
    Percentiles,
    /// Elements, or -1 to -5 for bytes: 4 KiB, and twice as many each.
    ListpackSize,
}

impl Kind {
    pub(crate) const fn number(unit: Unit, range: Range) -> Kind {
        Kind::Number { unit, range }
    }

    /// # Errors
    /// Says what is expected, and the bound with what is lost past it.
    pub(crate) fn parse(self, text: &str, default: &'static str) -> Result<Value, Why> {
        match self {
            Kind::Number { unit, range } => {
                number(text, unit, range, default)?.ok_or(Why::NotANumber { unit, or_never: false })
            }
            Kind::NumberOrNever { unit: _, range: _ } if text == NEVER => Ok(Value::Never),
            Kind::NumberOrNever { unit, range } => {
                number(text, unit, range, default)?.ok_or(Why::NotANumber { unit, or_never: true })
            }
            Kind::Word(words) => match words.iter().find(|word| **word == text) {
                Some(word) => Ok(Value::Word(word)),
                None => Err(Why::NotAWord { words }),
            },
            Kind::Text(Form::OutputLimits) => match OutputLimits::parse(text) {
                Some(limits) => Ok(Value::Text(limits.to_string())),
                None => Err(Why::Unfit(
                    "`normal <hard bytes> <soft bytes> <soft seconds>` is expected, the same after `pubsub`, or both",
                )),
            },
            Kind::Text(Form::KeyspaceEvents) => match KeyspaceEvents::parse(text) {
                Some(events) => Ok(Value::Text(events.to_string())),
                None => Err(Why::Unfit("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")),
            },
            Kind::Text(Form::Hosts) if text.contains([',', '/', ':']) => {
                Err(Why::Unfit("names are expected, separated by spaces, without scheme and port"))
            }
            Kind::Text(Form::Hosts) => {
                Ok(Value::Text(text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
            }
            Kind::Text(Form::TlsProtocols) => match TlsProtocols::parse(text) {
                Some(protocols) => Ok(Value::Text(protocols.to_string())),
                None => {
                    Err(Why::Unfit("`TLSv1.2`, `TLSv1.3` or both are expected; older ones are not spoken"))
                }
            },
            Kind::Text(Form::Percentiles) => match Percentiles::parse(text) {
                Some(percentiles) => Ok(Value::Text(percentiles.to_string())),
                None => Err(Why::Unfit("numbers from 0 to 100 are expected, separated by spaces")),
            },
            Kind::Text(Form::ListpackSize) => match text.parse::<i32>() {
                Ok(size) if size > 0 || (-5..0).contains(&size) => Ok(Value::Text(size.to_string())),
                Ok(_) | Err(_) => Err(Why::Unfit("a number above 0 is expected, or one of -5 to -1")),
            },
            Kind::Text(
                Form::Directory
                | Form::IpAddress
                | Form::Host
                | Form::Password
                | Form::LogFilter
                | Form::File,
            ) => Ok(Value::Text(text.to_owned())),
        }
    }

    pub fn range(self) -> Option<Range> {
        match self {
            Kind::Number { unit: _, range } | Kind::NumberOrNever { unit: _, range } => Some(range),
            Kind::Word(_) | Kind::Text(_) => None,
        }
    }

    /// What stands for the value in a synopsis.
    pub fn placeholder(self) -> &'static str {
        match self {
            Kind::Number { unit, .. } | Kind::NumberOrNever { unit, .. } => match unit {
                Unit::Port => "PORT",
                Unit::Bytes | Unit::Memory => "BYTES",
                Unit::Us => "US",
                Unit::Ms => "MS",
                Unit::Seconds => "S",
                Unit::Count => "N",
            },
            Kind::Word(_) => "WORD",
            Kind::Text(Form::Directory) => "DIR",
            Kind::Text(Form::IpAddress) => "IP",
            Kind::Text(Form::Host) => "HOST",
            Kind::Text(Form::Hosts) => "HOSTS",
            Kind::Text(Form::Password) => "PASSWORD",
            Kind::Text(Form::LogFilter) => "FILTER",
            Kind::Text(Form::OutputLimits) => "LIMITS",
            Kind::Text(Form::KeyspaceEvents) => "LETTERS",
            Kind::Text(Form::File) => "FILE",
            Kind::Text(Form::TlsProtocols) => "VERSIONS",
            Kind::Text(Form::Percentiles) => "PERCENTILES",
            Kind::Text(Form::ListpackSize) => "N",
        }
    }

    /// May its number be text that ends in a unit?
    pub fn takes_units(self) -> bool {
        match self {
            Kind::Number { unit, .. } | Kind::NumberOrNever { unit, .. } => unit == Unit::Memory,
            Kind::Word(_) | Kind::Text(_) => false,
        }
    }

    /// Is it a number wherever types are told apart, in TOML say?
    pub fn is_number(self) -> bool {
        match self {
            Kind::Number { .. } | Kind::NumberOrNever { .. } => true,
            Kind::Word(_) | Kind::Text(_) => false,
        }
    }

    pub fn is_secret(self) -> bool {
        match self {
            Kind::Text(Form::Password) => true,
            Kind::Text(
                Form::Directory
                | Form::IpAddress
                | Form::Host
                | Form::Hosts
                | Form::LogFilter
                | Form::OutputLimits
                | Form::KeyspaceEvents
                | Form::File
                | Form::TlsProtocols
                | Form::Percentiles
                | Form::ListpackSize,
            )
            | Kind::Number { .. }
            | Kind::NumberOrNever { .. }
            | Kind::Word(_) => false,
        }
    }
}

impl Unit {
    /// Follows "a whole number".
    pub(crate) fn of(self) -> &'static str {
        match self {
            Unit::Port | Unit::Count => "",
            Unit::Bytes => " of bytes",
            Unit::Memory => " of bytes, or of `kb`, `mb` or `gb`,",
            Unit::Us => " of microseconds",
            Unit::Ms => " of milliseconds",
            Unit::Seconds => " of seconds",
        }
    }
}

/// Digits, as every setting prints itself: no sign, and a unit only where there are several. `None` for anything else.
fn number(text: &str, unit: Unit, range: Range, default: &'static str) -> Result<Option<Value>, Why> {
    let (digits, factor) = match unit {
        Unit::Memory => match memory::split(text) {
            Some(parts) => parts,
            None => return Ok(None),
        },
        Unit::Port | Unit::Bytes | Unit::Us | Unit::Ms | Unit::Seconds | Unit::Count => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // What overflows is above every bound.
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(number) if number < range.least => {
            Err(Why::Below { least: range.least, lost: range.below, default })
        }
        Some(number) if number <= range.most => Ok(Some(Value::Number(number))),
        Some(_) | None => Err(Why::Above { most: range.most, lost: range.above, default }),
    }
}
