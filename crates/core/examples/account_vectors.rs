//! Writes core's vectors into the folder it is given: `cargo xtask vectors`.

use std::path::Path;
use std::{env, fs};

use serde_json::{Value, json};
use stonechat_core::account::{Keys, RootSeed, device_id, spoken_words};
use stonechat_core::safety::{self, Person};

fn main() -> std::io::Result<()> {
    let folder = env::args().nth(1).expect("the folder to write to");
    let text = serde_json::to_string_pretty(&account()).expect("JSON is text");
    fs::write(Path::new(&folder).join("account.json"), text + "\n")
}

fn account() -> Value {
    let seeds: [[u8; 32]; 3] = [
        [0; 32],
        [0xff; 32],
        std::array::from_fn(|i| u8::try_from(i).unwrap_or(0)),
    ];
    let [low, high, _] = seeds.map(|seed| person(&RootSeed::from_bytes(seed)));
    json!({
        "accounts": seeds.map(account_of).to_vec(),
        "devices": [{"ed25519": hex::encode([7; 32]), "device_id": hex::encode(device_id(&[7; 32]).as_bytes())}],
        "spoken": [{"dice": "000100020803", "words": spoken_words([0, 1, 0, 2, 8, 3])}],
        "safety": [{
            "one": hex::encode(low.account.as_bytes()),
            "other": hex::encode(high.account.as_bytes()),
            "number": safety::number(&low, &high).to_vec(),
            "code": safety::code(&low, &high).to_text(),
        }],
    })
}

fn account_of(seed: [u8; 32]) -> Value {
    let root = RootSeed::from_bytes(seed);
    let keys = Keys::of(&root);
    json!({
        "seed": hex::encode(seed),
        "words": root.to_words().join(" "),
        "ed25519_public": hex::encode(keys.ed25519_public()),
        "mldsa_hash": hex::encode(keys.mldsa_hash()),
        "account_id": hex::encode(keys.id().as_bytes()),
    })
}

fn person(seed: &RootSeed) -> Person {
    let keys = Keys::of(seed);
    Person {
        account: keys.id(),
        ed25519: keys.ed25519_public(),
    }
}
