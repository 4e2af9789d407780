//! What a row says, and how busy the machine was when it was measured.

use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// One measured thing beside a peer. `ratio` is ours divided by the peer's.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) peer: String,
    pub(crate) peer_value: f64,
    pub(crate) runs: usize,
}

impl Row {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "ours": self.ours, "peer": self.peer, "peer_value": self.peer_value,
            "ratio": self.ours / self.peer_value, "runs": self.runs, "load": load(),
        })
    }
}

/// Writes all rows for whoever makes a page of them.
pub(crate) fn write(rows: &[Row]) -> Result<()> {
    fs::create_dir_all("target/bench")?;
    let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
    fs::write(Path::new("target/bench/relay.json"), serde_json::to_vec_pretty(&rows)?)?;
    Ok(())
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Processes that wanted to run during the last minute, on average.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(f64::NAN)
}
