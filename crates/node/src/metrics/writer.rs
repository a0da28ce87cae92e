//! Metric families out of values that are already there.

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;

pub(super) struct Writer<'a> {
    encoder: DescriptorEncoder<'a>,
}

/// A family's name without prefix and unit, what it means, and its unit.
pub(super) struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub unit: Option<Unit>,
}

/// A family whose numbers are counts or states.
pub(super) fn plain(name: &'static str, help: &'static str) -> Family {
    Family { name, help, unit: None }
}

pub(super) fn bytes(name: &'static str, help: &'static str) -> Family {
    Family { name, help, unit: Some(Unit::Bytes) }
}

pub(super) fn seconds(name: &'static str, help: &'static str) -> Family {
    Family { name, help, unit: Some(Unit::Seconds) }
}

impl<'a> Writer<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder }
    }

    pub(super) fn gauge(&mut self, family: &Family, value: impl EncodeGaugeValue + Copy) -> fmt::Result {
        let Family { name, help, unit } = family;
        self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    }

    /// One gauge for each label set. A family without any is still described.
    pub(super) fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        family: &Family,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let Family { name, help, unit } = family;
        let mut to = self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in values {
            to.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// 1 for the state that holds, 0 for the others: sums and alerts need no text.
    pub(super) fn states(
        &mut self,
        family: &Family,
        label: &'static str,
        states: &[&'static str],
        holds: &str,
    ) -> fmt::Result {
        self.gauges(family, states.iter().map(|state| ([(label, *state)], u64::from(*state == holds))))
    }

    pub(super) fn counter(&mut self, family: &Family, value: impl EncodeCounterValue + Copy) -> fmt::Result {
        let Family { name, help, unit } = family;
        let mut to = self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        to.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    pub(super) fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        family: &Family,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let Family { name, help, unit } = family;
        let mut to = self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (labels, value) in values {
            to.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    /// A text that describes: the gauge is always 1.
    pub(super) fn info<L: EncodeLabelSet>(
        &mut self,
        family: &Family,
        labels: impl IntoIterator<Item = L>,
    ) -> fmt::Result {
        let Family { name, help, unit } = family;
        let mut to = self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Info)?;
        for labels in labels {
            to.encode_info(&labels)?;
        }
        Ok(())
    }

    /// A histogram for each label set over `observed`, with `bounds` as the buckets' upper ends.
    pub(super) fn histograms<L: EncodeLabelSet>(
        &mut self,
        family: &Family,
        bounds: &[f64],
        observed: impl IntoIterator<Item = (L, Vec<f64>)>,
    ) -> fmt::Result {
        let Family { name, help, unit } = family;
        let mut to = self.encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        for (labels, values) in observed {
            let buckets = buckets(bounds, &values);
            // Not `sum()`: of nothing it is -0.
            let sum = values.iter().fold(0.0, |sum, value| sum + value);
            let count = values.len() as u64;
            to.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// How many of `values` fall into each bucket; the last one has no upper end. Not cumulative.
fn buckets(bounds: &[f64], values: &[f64]) -> Vec<(f64, u64)> {
    let mut buckets: Vec<_> = bounds.iter().chain([&f64::INFINITY]).map(|bound| (*bound, 0)).collect();
    for value in values {
        if let Some((_, count)) = buckets.iter_mut().find(|(bound, _)| value <= bound) {
            *count += 1;
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_below_it() {
        let expected = vec![(1.0, 2), (2.0, 0), (f64::INFINITY, 1)];
        assert_eq!(buckets(&[1.0, 2.0], &[0.5, 1.0, 2.5]), expected);
    }
}
