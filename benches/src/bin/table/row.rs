//! A section of the document: rows of figures.

use std::fmt;

/// A figure's unit, which also says whether more or less of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Milliseconds,
    Mebibytes,
    PerSecond,
    Bytes,
    /// A number of things that should be few.
    Count,
}

/// One measured number, with what belongs to it in words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    pub value: f64,
    pub unit: Unit,
    pub note: Option<String>,
}

impl Figure {
    pub(crate) fn new(value: f64, unit: Unit) -> Self {
        Self { value, unit, note: None }
    }

    pub(crate) fn with_note(self, note: String) -> Self {
        Self { note: Some(note), ..self }
    }

    /// How many times better than `peer`, which has the same unit.
    fn ratio_to(&self, peer: &Figure) -> f64 {
        match self.unit {
            Unit::PerSecond => self.value / peer.value,
            Unit::Nanoseconds | Unit::Milliseconds | Unit::Mebibytes | Unit::Bytes | Unit::Count => {
                peer.value / self.value
            }
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, unit, note } = self;
        match unit {
            Unit::Nanoseconds => write!(f, "{} ns", readable(*value))?,
            Unit::Milliseconds => write!(f, "{} ms", readable(*value))?,
            Unit::Mebibytes => write!(f, "{value:.1} MiB")?,
            Unit::PerSecond => write!(f, "{}/s", thousands(*value))?,
            Unit::Bytes => write!(f, "{} B", thousands(*value))?,
            Unit::Count => write!(f, "{}", thousands(*value))?,
        }
        match note {
            Some(note) => write!(f, " ({note})"),
            None => Ok(()),
        }
    }
}

/// Three digits that say something.
fn readable(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => thousands(value),
    }
}

/// A whole number with a space between thousands.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub what: String,
    pub ours: Figure,
    pub peer: Option<Figure>,
    pub command: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, ours, peer, command } = self;
        let (theirs, ratio) = match peer {
            Some(peer) => (peer.to_string(), format!("{:.2}", ours.ratio_to(peer))),
            None => ("–".to_owned(), "–".to_owned()),
        };
        write!(f, "| {what} | {ours} | {theirs} | {ratio} | `{command}` |")
    }
}

/// One table, with what a reader has to know to read it.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub title: &'static str,
    /// What is compared, how often it was measured, what a figure is.
    pub about: String,
    pub rows: Vec<Row>,
}

impl Section {
    /// `machine` says where and when it was measured.
    pub(crate) fn markdown(&self, machine: &str) -> String {
        let Self { title, about, rows } = self;
        let mut text = format!("## {title}\n\n{about}\n\n{machine}.\n\n");
        text.push_str("| what | ours | peer | ratio | command |\n| --- | --- | --- | --- | --- |\n");
        for row in rows {
            text.push_str(&format!("{row}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, peer: f64, unit: Unit) -> String {
        let figure = |value| Figure::new(value, unit);
        Row { what: "w".to_owned(), ours: figure(ours), peer: Some(figure(peer)), command: "c".to_owned() }
            .to_string()
    }

    #[test]
    fn a_ratio_above_one_is_always_ours_being_better() {
        assert_eq!(row(12.0, 96.0, Unit::Nanoseconds), "| w | 12.0 ns | 96.0 ns | 8.00 | `c` |");
        assert_eq!(row(93_000.0, 31_000.0, Unit::PerSecond), "| w | 93 000/s | 31 000/s | 3.00 | `c` |");
        assert_eq!(row(20.0, 10.0, Unit::Mebibytes), "| w | 20.0 MiB | 10.0 MiB | 0.50 | `c` |");
    }

    #[test]
    fn a_row_without_a_peer_has_dashes() {
        let ours = Figure::new(0.834, Unit::Milliseconds).with_note("p99 2.10".to_owned());
        let row = Row { what: "w".to_owned(), ours, peer: None, command: "c".to_owned() };
        assert_eq!(row.to_string(), "| w | 0.83 ms (p99 2.10) | – | – | `c` |");
    }

    #[test]
    fn thousands_are_apart() {
        let texts: Vec<String> = [0.0, 999.0, 1000.0, 1_234_567.4].map(thousands).to_vec();
        assert_eq!(texts, ["0", "999", "1 000", "1 234 567"]);
    }
}
