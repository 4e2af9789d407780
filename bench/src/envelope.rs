//! Sealing and opening one 256-byte envelope, beside the bare cipher on as many bytes.

use crate::row::{self, Row};
use anyhow::{Context as _, Result};
use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use std::hint::black_box;
use stonechat_wire::envelope::{self, EnvelopeKey};
use stonechat_wire::ids::Tag;

const RUNS: usize = 5_000;

/// Median of one seal and one open, in microseconds.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let content = [0x5a; 200];
    let key = EnvelopeKey::new([7; 32]);
    let ours = row::time(RUNS, || {
        let sealed = envelope::seal(&key, Tag::from_bytes([1; 16]), [2; 16], black_box(&content))?;
        black_box(envelope::open(&key, &sealed)?);
        Ok(())
    })?;
    let cipher = ChaCha20Poly1305::new(&Key::from([7; 32]));
    let nonce = Nonce::from([2; 12]);
    let peer = row::time(RUNS, || {
        let sealed = cipher
            .encrypt(&nonce, black_box(content.as_slice()))
            .ok()
            .context("sealing")?;
        black_box(cipher.decrypt(&nonce, sealed.as_slice()).ok().context("opening")?);
        Ok(())
    })?;
    Ok(vec![Row {
        name: "envelope seal + open p50".to_owned(),
        unit: "µs",
        ours: row::percentile(&ours, 50).as_secs_f64() * 1e6,
        peer: "ChaCha20-Poly1305 alone on 200 bytes",
        peer_value: row::percentile(&peer, 50).as_secs_f64() * 1e6,
        runs: RUNS,
    }])
}
