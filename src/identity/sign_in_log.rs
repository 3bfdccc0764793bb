//! The sign-in log: who tried to get into an account, from where, and what came of it. Invariant: only attempts whose
//! password was looked at are in it, so that a flood is as thin here as the hashing lets through; nothing in it is
//! written by an attacker at length.

use crate::{
    app::App,
    db_enum,
    error::Result,
    kit::{
        listing::{Listing, Place, Placed, Slice},
        relation::or_null,
        resolve::scope,
        scalars::DateTime,
        scope::{RequestInfo, Scope},
        sql::Sql,
        value::Bind,
    },
    platform::database::Transaction,
    schema::login_attempts,
};
use async_graphql::{Context, Object, SimpleObject};
use chrono::Utc;
use diesel::{prelude::*, sql_types::Integer};
use diesel_async::RunQueryDsl;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Attempts at addresses without an account that are kept at once, and a minute: nobody asks for them but whoever runs
/// the server.
const OF_NOBODY: (u32, u32) = (100, 60);
/// Rows removed in one statement.
const SWEPT: i32 = 1000;

db_enum! {
    /// What came of an attempt to sign in.
    pub enum SignInOutcome, filter SignInOutcomeFilter {
        /// It opened a session.
        SignedIn = "signed_in",
        /// It was refused: the password was wrong, or the account was locked.
        Refused = "refused",
    }
}

/// An attempt to sign in to the viewer's account, or to give its password once more.
#[derive(SimpleObject, Clone, Debug)]
pub struct SignIn {
    /// What came of it.
    outcome: SignInOutcome,
    /// When.
    at: DateTime,
    /// The network address that it came from; null: unknown.
    address: Option<String>,
    /// What the browser or program called itself, at most 256 characters; null: it said nothing.
    user_agent: Option<String>,
    #[graphql(skip)]
    id: Uuid,
}

impl Placed for SignIn {
    const NAME: &'static str = "SignIn";

    fn place(&self) -> Place {
        Place { at: self.at.0, id: self.id }
    }
}

#[derive(Default)]
pub struct SignInLogQuery;

#[Object]
impl SignInLogQuery {
    /// The latest attempts to sign in to the viewer's account, in whatever organization, newest first. They are kept for
    /// 90 days unless this server is set up otherwise. Attempts that were refused without a look at the password, because
    /// there were too many, are not among them.
    ///
    /// Errors: UNAUTHENTICATED; INVALID_CURSOR.
    async fn sign_ins(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many: 0 to 100, 25 unless said otherwise.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to go on.")] after: Option<String>,
    ) -> Option<Listing<SignIn>> {
        or_null(ctx, async { own(scope(ctx)?, first, after.as_deref()).await.map(Some) }).await
    }
}

async fn own(scope: &Scope, first: Option<i32>, after: Option<&str>) -> Result<Listing<SignIn>> {
    let slice = Slice::new::<SignIn>(first, after, None, None)?;
    let mut from = Sql::new(" FROM login_attempts t0 WHERE t0.user_id = ");
    from.bind(Bind::Uuid(Some(scope.actor.user)));
    let columns = "t0.id, t0.outcome, t0.at, t0.address, t0.user_agent";
    let entry = |row: Attempt| SignIn {
        outcome: match row.outcome == SignInOutcome::SignedIn.word() {
            true => SignInOutcome::SignedIn,
            false => SignInOutcome::Refused,
        },
        at: DateTime(row.at),
        address: row.address,
        user_agent: row.user_agent,
        id: row.id,
    };
    slice.read(scope, columns, from, entry).await
}

#[derive(QueryableByName)]
#[diesel(table_name = login_attempts)]
struct Attempt {
    id: Uuid,
    outcome: String,
    at: chrono::DateTime<Utc>,
    address: Option<String>,
    user_agent: Option<String>,
}

/// Notes an attempt, in the transaction of what comes of it. `user`: whose account it is, if there is one.
pub async fn keep(
    app: &App,
    tx: &mut Transaction,
    request: &RequestInfo,
    email: &str,
    user: Option<Uuid>,
    outcome: SignInOutcome,
) -> Result<()> {
    if user.is_none() && app.throttle.take_here("sign-in log", "", OF_NOBODY.0, OF_NOBODY.1).is_err() {
        return Ok(());
    }
    diesel::insert_into(login_attempts::table)
        .values((
            login_attempts::id.eq(Uuid::now_v7()),
            login_attempts::user_id.eq(user),
            login_attempts::email_hash.eq(Sha256::digest(email.to_lowercase()).to_vec()),
            login_attempts::outcome.eq(outcome.word()),
            login_attempts::address.eq(request.address.map(|address| address.to_string())),
            login_attempts::user_agent.eq(request.user_agent.as_deref()),
        ))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes what is older than `identity.sign_in_log_days`; for the hourly upkeep.
pub async fn purge(app: &App) -> Result<()> {
    let days = i32::try_from(app.config.identity.sign_in_log_days).unwrap_or(i32::MAX);
    let mut conn = app.database.of_nobody().await?;
    loop {
        let sweep = diesel::select(purge_login_attempts(days, SWEPT));
        let gone: i32 = sweep.get_result(&mut *conn).await?;
        if gone < SWEPT {
            return Ok(());
        }
    }
}

diesel::define_sql_function! {
    /// See the migration that makes the table.
    fn purge_login_attempts(days: Integer, most: Integer) -> Integer;
}
