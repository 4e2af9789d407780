//! The routes to a relay: one for each secret that lets somebody in.

use stonechat_wire::address::{self, Around};
use stonechat_wire::ids::RelayId;
use stonechat_wire::route::RelayRoute;

use crate::listen::AccessChoice;

/// The address of a relay that speaks TLS, whether it says so already or not.
pub fn inside_tls(address: &str) -> String {
    match address::split(address).0 {
        Around::Plain => address::inside_tls(address),
        Around::Tls => address.to_owned(),
    }
}

/// All routes; an open relay has one, without a secret.
pub fn all(address: &str, relay: RelayId, access: AccessChoice, secrets: &[[u8; 16]]) -> Vec<RelayRoute> {
    let route = |secret| RelayRoute {
        address: address.to_owned(),
        relay,
        secret,
        lan: false,
    };
    match access {
        AccessChoice::Open => vec![route(None)],
        AccessChoice::Secret => secrets.iter().map(|secret| route(Some(*secret))).collect(),
    }
}
