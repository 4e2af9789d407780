//! The routes to a relay: one for each secret that lets somebody in.

use stonechat_wire::ids::RelayId;
use stonechat_wire::route::RelayRoute;

use crate::listen::AccessChoice;

/// All routes; an open relay has one, without a secret.
pub fn all(address: &str, relay: RelayId, access: AccessChoice, secrets: &[[u8; 16]]) -> Vec<RelayRoute> {
    let route = |secret| RelayRoute {
        address: address.to_owned(),
        relay,
        secret,
    };
    match access {
        AccessChoice::Open => vec![route(None)],
        AccessChoice::Secret => secrets.iter().map(|secret| route(Some(*secret))).collect(),
    }
}
