//! Contacts: the people one deals with, most often at an account. Nobody reports to themselves, not even by
//! way of others.

use super::{account::*, lead::*};
use crate::{
    error::Result,
    kit::{
        id::Id,
        relation::Computed,
        rules::Rules,
        scalars::{Address, Date, DateTime, EmailAddress},
        tree,
        user_error::UserErrors,
        write::Tx,
    },
};
use async_graphql::ComplexObject;
use stoa_macros::entity;

/// A person one deals with.
#[entity(resource = Contact, plural = contacts, wall = owned, crm, computed, with(crate::messaging::about::Discussed),
    has_many(reports: Contact.reports_to_id, converted_leads: Lead.contact_id))]
pub struct Contact {
    pub id: Id<Contact>,
    /// Given name: 1 to 120 characters.
    #[entity(create, update, filter, order, search, max = 120)]
    pub first_name: String,
    /// Family name: 1 to 120 characters.
    #[entity(create, update, filter, order, search, max = 120)]
    pub last_name: String,
    /// Where to write to.
    #[entity(create, update, filter, order, search)]
    pub email: Option<EmailAddress>,
    /// Phone number at work, at most 50 characters.
    #[entity(create, update, filter, max = 50)]
    pub phone: Option<String>,
    /// Mobile phone number, at most 50 characters.
    #[entity(create, update, filter, max = 50)]
    pub mobile: Option<String>,
    /// What they are at work, at most 120 characters.
    #[entity(create, update, filter, order, unindexed, max = 120)]
    pub title: Option<String>,
    /// Where in the company they work, at most 120 characters.
    #[entity(create, update, filter, group, max = 120)]
    pub department: Option<String>,
    /// The id of the account they work at.
    #[entity(create, update, filter, group, belongs_to = Account)]
    pub account_id: Option<Id<Account>>,
    /// The id of the contact they report to. No circles; at most 100 levels.
    #[entity(create, update, filter, belongs_to = Contact as reports_to)]
    pub reports_to_id: Option<Id<Contact>>,
    /// Where they get post.
    #[entity(create, update)]
    pub address: Option<Address>,
    /// The day they were born.
    #[entity(create, update, filter, order, unindexed)]
    pub birthday: Option<Date>,
    /// Where they came from, such as `web` or `fair`; at most 120 characters.
    #[entity(create, update, filter, group, max = 120)]
    pub lead_source: Option<String>,
    /// Must not be called.
    #[entity(create, update, filter, group, default = false)]
    pub do_not_call: bool,
    /// Must not be sent e-mail campaigns.
    #[entity(create, update, filter, group, default = false)]
    pub email_opt_out: bool,
    /// When somebody last spoke with them.
    #[entity(create, update, filter, order)]
    pub last_contacted_at: Option<DateTime>,
}

/// Levels of a reporting line at most.
const MOST_LEVELS: i32 = 100;

impl Rules for Contact {
    async fn check(tx: &mut Tx, old: Option<&Self>, new: &mut Self, errors: &mut UserErrors) -> Result<()> {
        let bosses = (old.and_then(|old| old.reports_to_id).map(|id| id.0), new.reports_to_id.map(|id| id.0));
        tree::check::<Contact>(tx, (Contact::REPORTS_TO_ID, MOST_LEVELS), new.id.0, bosses, errors).await
    }
}

#[ComplexObject]
impl Computed<'_, Contact> {
    /// Given and family name.
    async fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }
}
