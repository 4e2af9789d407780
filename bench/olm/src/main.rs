//! What vodozemac takes for a text of 30 bytes: Olm between two, Megolm in a group. In memory, with nothing around it: no
//! disk, no order, no receipts, and no protection against quantum computers.
//!
//! Out: rows as those of `stonechat-bench`, one JSON object a line.

use std::error::Error;
use std::time::Instant;
use vodozemac::megolm::{self, GroupSession, InboundGroupSession};
use vodozemac::olm::{Account, OlmMessage, SessionConfig};

const TEXT: &[u8] = b"thirty bytes of ordinary words";
const TEXTS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    olm()?;
    megolm()
}

fn olm() -> Result<(), Box<dyn Error>> {
    let (ana, mut bo) = (Account::new(), Account::new());
    bo.generate_one_time_keys(1);
    let key = *bo.one_time_keys().values().next().ok_or("no key")?;
    let mut to = ana.create_outbound_session(SessionConfig::version_1(), bo.curve25519_key(), key)?;
    let OlmMessage::PreKey(first) = to.encrypt(TEXT)? else {
        return Err("no first message".into());
    };
    let mut from = bo
        .create_inbound_session(SessionConfig::version_1(), ana.curve25519_key(), &first)?
        .session;
    to.decrypt(&from.encrypt(TEXT)?)?;
    let (mut written, mut read, mut bytes) = (vec![], vec![], 0);
    for _ in 0..TEXTS {
        let began = Instant::now();
        let message = to.encrypt(TEXT)?;
        written.push(began.elapsed());
        bytes = message.to_parts().1.len();
        let began = Instant::now();
        from.decrypt(&message)?;
        read.push(began.elapsed());
    }
    row("vodozemac Olm: a text of 30 bytes, encrypted", bytes, written);
    row("vodozemac Olm: a text of 30 bytes, decrypted", bytes, read);
    Ok(())
}

fn megolm() -> Result<(), Box<dyn Error>> {
    let config = megolm::SessionConfig::version_1();
    let mut to = GroupSession::new(config);
    let mut from = InboundGroupSession::new(&to.session_key(), config);
    let (mut written, mut read, mut bytes) = (vec![], vec![], 0);
    for _ in 0..TEXTS {
        let began = Instant::now();
        let message = to.encrypt(TEXT);
        written.push(began.elapsed());
        bytes = message.to_bytes().len();
        let began = Instant::now();
        from.decrypt(&message)?;
        read.push(began.elapsed());
    }
    row("vodozemac Megolm: a text of 30 bytes, encrypted", bytes, written);
    row("vodozemac Megolm: a text of 30 bytes, decrypted", bytes, read);
    Ok(())
}

fn row(name: &str, bytes: usize, mut times: Vec<std::time::Duration>) {
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let ms = median.as_secs_f64() * 1e3;
    println!(
        r#"{{"name": "{name} ({bytes} B)", "unit": "ms", "ours": {ms:.5}, "peer": "none: this is the peer", "peer_value": null, "ratio": null, "runs": {TEXTS}}}"#
    );
}
