//! A Welcome for one: of the secrets that a commit seals to all who come, each gets its own.
//!
//! In: the Welcome that OpenMLS made for all, and one key package. Out: the same Welcome with that one's secrets only
//! (RFC 9420, 12.4.3.1: each newcomer looks for its own and ignores the others), whole or without what all have in common.

use super::{MlsError, Provider, decode_key_package};
use openmls::prelude::{KeyPackageBundle, KeyPackageRef};
use openmls_traits::storage::StorageProvider as _;
use tls_codec::{DeserializeBytes as _, Serialize as _, VLByteSlice, VLBytes};

/// Version, wire format, suite.
const HEAD: usize = 6;
const REFUSED: MlsError = MlsError::Refused("own welcome");

/// The Welcome for whoever made `package`. Errors: it is not for that one, or no Welcome.
pub(crate) fn welcome_for(p: &Provider<'_>, welcome: &[u8], package: &[u8]) -> Result<Vec<u8>, MlsError> {
    let (own, common) = split_for(p, welcome, package)?;
    Ok([own.as_slice(), common].concat())
}

/// The same in two: what only that one needs, and the encrypted group info, which is the same for all who come. The
/// secrets are sealed over the info: put together with another one they do not open (RFC 9420, 12.4.3.1).
pub(crate) fn split_for<'w>(
    p: &Provider<'_>,
    welcome: &'w [u8],
    package: &[u8],
) -> Result<(Vec<u8>, &'w [u8]), MlsError> {
    let package = decode_key_package(p, package)?;
    let reference = package.hash_ref(&p.crypto).map_err(|_| REFUSED)?;
    let (head, rest) = welcome.split_at_checked(HEAD).ok_or(REFUSED)?;
    let (secrets, rest) = VLBytes::tls_deserialize_bytes(rest).map_err(|_| REFUSED)?;
    let mut left = secrets.as_slice();
    while !left.is_empty() {
        let (whose, after) = VLBytes::tls_deserialize_bytes(left).map_err(|_| REFUSED)?;
        let after = skip(skip(after)?)?;
        if whose.as_slice() == reference.as_slice() {
            let len = left.len() - after.len();
            let own = VLByteSlice(left.get(..len).ok_or(REFUSED)?);
            let own = own.tls_serialize_detached().map_err(|_| REFUSED)?;
            return Ok(([head, &own].concat(), rest));
        }
        left = after;
    }
    Err(REFUSED)
}

/// Whether the secrets of a Welcome without its common part are sealed to a key package of mine that is still here.
pub(crate) fn is_mine(p: &Provider<'_>, own: &[u8]) -> Result<bool, MlsError> {
    let (_head, rest) = own.split_at_checked(HEAD).ok_or(REFUSED)?;
    let (secrets, _end) = VLBytes::tls_deserialize_bytes(rest).map_err(|_| REFUSED)?;
    let (reference, _sealed) = KeyPackageRef::tls_deserialize_bytes(secrets.as_slice()).map_err(|_| REFUSED)?;
    let bundle: Option<KeyPackageBundle> = p.rows.key_package(&reference)?;
    Ok(bundle.is_some())
}

fn skip(bytes: &[u8]) -> Result<&[u8], MlsError> {
    let (_skipped, after) = VLBytes::tls_deserialize_bytes(bytes).map_err(|_| REFUSED)?;
    Ok(after)
}
