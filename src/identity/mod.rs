//! Users, organizations, members and sign-in.

mod access;
mod input;
pub mod invitation;
mod invitation_accept;
pub mod mails;
pub mod member;
mod organization;
pub mod organization_end;
mod organization_update;
mod password_change;
pub mod purge;
mod register;
mod role;
mod session;
mod sign_in;
mod staff;
mod user;
mod viewer;

pub use access::{authenticate, recheck};
pub use member::{Member, MemberFilter, MemberListFilter, MemberOrder};
pub use organization::Organization;
pub use role::permissions;
pub use session::SessionTokens;
pub use user::User;
pub use viewer::{Permission, Viewer};

use async_graphql::MergedObject;

/// The wing's queries.
#[derive(MergedObject, Default)]
pub struct IdentityQuery(
    viewer::ViewerQuery,
    member::MemberQuery,
    invitation::InvitationQuery,
    invitation_accept::InvitationPreviewQuery,
);

/// The wing's mutations.
#[derive(MergedObject, Default)]
pub struct IdentityMutation(
    register::RegisterMutation,
    sign_in::SignInMutation,
    password_change::PasswordChangeMutation,
    staff::StaffMutation,
    organization_update::OrganizationUpdateMutation,
    organization_end::OrganizationEndMutation,
    invitation::InvitationMutation,
    invitation_accept::InvitationAcceptMutation,
);
