//! How much may be put: by source, and by access secret. Both are token buckets of bytes, in memory only.
//!
//! In: who puts how much, and when. Out: go on, or how long to wait. A source is a network of addresses; it is known
//! as long as its bucket is not full again, which is minutes. A secret's bucket is a day deep. Nothing here is written
//! down: a relay cannot say tomorrow who put how much today.

use std::hash::Hash;

use stonechat_wire::ids::Timestamp;

use crate::forgetful::{Blank, ForgetfulMap};

/// A network of addresses that share a bucket: IPv4 by its first 24 bits, IPv6 by its first 48.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source([u8; 6]);

impl Blank for Source {
    const BLANK: Self = Self([0; 6]);
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source(..)")
    }
}

impl Source {
    /// The source of an address.
    pub fn of(address: std::net::IpAddr) -> Self {
        match address.to_canonical() {
            std::net::IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self([a, b, c, 0, 0, 0])
            }
            std::net::IpAddr::V6(address) => {
                let [a, b, c, d, e, f, ..] = address.octets();
                match [a, b] {
                    // 6to4 (RFC 3056): an IPv4 address is a whole network of these.
                    [0x20, 0x02] => Self([c, d, e, 0, 0, 0]),
                    _ => Self([a, b, c, d, e, f]),
                }
            }
        }
    }
}

impl Source {
    /// Its six bytes, for choosing a hand of a deck (PUB-3).
    pub(crate) const fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }
}

/// How fast a bucket fills, and how far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) bytes_per_s: u64,
    pub(crate) bytes_max: u64,
}

/// What is left of a bucket. It is never looked at but together with the time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    bytes: u64,
    at: Timestamp,
}

impl Rate {
    fn full(self, now: Timestamp) -> Bucket {
        Bucket {
            bytes: self.bytes_max,
            at: now,
        }
    }

    /// What is in a bucket by `now`. A clock that went back fills nothing and takes nothing.
    fn filled(self, bucket: Bucket, now: Timestamp) -> Bucket {
        let more = self.bytes_per_s.saturating_mul(now.since_ms(bucket.at)) / 1000;
        Bucket {
            bytes: bucket.bytes.saturating_add(more).min(self.bytes_max),
            at: now,
        }
    }

    /// How long until `bytes` are in it, in ms; at most until it is full.
    fn wait_ms(self, bucket: Bucket, bytes: u64) -> u64 {
        let missing = bytes.min(self.bytes_max).saturating_sub(bucket.bytes);
        missing.saturating_mul(1000).div_ceil(self.bytes_per_s.max(1))
    }
}

/// Buckets by key; one that is full again is forgotten.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: Rate,
    keys_max: usize,
    buckets: ForgetfulMap<K, Bucket>,
}

impl<K: Hash + Eq + Copy + Blank> Buckets<K> {
    pub(crate) fn new(rate: Rate, keys_max: usize) -> Self {
        let buckets = ForgetfulMap::default();
        Self {
            rate,
            keys_max,
            buckets,
        }
    }

    /// Takes bytes out of a key's bucket. Errors: too little is in it; how long to wait, in ms.
    ///
    /// A put larger than the bucket is taken out of a full one: it could never be put otherwise.
    pub(crate) fn take(&mut self, key: K, bytes: u64, now: Timestamp) -> Result<(), u64> {
        let rate = self.rate;
        if !self.buckets.contains_key(&key) && self.buckets.len() >= self.keys_max {
            self.forget_full(now);
        }
        let bucket = match self.buckets.get(&key) {
            Some(bucket) => rate.filled(*bucket, now),
            // So many are known that nobody new comes in until one of them has had its pause.
            None if self.buckets.len() >= self.keys_max => {
                return Err(rate.wait_ms(Bucket { bytes: 0, at: now }, bytes));
            }
            None => rate.full(now),
        };
        let wait_ms = rate.wait_ms(bucket, bytes);
        let clock_went_back = self.buckets.get(&key).is_some_and(|before| before.at > now);
        if wait_ms > 0 {
            // Who asks too early changes nothing, or asking would cost what trickles in.
            if clock_went_back {
                self.buckets.insert(key, bucket);
            }
            return Err(wait_ms);
        }
        let left = bucket.bytes.saturating_sub(bytes);
        self.buckets.insert(key, Bucket { bytes: left, at: now });
        Ok(())
    }

    /// Gives back what was taken and then not put.
    pub(crate) fn give_back(&mut self, key: K, bytes: u64) {
        if let Some(bucket) = self.buckets.get_mut(&key) {
            bucket.bytes = bucket.bytes.saturating_add(bytes).min(self.rate.bytes_max);
        }
    }

    /// Forgets the buckets that are full again.
    pub(crate) fn forget_full(&mut self, now: Timestamp) {
        let rate = self.rate;
        self.buckets
            .retain(|_, bucket| rate.filled(*bucket, now).bytes < rate.bytes_max);
    }

    /// What is left in a key's bucket, and how deep it is.
    pub(crate) fn left(&self, key: &K, now: Timestamp) -> (u64, u64) {
        let bucket = self
            .buckets
            .get(key)
            .map_or_else(|| self.rate.full(now), |bucket| self.rate.filled(*bucket, now));
        (bucket.bytes, self.rate.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        bytes_per_s: 100,
        bytes_max: 1000,
    };

    fn at(ms: u64) -> Timestamp {
        Timestamp(1_000_000 + ms)
    }

    #[test]
    fn a_bucket_empties_and_fills_again_rly_37() {
        let mut buckets = Buckets::<u16>::new(RATE, 10);
        assert_eq!(buckets.take(1, 900, at(0)), Ok(()));
        assert_eq!(buckets.take(1, 300, at(0)), Err(2000));
        assert_eq!(buckets.take(2, 300, at(0)), Ok(()), "another's is its own");
        assert_eq!(buckets.take(1, 300, at(1999)), Err(10));
        assert_eq!(buckets.take(1, 300, at(2000)), Ok(()));
        assert_eq!(buckets.take(1, 5000, at(2000)), Err(10_000), "until it is full");
        assert_eq!(buckets.take(1, 5000, at(12_000)), Ok(()));
        buckets.give_back(1, 400);
        assert_eq!(buckets.left(&1, at(12_000)), (400, 1000));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_rly_37() {
        let mut buckets = Buckets::<u16>::new(RATE, 10);
        assert_eq!(buckets.take(1, 1000, at(5000)), Ok(()));
        assert_eq!(buckets.take(1, 1, at(0)), Err(10));
        assert_eq!(buckets.take(1, 1, at(10)), Ok(()));
    }

    #[test]
    fn known_sources_are_few_and_forgotten_when_full_rly_33() {
        let mut buckets = Buckets::<u16>::new(RATE, 3);
        (0..3).for_each(|key| assert_eq!(buckets.take(key, 100, at(0)), Ok(())));
        assert_eq!(buckets.take(9, 100, at(0)), Err(1000));
        assert_eq!(buckets.buckets.len(), 3);
        assert_eq!(buckets.take(9, 100, at(1000)), Ok(()));
        assert_eq!(buckets.buckets.len(), 1);
    }

    #[test]
    fn neighbours_share_a_source() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.200"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::2"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    }
}
