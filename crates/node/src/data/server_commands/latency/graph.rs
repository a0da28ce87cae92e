//! LATENCY GRAPH: samples as columns of characters, with how long ago each was below it.

use super::super::super::statistics::{Sample, Samples};

/// Samples side by side, and lines one above another: a terminal's width, and what Redis draws.
const COLUMNS: usize = 80;
const ROWS: u64 = 4;
/// What a cell holds for each third of it that is filled.
const FILLED: [char; 3] = ['_', 'o', '#'];

pub(super) fn draw(event: &str, samples: &Samples, now_s: u64) -> String {
    let shown: Vec<Sample> = samples.iter().rev().take(COLUMNS).collect();
    let shown: Vec<Sample> = shown.into_iter().rev().collect();
    let of = |take: fn(u64, u64) -> u64| shown.iter().map(|sample| sample.ms).reduce(take).unwrap_or(0);
    let (low, high) = (of(u64::min), of(u64::max));
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        samples.ms_max,
        "-".repeat(COLUMNS)
    );
    let levels = ROWS * FILLED.len() as u64;
    // The lowest is one level high: it is there.
    let level = |ms: u64| (ms - low) * (levels - 1) / (high - low).max(1) + 1;
    for row in (0..ROWS).rev() {
        let below = row * FILLED.len() as u64;
        text.extend(shown.iter().map(|sample| match level(sample.ms).saturating_sub(below) {
            0 => ' ',
            filled => FILLED[(filled as usize).min(FILLED.len()) - 1],
        }));
        text.push('\n');
    }
    // How long ago, from top to bottom.
    let labels: Vec<Vec<char>> =
        shown.iter().map(|sample| ago(now_s.saturating_sub(sample.at_s)).chars().collect()).collect();
    for line in 0..labels.iter().map(Vec::len).max().unwrap_or(0) {
        text.push('\n');
        text.extend(labels.iter().map(|label| label.get(line).copied().unwrap_or(' ')));
    }
    text + "\n"
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::statistics::{Event, Statistics};
    use super::*;
    use crate::config::Config;
    use expect_test::expect;

    #[test]
    fn the_highest_fills_its_column_and_the_lowest_is_seen() {
        let mut events = Statistics::new(&Config::default()).events;
        for (at_s, ms) in [(1_000, 10), (4_000, 20), (4_595, 15), (4_600, 30)] {
            events.add(Event::Command, Sample { at_s, ms });
        }
        let drawn = draw("command", events.of(Event::Command).unwrap(), 4_600);
        let lines: Vec<&str> =
            drawn.lines().map(str::trim_end).filter(|line| !line.starts_with('-')).collect();
        expect![[r#"
            command - high 30 ms, low 10 ms (all time high 30 ms)
               #
               #
             # #
            _###

            1150
            h0ss
             m"#]]
        .assert_eq(&lines.join("\n"));
    }
}
