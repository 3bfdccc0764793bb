//! stub
use super::scope::Reach;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Account,
    Contact,
    Lead,
    Member,
    Organization,
    Conversation,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Read,
    Create,
    Update,
    Delete,
    Purge,
    Assign,
    Convert,
    Export,
    Import,
    Manage,
}
#[derive(Clone, Copy, Debug)]
pub struct Permissions;
impl Permissions {
    pub fn reach(&self, _r: Resource, _a: Action) -> Option<Reach> {
        Some(Reach::All)
    }
}
