//! Where doors stand, for connections to look up without asking the service.
//!
//! In: all paths, whenever one of them has changed. Out: whether a door stands at one. A request to a path where none stands
//! must cost what any other one costs: whoever asks the service waits for its disk, and that is seen (RLY-42).

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use stonechat_wire::ids::DoorPath;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors(Arc<RwLock<HashSet<DoorPath>>>);

impl Doors {
    pub(crate) fn stand(&self, path: &DoorPath) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    pub(crate) fn are(&self, paths: HashSet<DoorPath>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = paths;
    }
}
