//! What a benchmark says: its value, its peer's, and how busy the machine was.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// One measured thing beside its peer. Smaller is better, and so is a smaller ratio.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// Unit of both values.
    pub(crate) unit: &'static str,
    /// What Stonechat takes.
    pub(crate) ours: f64,
    /// The same work in its simplest form.
    pub(crate) peer: &'static str,
    /// What that takes.
    pub(crate) peer_value: f64,
    /// How often each was measured.
    pub(crate) runs: usize,
}

impl Row {
    /// As it is printed and written.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "ours": self.ours, "peer": self.peer, "peer_value": self.peer_value,
            "ratio": self.ours / self.peer_value, "runs": self.runs, "load": load(),
        })
    }
}

/// Writes `rows` to `NAME.json` in `folder`.
///
/// Errors: the folder or file cannot be written.
pub(crate) fn write(folder: &Path, name: &str, rows: &[Row]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_vec_pretty(&rows)?).with_context(|| format!("writing {}", path.display()))
}

/// Runs `step` `runs` times and returns each duration, shortest first.
///
/// Errors: those of `step`.
pub(crate) fn time(runs: usize, mut step: impl FnMut() -> Result<()>) -> Result<Vec<Duration>> {
    let mut durations = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        step()?;
        durations.push(began.elapsed());
    }
    durations.sort();
    Ok(durations)
}

/// The duration that `percent` of the sorted `durations` do not exceed; nothing for none.
pub(crate) fn percentile(durations: &[Duration], percent: usize) -> Duration {
    let last = durations.len().saturating_sub(1);
    durations.get(last * percent / 100).copied().unwrap_or_default()
}

/// Processes that wanted to run during the last minute, on average; 0 where the system does not say.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_sorted_durations() {
        let durations: Vec<Duration> = (0..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&durations, 50), Duration::from_millis(50));
        assert_eq!(percentile(&durations, 99), Duration::from_millis(99));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn a_row_is_written_with_its_ratio() {
        let row = Row {
            name: "a".to_owned(),
            unit: "ms",
            ours: 3.0,
            peer: "b",
            peer_value: 2.0,
            runs: 5,
        };
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "x", &[row]).unwrap();
        let text = fs::read_to_string(folder.path().join("x.json")).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["ratio"], 1.5);
    }
}
