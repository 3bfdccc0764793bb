//! The mails about accounts. Invariant: each says what to do when it was not the person themselves, and none says more
//! than whoever reads the mailbox may know.

use crate::platform::mail::Mail;
use serde::Serialize;

macro_rules! mail {
    ($(#[$doc:meta])* $name:ident, $template:literal, $subject:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Serialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Mail for $name {
            const TEMPLATE: &'static str = $template;

            fn subject(&self) -> String {
                $subject.to_owned()
            }
        }
    };
}

mail! {
    /// Who has registered shows that the address is theirs.
    Welcome, "welcome", "Welcome to Stoa" {
        name: String,
        /// Where the address is confirmed; holds a one-time token.
        link: String,
    }
}
mail! {
    /// A way back in for whoever forgot the password.
    PasswordReset, "password_reset", "Choose a new password" {
        name: String,
        /// Where the password is chosen; holds a one-time token.
        link: String,
        /// How long the link works.
        minutes: u64,
    }
}
mail! {
    /// To an address that is to become that of an account.
    EmailConfirm, "email_confirm", "Confirm your new e-mail address" {
        name: String,
        /// The new address.
        email: String,
        /// Where it is confirmed; holds a one-time token.
        link: String,
        /// How long the link works.
        hours: u64,
    }
}
mail! {
    /// To the old address, after the change.
    EmailChanged, "email_changed", "Your e-mail address was changed" {
        name: String,
        /// The new address.
        email: String,
    }
}
mail! {
    /// To somebody who may not have an account.
    Invitation, "invitation", "You are invited" {
        /// Who invites.
        inviter: String,
        organization: String,
        /// What they will be, in a word.
        role: String,
        /// Where the invitation is accepted; holds a one-time token.
        link: String,
        /// How long it is good.
        days: u64,
    }
}
mail! {
    /// To each owner: the only way back.
    OrganizationDeleted, "organization_deleted", "Your organization was deleted" {
        name: String,
        /// Who has done it.
        deleter: String,
        organization: String,
        /// When all of it is removed for good, in words.
        day: String,
        /// Where it is restored; holds a one-time token.
        link: String,
    }
}
mail! {
    /// Too many wrong passwords or codes.
    AccountLocked, "account_locked", "Your account is locked for now" {
        name: String,
        minutes: u64,
    }
}
mail! {
    /// A device that was not seen before.
    NewSignIn, "new_sign_in", "A new sign-in to your account" {
        name: String,
        /// In words, with its time zone.
        at: String,
        address: String,
        device: String,
    }
}
mail! {
    /// A session was ended because its key was used twice.
    RefreshReused, "refresh_reused", "A session was ended for safety" {
        name: String,
        organization: String,
    }
}
mail! {
    /// Two-factor sign-in was switched on or off.
    TwoFactorChanged, "two_factor_changed", "Your sign-in was changed" {
        name: String,
        /// Whether it is on now.
        enabled: bool,
    }
}
mail! {
    /// Somebody may sign in by a provider from now on.
    IdentityLinked, "identity_linked", "Another way to sign in to your account" {
        name: String,
        /// As people know it.
        provider: String,
    }
}
mail! {
    /// The password is another one.
    PasswordChanged, "password_changed", "Your password was changed" {
        name: String,
    }
}
