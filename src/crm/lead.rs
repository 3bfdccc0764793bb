//! Leads: people and companies who might buy. A lead is worked until it is qualified or lost; once converted
//! it stays so, with the contact and the account that it became.

use super::{account::*, contact::*};
use crate::{
    db_enum,
    error::Result,
    identity::Member,
    kit::{
        id::Id,
        relation::Computed,
        rules::Rules,
        scalars::{CurrencyCode, DateTime, Decimal, EmailAddress, Url},
        user_error::{UserErrorCode, UserErrors},
        write::Tx,
    },
};
use async_graphql::ComplexObject;
use stoa_macros::entity;

db_enum! {
    /// How far a lead has come.
    pub enum LeadStatus, filter LeadStatusFilter {
        /// Nobody has spoken with them.
        New = "new",
        /// Somebody has spoken with them.
        Contacted = "contacted",
        /// They might really buy.
        Qualified = "qualified",
        /// They will not buy.
        Unqualified = "unqualified",
        /// They have become a contact and an account; only `leadConvert` gets there.
        Converted = "converted",
    }
}

/// A person or company who might buy.
#[entity(resource = Lead, plural = leads, wall = owned, crm, computed, with(crate::messaging::about::Discussed))]
pub struct Lead {
    pub id: Id<Lead>,
    /// Given name: 1 to 120 characters.
    #[entity(create, update, filter, order, search, max = 120)]
    pub first_name: String,
    /// Family name: 1 to 120 characters.
    #[entity(create, update, filter, order, search, max = 120)]
    pub last_name: String,
    /// Where to write to.
    #[entity(create, update, filter, order, search)]
    pub email: Option<EmailAddress>,
    /// Phone number, at most 50 characters.
    #[entity(create, update, filter, max = 50)]
    pub phone: Option<String>,
    /// The company they work for, at most 200 characters.
    #[entity(create, update, filter, order, search, max = 200)]
    pub company: Option<String>,
    /// What they are at work, at most 120 characters.
    #[entity(create, update, filter, max = 120)]
    pub title: Option<String>,
    /// Where they came from, such as `web` or `fair`; at most 120 characters.
    #[entity(create, update, filter, order, group, max = 120)]
    pub source: Option<String>,
    /// How far the lead has come; NEW unless said otherwise. CONVERTED only by `leadConvert`.
    #[entity(create, update, filter, order, group, default = LeadStatus::New)]
    pub status: LeadStatus,
    /// How likely they buy, from 0 to 100.
    #[entity(create, update, filter, order, sum, range(0, 100), default = 0)]
    pub score: i32,
    /// The line of business, at most 120 characters.
    #[entity(create, update, filter, group, max = 120)]
    pub industry: Option<String>,
    /// What the company earns in a year, in `currency`; not negative, two decimal places.
    #[entity(create, update, filter, order, unindexed, sum, range(0, i64::MAX))]
    pub annual_revenue: Option<Decimal>,
    /// The currency of `annualRevenue`; the organization's unless said otherwise.
    #[entity(create, update, filter, group, default = scope.actor.currency())]
    pub currency: CurrencyCode,
    /// How many people work at the company; not negative.
    #[entity(create, update, filter, order, unindexed, sum, range(0, 100_000_000))]
    pub employees: Option<i32>,
    /// The company's web site.
    #[entity(create, update, filter)]
    pub website: Option<Url>,
    /// Street and number, at most 300 characters.
    #[entity(create, update, max = 300)]
    pub address: Option<String>,
    /// Town, at most 120 characters.
    #[entity(create, update, filter, group, max = 120)]
    pub city: Option<String>,
    /// State, province or region, at most 120 characters.
    #[entity(create, update, filter, group, max = 120)]
    pub state: Option<String>,
    /// Country, at most 120 characters.
    #[entity(create, update, filter, group, max = 120)]
    pub country: Option<String>,
    /// Postal code, at most 20 characters.
    #[entity(create, update, filter, max = 20)]
    pub postal_code: Option<String>,
    /// Anything else, at most 10 000 characters.
    #[entity(create, update, max = 10_000, multiline)]
    pub notes: Option<String>,
    /// The id of the member who works the lead.
    #[entity(create, update, filter, group, belongs_to = crate::identity::Member as assignee)]
    pub assigned_to_id: Option<Id<Member>>,
    /// The id of the account that the lead is about, or became when it was converted; from then on it stays.
    #[entity(create, update, filter, group, belongs_to = Account)]
    pub account_id: Option<Id<Account>>,
    /// The id of the contact that the lead became when it was converted.
    #[entity(filter, belongs_to = Contact)]
    pub contact_id: Option<Id<Contact>>,
    /// When the lead was converted; null: it was not.
    #[entity(filter, order, unindexed, group)]
    pub converted_at: Option<DateTime>,
    /// When somebody last spoke with them.
    #[entity(create, update, filter, order)]
    pub last_contacted_at: Option<DateTime>,
}

impl Rules for Lead {
    async fn check(_tx: &mut Tx, old: Option<&Self>, new: &mut Self, errors: &mut UserErrors) -> Result<()> {
        let converted = old.filter(|old| old.status == LeadStatus::Converted);
        // `leadConvert` sets the time with the status; an input can only set the status.
        if converted.is_some() && new.status != LeadStatus::Converted {
            errors.add("status", UserErrorCode::StateInvalid, "A converted lead stays converted.");
        } else if new.status == LeadStatus::Converted && new.converted_at.is_none() {
            errors.add("status", UserErrorCode::StateInvalid, "A lead is converted by leadConvert only.");
        }
        if converted.is_some_and(|old| old.account_id != new.account_id) {
            errors.add("accountId", UserErrorCode::StateInvalid, "A converted lead keeps the account that it became.");
        }
        Ok(())
    }
}

#[ComplexObject]
impl Computed<'_, Lead> {
    /// Given and family name.
    async fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }
}
