//! Metrics in Prometheus' text format: what the last run of a command of a source did.
//!
//! `docs/metrics.md` documents every metric, and a test compares the two. One run of one command of one
//! source makes one [`Set`]: a group of the push gateway, a file of the node exporter. A set replaces, metric
//! by metric, what was there before ([`merged`], as the push gateway does at a POST): what a failed run does
//! not know stays as the last good run left it.

mod collect;
mod format;
pub mod names;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use collect::{backup, drill, promises, prune, run, status, verify};
pub use format::{merged, path_segment};
pub use names::Metric;

/// Labels of a sample: names and values.
pub type Labels = Vec<(&'static str, String)>;

/// Metrics with their samples. They come out in the order of their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Set {
    metrics: BTreeMap<Metric, Vec<(Labels, f64)>>,
}

impl Set {
    /// Adds a sample without labels of its own.
    pub fn add(&mut self, metric: Metric, value: f64) {
        self.add_with(metric, Vec::new(), value);
    }

    /// Adds a sample with the labels that its metric has.
    pub fn add_with(&mut self, metric: Metric, labels: Labels, value: f64) {
        self.metrics.entry(metric).or_default().push((labels, value));
    }

    /// Takes over what the other has; its samples replace those of the same metric.
    pub fn take(&mut self, other: Set) {
        self.metrics.extend(other.metrics);
    }

    /// The text, with these labels on every sample (none for a push gateway, which has them in its path).
    pub fn text(&self, group: &[(&str, &str)]) -> String {
        let mut text = String::new();
        for (metric, samples) in &self.metrics {
            format::family(&mut text, metric, samples, group);
        }
        text
    }
}
