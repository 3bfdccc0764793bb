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
        tree,
        user_error::UserErrors,
        write::Tx,
    },
};
use async_graphql::{ComplexObject, Context};
use diesel_async::AsyncPgConnection;
use std::{collections::HashMap, sync::Arc};
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
#[entity(resource = Account, plural = accounts, wall = owned, crm, computed, with(crate::messaging::about::Discussed),
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
    #[entity(create, update, filter, order, unindexed, sum, range(0, 100_000_000))]
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
const MOST_LEVELS: i32 = 10;
/// Accounts in `descendants` at most.
const MOST_BELOW: u32 = 1000;

impl Rules for Account {
    async fn check(tx: &mut Tx, old: Option<&Self>, new: &mut Self, errors: &mut UserErrors) -> Result<()> {
        let parents = (old.and_then(|old| old.parent_id).map(|id| id.0), new.parent_id.map(|id| id.0));
        tree::check::<Account>(tx, (Account::PARENT_ID, MOST_LEVELS), new.id.0, parents, errors).await
    }
}

#[ComplexObject]
impl Computed<'_, Account> {
    /// The accounts above this one, the nearest first, as far as you may see them.
    async fn ancestors(&self, ctx: &Context<'_>) -> Option<Vec<Arc<Account>>> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            let conn = scope.reader().await?;
            let ids = tree::above::<Account>(&conn, Account::PARENT_ID, scope.actor.organization, self.id.0).await?;
            in_order(scope, &conn, ids.into_iter().skip(1)).await.map(Some)
        })
        .await
    }

    /// The accounts below this one, level by level, as far as you may see them; at most 1 000.
    async fn descendants(&self, ctx: &Context<'_>) -> Option<Vec<Arc<Account>>> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            let conn = scope.reader().await?;
            let organization = scope.actor.organization;
            let ids = tree::below::<Account>(&conn, Account::PARENT_ID, organization, self.id.0, MOST_BELOW).await?;
            in_order(scope, &conn, ids.into_iter()).await.map(Some)
        })
        .await
    }
}

/// Those of the accounts that the caller may see, in the order of the ids.
async fn in_order(
    scope: &Scope,
    conn: &AsyncPgConnection,
    ids: impl Iterator<Item = Uuid>,
) -> Result<Vec<Arc<Account>>> {
    let place: HashMap<Uuid, usize> = ids.zip(0..).collect();
    let mut found = entity::find_many::<Account>(scope, conn, place.keys().copied().collect()).await?;
    found.sort_by_key(|account| place.get(&account.id.0).copied());
    Ok(found.into_iter().map(Arc::new).collect())
}
