//! Demo organizations.

use crate::{app::App, error::Result};
use std::sync::Arc;

/// Fills an empty database with demo organizations.
pub async fn demo(_app: &Arc<App>) -> Result<()> {
    Ok(())
}
