//! The committed vectors are what the code makes, and the fuzzers' corpora are survived.

#[path = "../../../fuzz/src/targets.rs"]
mod targets;
#[path = "../examples/vectors/make.rs"]
mod vectors;

use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

// proves: ENV-1, ENV-3, EPH-1, MBX-1, MBX-3, MBX-6, MSG-5, RLY-1, FACE-1, FACE-2, INV-3, INV-4, INV-5, RTE-1, CARD-1
#[test]
fn the_committed_vectors_are_what_the_code_makes() {
    for (name, made) in vectors::all() {
        let path = repository().join("docs/protocol/vectors").join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let committed: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(
            vectors::sorted(committed),
            vectors::sorted(made),
            "{name}: see `cargo xtask vectors`"
        );
    }
}

#[test]
fn the_corpora_hold_their_seeds() {
    for (target, name, bytes) in vectors::corpora() {
        let path = repository().join("fuzz/corpus").join(target).join(&name);
        let committed = std::fs::read(&path).unwrap_or_default();
        let message = "run `cargo run -p stonechat-wire --example vectors -- docs/protocol/vectors fuzz/corpus`";
        assert!(committed == bytes, "{target}/{name}: {message}");
    }
}

/// A target of the fuzzer.
type Target = fn(&[u8]);

#[test]
fn every_committed_corpus_is_survived() {
    let all: [(&str, Target); 3] = [
        ("envelope", targets::envelope),
        ("frames", targets::frames),
        ("meeting", targets::meeting),
    ];
    for (name, target) in all {
        let folder = repository().join("fuzz/corpus").join(name);
        let files = std::fs::read_dir(&folder).expect("the corpus is committed");
        let inputs: Vec<_> = files
            .map(|file| std::fs::read(file.expect("readable").path()).expect("readable"))
            .collect();
        inputs.iter().for_each(|input| target(input));
        assert!(inputs.len() >= 5, "{name} has {} inputs", inputs.len());
    }
}
