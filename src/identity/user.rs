//! Users: people who can sign in, whatever organizations they belong to. What others in an organization see of them
//! is the member.

use super::{
    avatar,
    organization::{Key, Settings},
};
use crate::kit::scalars::{DateTime, JsonObject};
use async_graphql::{ComplexObject, Context, ID, SimpleObject};
use chrono::Utc;
use diesel::{
    pg::Pg,
    prelude::*,
    sql_types::{Array, Binary, Nullable, Timestamptz},
};

/// A person who can sign in. Only that person sees it.
#[derive(Queryable, Selectable, SimpleObject, Clone, Debug)]
#[diesel(table_name = crate::schema::users, check_for_backend(diesel::pg::Pg))]
#[graphql(complex)]
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
    /// Whether signing in takes a code of an authenticator as well as the password.
    #[diesel(column_name = totp_confirmed_at, deserialize_as = Since)]
    pub two_factor_enabled: bool,
    /// Recovery codes that were not used yet, of ten; 0 without two-factor sign-in.
    #[diesel(column_name = recovery_hashes, deserialize_as = Hashes)]
    pub recovery_codes_left: i32,
    /// When it was made.
    pub created_at: DateTime,
    /// When it was last changed.
    pub updated_at: DateTime,
    #[graphql(skip)]
    pub avatar: Option<String>,
}

#[ComplexObject]
impl User {
    /// Where to fetch the person's picture, by GET and without headers: a square of 256 pixels, JPEG, or PNG where one can
    /// see through it. Resolve it against the address of the API (`new URL(url, endpoint)`). It stays the same for an hour,
    /// so that browsers keep what they fetched, and is good for one to two. Null: there is none.
    async fn avatar_url(&self, ctx: &Context<'_>) -> Option<String> {
        avatar::url(ctx, self.id.parse().ok()?, self.avatar.as_deref())
    }
}

/// Since when something is so; null: it is not.
pub struct Since(bool);

impl From<Since> for bool {
    fn from(since: Since) -> bool {
        since.0
    }
}

impl Queryable<Nullable<Timestamptz>, Pg> for Since {
    type Row = Option<chrono::DateTime<Utc>>;

    fn build(since: Self::Row) -> diesel::deserialize::Result<Self> {
        Ok(Since(since.is_some()))
    }
}

/// Hashes of which only the number leaves this file.
pub struct Hashes(i32);

impl From<Hashes> for i32 {
    fn from(hashes: Hashes) -> i32 {
        hashes.0
    }
}

impl Queryable<Array<Nullable<Binary>>, Pg> for Hashes {
    type Row = Vec<Option<Vec<u8>>>;

    fn build(hashes: Self::Row) -> diesel::deserialize::Result<Self> {
        Ok(Hashes(i32::try_from(hashes.len())?))
    }
}
