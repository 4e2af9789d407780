//! b2: one message under way for each of 64 clients: the time from a put to its acknowledgement, p50 and p99.

use anyhow::Result;

use crate::Scale;
use crate::load::{CLIENTS, compare};
use crate::report::Row;

pub(crate) fn measure(scale: Scale) -> Result<Vec<Row>> {
    let compared = compare(scale, 1)?;
    let name = |which: &str| format!("b2 put to ack {which}, {CLIENTS} clients, window 1");
    let mut rows = compared.rows(&name("p50"), "ms", |outcome| outcome.p50_ms);
    rows.extend(compared.rows(&name("p99"), "ms", |outcome| outcome.p99_ms));
    Ok(rows)
}
