//! Random bytes for secrets. Invariant: they come from the operating system, or nothing does.

use crate::error::{Error, Result};

/// As many as are wanted.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::ours)?;
    Ok(bytes)
}
