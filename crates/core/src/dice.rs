//! Dice: the only source of randomness, handed in by whoever drives core.
//!
//! In: 32 bytes, from the system in the app, from the seed in a world. Out: a ChaCha20 stream.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::fmt;

/// A seedable generator of everything random that core decides.
pub struct Dice(ChaCha20Rng);

impl Dice {
    /// Dice that roll the same for the same seed.
    #[must_use]
    pub fn seeded(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.fill_bytes(&mut out);
        out
    }

    /// Dice of their own for a part of a step.
    pub(crate) fn fork(&mut self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.bytes())
    }
}

impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dice")
    }
}
