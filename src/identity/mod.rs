//! Users, organizations, members and sign-in.

use crate::{
    app::App,
    error::Result,
    kit::scope::{RequestInfo, Scope},
};
use std::sync::Arc;

/// Turns an access token into who asks. UNAUTHENTICATED with a reason otherwise; never silently a stranger.
pub async fn authenticate(_app: &Arc<App>, _token: &str, _request: RequestInfo) -> Result<Scope> {
    todo!()
}

/// Whether the session behind a scope still stands; asked every second for open sockets. UNAUTHENTICATED
/// (EXPIRED, REVOKED) when it does not.
pub async fn recheck(_scope: &Scope) -> Result<()> {
    todo!()
}
pub mod member;
pub use member::{Member, MemberFilter, MemberListFilter, MemberOrder};
pub struct User;
