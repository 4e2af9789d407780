//! What a short text weighs on the wire.

use crate::pair::Pair;
use crate::row::Row;
use anyhow::Result;

const TEXT: &str = "thirty bytes of ordinary words";

/// Bytes of the one envelope that carries a text of 30 bytes with one parent.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let mut pair = Pair::met(folder.path())?;
    pair.say(0, "something before")?;
    pair.waiting(1);
    pair.say(0, TEXT)?;
    let envelopes = pair.waiting(1);
    let bytes: usize = envelopes.iter().map(|arrival| arrival.envelope.len()).sum();
    Ok(vec![Row {
        name: format!(
            "a text of {} bytes on the wire ({} envelope)",
            TEXT.len(),
            envelopes.len()
        ),
        unit: "B",
        ours: f64::from(u32::try_from(bytes)?),
        peer: "SimpleX's block (its specification; not run here)",
        peer_value: 16_384.0,
        runs: 1,
    }])
}
