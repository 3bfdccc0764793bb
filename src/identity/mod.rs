//! Users, organizations, members and sign-in.

mod access;
pub mod administration;
pub mod api_key;
mod api_key_access;
mod api_key_change;
pub mod arrival;
pub mod audit;
pub mod avatar;
pub mod custom_role;
mod device;
mod door;
mod email_change;
mod email_verification;
pub mod grants;
mod input;
pub mod invitation;
mod invitation_accept;
mod login_complete;
pub mod mails;
pub mod member;
pub mod message_retention;
mod oidc;
mod organization;
pub mod organization_end;
mod organization_update;
mod own_sessions;
mod password_change;
mod password_reset;
pub mod picture;
pub mod presence;
mod profile;
pub mod purge;
mod register;
mod role;
mod role_catalogue;
mod role_change;
mod second_factor;
mod session;
mod sign_in;
mod sign_in_log;
mod staff;
mod step_up;
mod succession;
pub mod team;
pub mod team_member;
mod totp;
mod two_factor;
mod user;
mod user_token;
mod viewer;

pub use access::{as_of_now, authenticate, recheck, resume, watch};
pub use api_key_access::allow_operation;
pub use member::{Member, MemberFilter, MemberListFilter, MemberOrder};
pub use organization::Organization;
pub use password_reset::MailPasswordReset;
pub use profile::CopyProfile;
pub use role::permissions;
pub use session::SessionTokens;
pub use succession::HandOn;
pub use user::User;
pub use viewer::{Permission, Viewer};

use async_graphql::MergedObject;

/// The wing's queries.
#[derive(MergedObject, Default)]
pub struct IdentityQuery(
    viewer::ViewerQuery,
    member::MemberQuery,
    own_sessions::OwnSessionQuery,
    sign_in_log::SignInLogQuery,
    invitation::InvitationQuery,
    api_key::ApiKeyQuery,
    invitation_accept::InvitationPreviewQuery,
    oidc::SignInProviderQuery,
    role_catalogue::RoleQuery,
    team::TeamQuery,
);

/// The wing's mutations.
#[derive(MergedObject, Default)]
pub struct IdentityMutation(EntranceMutation, OwnAccountMutation, OrganizationMutation);

/// Getting in and staying in.
#[derive(MergedObject, Default)]
pub struct EntranceMutation(
    register::RegisterMutation,
    sign_in::SignInMutation,
    login_complete::LoginCompleteMutation,
    own_sessions::OwnSessionMutation,
    step_up::StepUpMutation,
    password_reset::PasswordResetMutation,
    invitation_accept::InvitationAcceptMutation,
    oidc::OidcMutation,
);

/// What a person changes of their own account.
#[derive(MergedObject, Default)]
pub struct OwnAccountMutation(
    password_change::PasswordChangeMutation,
    two_factor::TwoFactorMutation,
    email_verification::EmailVerificationMutation,
    email_change::EmailChangeMutation,
    profile::ProfileMutation,
    presence::PresenceMutation,
    api_key::ApiKeyMutation,
    oidc::OidcLinkMutation,
);

/// What is changed for others: the organization, its members and what they may.
#[derive(MergedObject, Default)]
pub struct OrganizationMutation(
    staff::StaffMutation,
    organization_update::OrganizationUpdateMutation,
    organization_end::OrganizationEndMutation,
    invitation::InvitationMutation,
    role_change::RoleMutation,
    team::TeamsMutation,
    team_member::TeamMemberMutation,
);
