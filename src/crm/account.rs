//! Accounts: the companies one sells to, buys from or competes with. They form a tree: an account never lies
//! below itself, and the tree is at most ten levels high.

use super::{contact::*, lead::*};
use crate::{
    db_enum,
    error::Result,
    kit::{
        entity,
        id::Id,
        relation::{Computed, or_null},
        resolve::scope,
        rules::Rules,
        scalars::{Address, CurrencyCode, Decimal, Url},
        scope::Scope,
        sql::Sql,
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::Tx,
    },
};
use async_graphql::{ComplexObject, Context};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

db_enum! {
    /// What an account is to the organization.
    pub enum AccountType, filter AccountTypeFilter {
        /// Might buy.
        Prospect = "prospect",
        /// Buys.
        Customer = "customer",
        /// Sells together with the organization.
        Partner = "partner",
        /// Sells to the organization.
        Vendor = "vendor",
        /// Sells what the organization sells.
        Competitor = "competitor",
    }
}

/// A company.
#[entity(resource = Account, plural = accounts, wall = owned, crm, computed,
    has_many(contacts: Contact.account_id, leads: Lead.account_id, children: Account.parent_id))]
pub struct Account {
    pub id: Id<Account>,
    /// What the company is called: 1 to 200 characters.
    #[entity(create, update, filter, order, search, max = 200)]
    pub name: String,
    /// Its domain on the internet, such as `example.com`, at most 250 characters.
    #[entity(create, update, filter, order, search)]
    pub domain: Option<String>,
    /// Its web site.
    #[entity(create, update, filter)]
    pub website: Option<Url>,
    /// The line of business, at most 120 characters.
    #[entity(create, update, filter, order, group, max = 120)]
    pub industry: Option<String>,
    /// What it is to the organization; PROSPECT unless said otherwise.
    #[entity(create, update, filter, order, group, default = AccountType::Prospect)]
    pub r#type: AccountType,
    /// What it earns in a year, in `currency`; not negative, two decimal places.
    #[entity(create, update, filter, order, sum, range(0, i64::MAX))]
    pub annual_revenue: Option<Decimal>,
    /// The currency of `annualRevenue`; the organization's unless said otherwise.
    #[entity(create, update, filter, group, default = scope.actor.currency())]
    pub currency: CurrencyCode,
    /// How many people work there; not negative.
    #[entity(create, update, filter, order, sum, range(0, 100_000_000))]
    pub employees: Option<i32>,
    /// Phone number, at most 50 characters.
    #[entity(create, update, filter, max = 50)]
    pub phone: Option<String>,
    /// Where invoices go.
    #[entity(create, update)]
    pub billing_address: Option<Address>,
    /// Where goods go.
    #[entity(create, update)]
    pub shipping_address: Option<Address>,
    /// Anything else, at most 10 000 characters.
    #[entity(create, update, max = 10_000, multiline)]
    pub description: Option<String>,
    /// The id of the company that this one belongs to. No circles; at most ten levels.
    #[entity(create, update, filter, group, belongs_to = Account as parent)]
    pub parent_id: Option<Id<Account>>,
}

/// Levels of the tree at most.
const MOST_LEVELS: u32 = 10;

impl Rules for Account {
    async fn check(tx: &mut Tx, old: Option<&Self>, new: &mut Self, errors: &mut UserErrors) -> Result<()> {
        let Some(parent) = new.parent_id.filter(|parent| old.and_then(|old| old.parent_id) != Some(*parent)) else {
            return Ok(());
        };
        // Two moves that cross could close a circle that neither sees: the whole tree moves one at a time.
        let mut lock = Sql::new("SELECT pg_advisory_xact_lock(hashtextextended('accounts.parent_id' || ");
        lock.bind(Bind::Text(Some(tx.scope.actor.organization.to_string()))).push(", 0))");
        lock.execute(tx.conn()).await?;
        let above = above(tx.reader(), tx.scope.actor.organization, parent.0).await?;
        if parent == new.id || above.contains(&new.id.0) {
            errors.add("parentId", UserErrorCode::Invalid, "An account cannot lie below itself.");
        } else if above.len() as u32 + 1 + height(tx.reader(), tx.scope.actor.organization, new.id.0).await?
            > MOST_LEVELS
        {
            errors.add(
                "parentId",
                UserErrorCode::LimitExceeded,
                format!("The tree would be higher than {MOST_LEVELS} levels."),
            );
        }
        Ok(())
    }
}

#[ComplexObject]
impl Computed<'_, Account> {
    /// The accounts above this one, the nearest first, as far as you may see them.
    async fn ancestors(&self, ctx: &Context<'_>) -> Option<Vec<Arc<Account>>> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            let conn = scope.reader().await?;
            let mut ids = above(&conn, scope.actor.organization, self.id.0).await?;
            ids.retain(|id| *id != self.id.0);
            in_order(scope, &conn, ids).await.map(Some)
        })
        .await
    }

    /// The accounts below this one, level by level, as far as you may see them; at most 1 000.
    async fn descendants(&self, ctx: &Context<'_>) -> Option<Vec<Arc<Account>>> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            let conn = scope.reader().await?;
            let ids = below(&conn, scope.actor.organization, self.id.0).await?;
            in_order(scope, &conn, ids.into_iter().map(|step| step.id).collect()).await.map(Some)
        })
        .await
    }
}

#[derive(diesel::QueryableByName)]
struct Step {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = diesel::sql_types::Integer)]
    level: i32,
}

/// The account and those above it, the nearest first.
async fn above(mut conn: &AsyncPgConnection, organization: Uuid, id: Uuid) -> Result<Vec<Uuid>> {
    let mut sql = Sql::new(
        "WITH RECURSIVE up(id, parent_id, level) AS (SELECT id, parent_id, 0 FROM accounts WHERE organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(organization))).push(" AND id = ").bind(Bind::Uuid(Some(id)));
    sql.push(" UNION ALL SELECT a.id, a.parent_id, up.level + 1 FROM accounts a JOIN up ON a.id = up.parent_id WHERE a.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND up.level < 20) SELECT id, level FROM up ORDER BY level");
    let steps: Vec<Step> = sql.load(&mut conn).await?;
    Ok(steps.into_iter().map(|step| step.id).collect())
}

/// The accounts below, level by level.
async fn below(mut conn: &AsyncPgConnection, organization: Uuid, id: Uuid) -> Result<Vec<Step>> {
    let mut sql = Sql::new("WITH RECURSIVE down(id, level) AS (SELECT id, 1 FROM accounts WHERE organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND parent_id = ").bind(Bind::Uuid(Some(id)));
    sql.push(" UNION ALL SELECT a.id, down.level + 1 FROM accounts a JOIN down ON a.parent_id = down.id WHERE a.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization)))
        .push(" AND down.level < 20) SELECT id, level FROM down ORDER BY level, id LIMIT 1000");
    Ok(sql.load(&mut conn).await?)
}

/// The levels of the tree that begins with the account, itself included.
async fn height(conn: &AsyncPgConnection, organization: Uuid, id: Uuid) -> Result<u32> {
    let deepest = below(conn, organization, id).await?.into_iter().map(|step| step.level).max().unwrap_or(0);
    Ok(u32::try_from(deepest).unwrap_or(0) + 1)
}

/// Those of the accounts that the caller may see, in the order of the ids.
async fn in_order(scope: &Scope, conn: &AsyncPgConnection, ids: Vec<Uuid>) -> Result<Vec<Arc<Account>>> {
    let place = |id: &Uuid| ids.iter().position(|other| other == id);
    let mut found = entity::find_many::<Account>(scope, conn, ids.clone()).await?;
    found.sort_by_key(|account| place(&account.id.0));
    Ok(found.into_iter().map(Arc::new).collect())
}
