//! The devices of the account: linking another one, the list, removal.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Parameters of `Command::DeviceLink`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DeviceLinkWish {
    /// What this device is called from now on, 1 to 64 bytes.
    pub name: String,
}

/// A link for one more device.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DeviceLink {
    /// `stone:d...`
    pub link: String,
    /// Not after.
    pub expires_at: u64,
}

impl core::fmt::Debug for DeviceLink {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DeviceLink { .. }")
    }
}

/// Parameters of `Command::DeviceAccept`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DeviceAccept {
    /// `stone:d...`
    pub link: String,
    /// What this device is called, 1 to 64 bytes.
    pub name: String,
}

impl core::fmt::Debug for DeviceAccept {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DeviceAccept { .. }")
    }
}

/// Parameters of `Command::DeviceConfirm`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DeviceConfirm {
    /// The six digits that the new device shows.
    pub number: String,
}

impl core::fmt::Debug for DeviceConfirm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DeviceConfirm { .. }")
    }
}

/// Where linking stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum LinkState {
    /// Home device: nobody has asked yet.
    Open,
    /// Home device: a new device asks; type the number that it shows.
    Asked,
    /// Home device: let in; it has not answered yet.
    Granted,
    /// Home device: the new device is there.
    Done,
    /// Home device: closed by wrong numbers, or because two devices asked.
    Closed,
    /// Home device: nobody took it up in time.
    Expired,
    /// New device: the home device has not answered yet.
    Asking,
    /// New device: shows the number to type on the home device.
    Showing,
    /// New device: it is one of the account's.
    Linked,
}

/// The last link of this device, on either side.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Linking {
    /// Where it stands.
    pub state: LinkState,
    /// The link, while it is open.
    pub link: Option<String>,
    /// Of the link.
    pub expires_at: Option<u64>,
    /// What the new device is called.
    pub name: Option<String>,
    /// Numbers typed that were not its.
    pub wrong: u32,
    /// New device: the number to type on the home device.
    pub number: Option<String>,
}

impl core::fmt::Debug for Linking {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Linking({:?})", self.state)
    }
}

/// A device of this account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Hex.
    pub id: String,
    /// What it is called; empty where nobody has said.
    pub name: String,
    /// This one.
    pub this: bool,
    /// It holds the recovery words, and links and removes others.
    pub home: bool,
    /// Since when, Unix milliseconds.
    pub added_at: u64,
}

/// The devices of this account, and the last link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Devices {
    /// Live ones, oldest first.
    pub devices: Vec<Device>,
    /// The last link, on either side.
    pub linking: Option<Linking>,
}
