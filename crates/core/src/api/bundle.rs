//! Bundles: what waits, in a file that a person carries.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A place in a bundle that is being made. The first page is asked for without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct BundlePlace {
    /// Which of its parts.
    pub stage: u8,
    /// After which entry of it.
    pub after: i64,
}

/// Parameters of `Command::BundleExport`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct BundleExport {
    /// Where the page before ended.
    #[serde(default)]
    pub from: Option<BundlePlace>,
}

/// Items of a bundle, one after the other (BDL-1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct BundlePage {
    /// The items, base64.
    pub data: String,
    /// How many.
    pub items: u32,
    /// Where the next page begins; none: this was the last one.
    pub next: Option<BundlePlace>,
}

/// Parameters of `Command::BundleImport`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct BundleImport {
    /// A page of items, base64.
    pub data: String,
}

impl core::fmt::Debug for BundleImport {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BundleImport").finish_non_exhaustive()
    }
}

/// What became of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct BundleTaken {
    /// Items that were for this device, and new.
    pub taken: u32,
    /// Items that it had, or had made.
    pub known: u32,
    /// Items for others, and what does not open.
    pub others: u32,
}
