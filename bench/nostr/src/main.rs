//! A Nostr relay as others build one, and a signer for whoever puts load on it.
//!
//! In: `serve FOLDER` (the address in BENCH_ADDRESS), or `sign` with lines `RECIPIENT CONTENT` on standard input.
//! Out: `serve` answers on its port until it is killed, its store is nostr-lmdb, which syncs each commit; `sign` answers
//! each line with an `EVENT` of kind 1059, signed by a key of its own.

use nostr_lmdb::NostrLMDB;
use nostr_relay_builder::prelude::*;
use std::error::Error;
use std::io::{BufRead, Write};
use std::net::SocketAddr;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", folder] => serve(folder),
        ["sign"] => sign(),
        _ => Err("serve FOLDER or sign".into()),
    }
}

#[tokio::main]
async fn serve(folder: &str) -> Result<()> {
    let address: SocketAddr = std::env::var("BENCH_ADDRESS")?.parse()?;
    let database = NostrLMDB::open(folder)?;
    let limit = RateLimit {
        max_reqs: 100_000,
        notes_per_minute: u32::MAX,
    };
    let builder = RelayBuilder::default()
        .addr(address.ip())
        .port(address.port())
        .database(database)
        .rate_limit(limit);
    let relay = LocalRelay::new(builder);
    relay.run().await?;
    std::future::pending().await
}

fn sign() -> Result<()> {
    let (keys, mut out) = (Keys::generate(), std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (recipient, content) = line.split_once(' ').ok_or("a line is RECIPIENT CONTENT")?;
        let event = EventBuilder::new(Kind::GiftWrap, content)
            .tag(Tag::parse(["p", recipient])?)
            .sign_with_keys(&keys)?;
        writeln!(out, "[\"EVENT\",{}]", event.as_json())?;
        out.flush()?;
    }
    Ok(())
}
