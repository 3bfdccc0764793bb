//! Users: people who can sign in, whatever organizations they belong to. What others in an organization see of them
//! is the member.

use super::organization::{Key, Settings};
use crate::kit::scalars::{DateTime, JsonObject};
use async_graphql::{ID, SimpleObject};
use diesel::prelude::*;

/// A person who can sign in. Only that person sees it.
#[derive(Queryable, Selectable, SimpleObject, Clone, Debug)]
#[diesel(table_name = crate::schema::users, check_for_backend(diesel::pg::Pg))]
pub struct User {
    /// Never changes.
    #[diesel(deserialize_as = Key)]
    pub id: ID,
    /// What the person signs in with, in lower case.
    pub email: String,
    /// As people write it.
    pub full_name: String,
    /// Where to call; null: nowhere.
    pub phone: Option<String>,
    /// The language of mails and messages: a tag of BCP 47 such as `de` or `pt-BR`.
    pub locale: String,
    /// Where the person is: a name of the IANA database such as `Europe/Berlin`.
    pub time_zone: String,
    /// What a front end remembers of the person.
    #[diesel(deserialize_as = Settings)]
    pub settings: JsonObject,
    /// When the address was shown to be the person's; null: not yet.
    pub email_verified_at: Option<DateTime>,
    /// The latest sign-in, in whatever organization.
    pub last_login_at: Option<DateTime>,
    /// When it was made.
    pub created_at: DateTime,
    /// When it was last changed.
    pub updated_at: DateTime,
}
