//! Stand-in.
use crate::error::Result;
pub struct Outcome {}
pub struct Migration {
    pub name: String,
    pub state: MigrationState,
}
#[derive(PartialEq)]
pub enum MigrationState {
    Applied,
    Pending,
    Unknown,
}
pub async fn up(_url: &str) -> Result<Outcome> {
    todo!()
}
pub async fn status(_url: &str) -> Result<Vec<Migration>> {
    todo!()
}
