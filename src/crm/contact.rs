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
        sql::Sql,
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::Tx,
    },
};
use async_graphql::ComplexObject;
use diesel_async::RunQueryDsl;
use stoa_macros::entity;
use uuid::Uuid;

/// A person one deals with.
#[entity(resource = Contact, plural = contacts, wall = owned, crm, computed,
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
    #[entity(create, update, filter, order, max = 120)]
    pub title: Option<String>,
    /// Where in the company they work, at most 120 characters.
    #[entity(create, update, filter, group, max = 120)]
    pub department: Option<String>,
    /// The id of the account they work at.
    #[entity(create, update, filter, group, belongs_to = Account)]
    pub account_id: Option<Id<Account>>,
    /// The id of the contact they report to. No circles.
    #[entity(create, update, filter, belongs_to = Contact as reports_to)]
    pub reports_to_id: Option<Id<Contact>>,
    /// Where they get post.
    #[entity(create, update)]
    pub address: Option<Address>,
    /// The day they were born.
    #[entity(create, update, filter, order)]
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

impl Rules for Contact {
    async fn check(tx: &mut Tx, old: Option<&Self>, new: &mut Self, errors: &mut UserErrors) -> Result<()> {
        let Some(boss) = new.reports_to_id.filter(|boss| old.and_then(|old| old.reports_to_id) != Some(*boss)) else {
            return Ok(());
        };
        // As with the tree of accounts: one change of this relation at a time.
        let organization = tx.scope.actor.organization;
        let mut lock = Sql::new("SELECT pg_advisory_xact_lock(hashtextextended('contacts.reports_to_id' || ");
        lock.bind(Bind::Text(Some(organization.to_string()))).push(", 0))");
        lock.execute(tx.conn()).await?;
        let mut sql = Sql::new(
            "WITH RECURSIVE up(id, reports_to_id) AS (SELECT id, reports_to_id FROM contacts WHERE organization_id = ",
        );
        sql.bind(Bind::Uuid(Some(organization))).push(" AND id = ").bind(Bind::Uuid(Some(boss.0)));
        sql.push(" UNION SELECT c.id, c.reports_to_id FROM contacts c JOIN up ON c.id = up.reports_to_id WHERE c.organization_id = ");
        sql.bind(Bind::Uuid(Some(organization)))
            .push(") SELECT id FROM up WHERE id = ")
            .bind(Bind::Uuid(Some(new.id.0)));
        let circle: Vec<Found> = sql.load(tx.conn()).await?;
        if circle.iter().any(|found| found.id == new.id.0) {
            errors.add(
                "reportsToId",
                UserErrorCode::Invalid,
                "A contact cannot report to themselves, directly or not.",
            );
        }
        Ok(())
    }
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

#[ComplexObject]
impl Computed<'_, Contact> {
    /// Given and family name.
    async fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }
}
