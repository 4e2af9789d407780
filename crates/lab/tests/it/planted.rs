//! Three bugs, planted on purpose: each must be found, and by the promise that it breaks.

use stonechat_lab::world::Planted;

use crate::seeds::one;

/// Runs seeds until one finds the bug. Out: what was broken.
fn found(planted: Planted, seeds: u64) -> Vec<String> {
    (1..=seeds)
        .map(|seed| one(seed, Some(planted), false).broken)
        .find(|broken| !broken.is_empty())
        .unwrap_or_default()
}

fn says(broken: &[String], what: &str) -> bool {
    broken.iter().any(|line| line.contains(what))
}

#[test]
fn outputs_released_before_the_commit_are_found() {
    let broken = found(Planted::ReceiptBeforeCommit, 20);
    println!("receipt before commit: {broken:#?}");
    assert!(
        says(&broken, "that nobody has") || says(&broken, "is there"),
        "{broken:?}"
    );
}

#[test]
fn a_relay_that_says_stored_before_it_has_synced_is_found() {
    let broken = found(Planted::StoredBeforeSync, 20);
    println!("stored before sync: {broken:#?}");
    assert!(says(&broken, "called stored are gone"), "{broken:?}");
}

#[test]
fn memory_kept_after_a_failed_commit_is_found() {
    let broken = found(Planted::MemoryKept, 40);
    println!("memory kept: {broken:#?}");
    // Memory has used up the key of a text that the database does not have: it cannot be read when it comes again.
    assert!(says(&broken, "after everything was well"), "{broken:?}");
}

#[test]
fn texts_that_are_not_sealed_are_found() {
    let broken = found(Planted::Unsealed, 3);
    assert!(says(&broken, "a relay saw a text or a name"), "{broken:?}");
}
