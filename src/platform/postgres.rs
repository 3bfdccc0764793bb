//! Stand-in.
use crate::{config::Config, error::Result};
pub struct Postgres {}
impl Postgres {
    pub async fn given_or_embedded(_config: &Config) -> Result<(Option<Self>, String)> {
        todo!()
    }
    pub fn find(_config: &Config) -> Result<String> {
        todo!()
    }
    pub async fn stop(self) {
        todo!()
    }
}
