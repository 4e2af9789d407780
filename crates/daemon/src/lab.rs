//! Troubles that tests need and nobody can wait for: a wrong clock, a full disk.
//!
//! Only in builds with the feature `lab`, which is never shipped; there the environment says how much of each.
//! `STONECHAT_LAB_CLOCK_MS`: added to the device's clock. `STONECHAT_LAB_PAGES`: room for so many more database pages.

use stonechat_core::store::Store;
use stonechat_wire::ids::Timestamp;

/// What is added to the device's clock.
#[cfg(feature = "lab")]
pub(crate) fn clock_offset_ms() -> i64 {
    static OFFSET: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    *OFFSET.get_or_init(|| variable("STONECHAT_LAB_CLOCK_MS").unwrap_or(0))
}

/// What is added to the device's clock: nothing.
#[cfg(not(feature = "lab"))]
pub(crate) const fn clock_offset_ms() -> i64 {
    0
}

/// A time of the device's clock as the courier, which has the machine's, must read it.
pub(crate) fn by_the_courier(time: Timestamp) -> Timestamp {
    Timestamp(time.0.saturating_sub_signed(clock_offset_ms()))
}

/// Lets the database grow only so far.
#[cfg(feature = "lab")]
pub(crate) fn limit_disk(store: &Store) {
    if let (Some(more), Ok(pages)) = (variable::<u32>("STONECHAT_LAB_PAGES"), store.pages()) {
        let limited = store.limit_pages(pages.saturating_add(more));
        limited.expect("a fresh connection takes a pragma");
    }
}

/// Lets the database grow as the disk does.
#[cfg(not(feature = "lab"))]
pub(crate) const fn limit_disk(_store: &Store) {}

#[cfg(feature = "lab")]
fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}
