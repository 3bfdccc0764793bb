//! The embedded PostgreSQL.
use crate::error::Result;
use std::path::PathBuf;
pub struct EmbeddedOptions {
    pub data_dir: PathBuf,
}
pub struct Postgres {}
impl Postgres {
    pub async fn start(_options: &EmbeddedOptions) -> Result<Self> {
        todo!()
    }
    pub fn find() -> Result<String> {
        todo!()
    }
    pub fn url(&self) -> &str {
        todo!()
    }
    pub async fn stop(self) -> Result<()> {
        todo!()
    }
}
