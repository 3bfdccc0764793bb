//! Users, organizations, members and sign-in.

mod access;
mod email_change;
mod email_verification;
mod input;
pub mod mails;
pub mod member;
mod organization;
mod own_sessions;
mod password_change;
mod password_reset;
mod profile;
pub mod purge;
mod register;
mod role;
mod session;
mod sign_in;
mod step_up;
mod user;
mod user_token;
mod viewer;

pub use access::{authenticate, recheck};
pub use member::{Member, MemberFilter, MemberListFilter, MemberOrder};
pub use organization::Organization;
pub use password_reset::MailPasswordReset;
pub use profile::CopyProfile;
pub use role::permissions;
pub use session::SessionTokens;
pub use user::User;
pub use viewer::{Permission, Viewer};

use async_graphql::MergedObject;

/// The wing's queries.
#[derive(MergedObject, Default)]
pub struct IdentityQuery(viewer::ViewerQuery, member::MemberQuery, own_sessions::OwnSessionQuery);

/// The wing's mutations.
#[derive(MergedObject, Default)]
pub struct IdentityMutation(
    register::RegisterMutation,
    sign_in::SignInMutation,
    password_change::PasswordChangeMutation,
    own_sessions::OwnSessionMutation,
    email_verification::EmailVerificationMutation,
    email_change::EmailChangeMutation,
    password_reset::PasswordResetMutation,
    profile::ProfileMutation,
    step_up::StepUpMutation,
);
