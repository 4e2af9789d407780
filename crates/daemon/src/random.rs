//! Bytes from the system's generator, for tokens and for seeding core's dice.

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    // A messenger without randomness must not run: every key would be guessable.
    getrandom::fill(&mut out).expect("the system gives random bytes");
    out
}
