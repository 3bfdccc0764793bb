//! What is left to be done for the others when a member cannot sign in any more, or can again, or becomes a guest or is one no
//! more. Who does it are wings above, which know what members look after.

use crate::platform::jobs::Job;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Gives what nobody in an organization can look after any more to somebody who can.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandOn {
    pub organization: Uuid,
}

impl Job for HandOn {
    const KIND: &'static str = "hand_on";
}
