//! Stand-in.
use crate::error::Result;
pub struct Migration {
    pub name: String,
    pub applied: bool,
}
pub async fn up(_url: &str) -> Result<()> {
    todo!()
}
pub async fn status(_url: &str) -> Result<Vec<Migration>> {
    todo!()
}
