//! Histograms for a terminal.

use crate::histogram::Histogram;
use std::fmt;

/// Several named histograms, shown a line each.
#[derive(Debug, Clone)]
pub struct AsciiChart<T = ()> {
    series: Vec<(String, Histogram<T>)>,
}

impl<T> Default for AsciiChart<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> AsciiChart<T> {
    pub fn new() -> Self {
        Self { series: Vec::new() }
    }

    /// One more line.
    pub fn add(mut self, name: &str, histogram: Histogram<T>) -> Self {
        self.series.push((name.to_owned(), histogram));
        self
    }

    /// What is shown.
    pub fn detailed(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            self.series
                .iter()
                .try_for_each(|(name, histogram)| writeln!(f, "{name:>24}: {}", histogram.percentile_stats()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_line_a_series() {
        let mut histogram = Histogram::<()>::new();
        histogram.record(5);
        let chart = AsciiChart::new().add("first", histogram).add("second", Histogram::new());
        let text = chart.detailed().to_string();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("first: [samples: 1, P0.1: 5"), "{text}");
    }
}
