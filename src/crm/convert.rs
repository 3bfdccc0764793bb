//! Converting a lead: it becomes a contact at an account, both made or found, in one transaction. A lead is
//! converted once.

use super::{account::*, contact::*, lead::*};
use crate::{
    error::Result,
    kit::{
        filter::DeletedRecords,
        id::Id,
        permission::Action,
        relation::or_null,
        resolve::scope,
        scalars::Address,
        user_error::{UserError, UserErrorCode, UserErrors},
        write::{self, Rejection, Stop, Tx},
    },
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use std::sync::Arc;

/// Which lead to convert, and into what.
#[derive(Clone, Debug, InputObject)]
pub struct LeadConvertInput {
    /// Which lead.
    pub id: Id<Lead>,
    /// The version that the conversion is based on; see `leadUpdate`.
    pub expected_version: Option<i32>,
    /// The account it becomes part of. Left out: that of the contact named, or else the lead's own `accountId`, or
    /// else a new account named after `company` (or the person, when that is empty).
    pub account_id: Option<Id<Account>>,
    /// The contact it becomes, which stays as it is. Left out: a new contact.
    pub contact_id: Option<Id<Contact>>,
}

/// What came of converting a lead.
#[derive(SimpleObject, Default)]
pub struct LeadConvertPayload {
    /// The converted lead; for a CONFLICT the lead as it stands.
    pub lead: Option<Arc<Lead>>,
    /// The contact it became.
    pub contact: Option<Arc<Contact>>,
    /// The account it became part of.
    pub account: Option<Arc<Account>>,
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

/// Mutations.
#[derive(Default)]
pub struct ConvertMutation;

#[Object]
impl ConvertMutation {
    /// Converts a lead into a contact at an account: links those that are named, makes those that are not, copies
    /// what the lead knows. A lead that is converted already is a user error CONFLICT.
    async fn lead_convert(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which lead, and into what.")] input: LeadConvertInput,
    ) -> Option<LeadConvertPayload> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            let mut tx = scope.begin().await?;
            let result = convert(&mut tx, input).await;
            Ok(Some(match tx.finish(result).await? {
                Ok((lead, contact, account)) => LeadConvertPayload {
                    lead: Some(Arc::new(lead)),
                    contact: Some(Arc::new(contact)),
                    account: Some(Arc::new(account)),
                    ..LeadConvertPayload::default()
                },
                Err(rejection) => LeadConvertPayload {
                    lead: match rejection.current {
                        Some(id) => crate::kit::entity::find(scope, id, &[]).await?,
                        None => None,
                    },
                    user_errors: rejection.errors.into(),
                    ..LeadConvertPayload::default()
                },
            }))
        })
        .await
    }
}

async fn convert(tx: &mut Tx, input: LeadConvertInput) -> Result<(Lead, Contact, Account), Stop> {
    let lead: Lead =
        write::lock(tx, input.id.0, Action::Convert, DeletedRecords::Exclude, input.expected_version).await?;
    if lead.status == LeadStatus::Converted {
        let mut errors = UserErrors::default();
        errors.add("id", UserErrorCode::Conflict, "This lead has been converted already.");
        return Err(Stop::Rejected(Rejection { errors, current: Some(lead.id.0) }));
    }
    let contact_named = match input.contact_id {
        Some(id) => Some(named::<Contact>(tx, id.0, "contactId").await?),
        None => None,
    };
    let at_account =
        input.account_id.or(contact_named.as_ref().and_then(|contact| contact.account_id)).or(lead.account_id);
    let works_at = contact_named.as_ref().and_then(|contact| contact.account_id);
    if works_at.is_some() && works_at != at_account {
        return Err(Stop::at("contactId", UserErrorCode::Invalid, "This contact works at another account."));
    }
    let account = match at_account {
        Some(id) => named::<Account>(tx, id.0, "accountId").await?,
        None => write::create(tx, account_of(&lead)).await?,
    };
    let contact = match contact_named {
        Some(contact) => contact,
        None => write::create(tx, contact_of(&lead, account.id)).await?,
    };
    let mut converted = lead.clone();
    converted.status = LeadStatus::Converted;
    converted.converted_at = Some(tx.now);
    converted.account_id = Some(account.id);
    converted.contact_id = Some(contact.id);
    let converted = write::replace(tx, &lead, converted, "converted", UserErrors::default()).await?;
    Ok((converted, contact, account))
}

/// The record that the input names, if the caller may see it.
async fn named<E: crate::kit::entity::Entity>(tx: &mut Tx, id: uuid::Uuid, field: &str) -> Result<E, Stop> {
    let found = crate::kit::entity::find_on::<E>(&tx.scope, tx.reader(), id, DeletedRecords::Exclude).await?;
    found.ok_or_else(|| {
        let message =
            "There is no such record, or none that you may see; name another, also in place of the lead's own.";
        Stop::at(field, UserErrorCode::NotFound, message)
    })
}

fn account_of(lead: &Lead) -> AccountCreateInput {
    let person = format!("{} {}", lead.first_name, lead.last_name);
    AccountCreateInput {
        id: None,
        name: lead.company.clone().unwrap_or_else(|| person.chars().take(200).collect()),
        domain: None,
        website: lead.website.clone(),
        industry: lead.industry.clone(),
        r#type: None,
        annual_revenue: lead.annual_revenue,
        currency: Some(lead.currency.clone()),
        employees: lead.employees,
        phone: lead.phone.clone(),
        billing_address: address_of(lead),
        shipping_address: None,
        description: None,
        parent_id: None,
        tags: Some(lead.tags.clone()),
        custom_fields: Some(lead.custom_fields.clone()),
        owner_id: lead.owner_id,
    }
}

fn contact_of(lead: &Lead, account: Id<Account>) -> ContactCreateInput {
    ContactCreateInput {
        id: None,
        first_name: lead.first_name.clone(),
        last_name: lead.last_name.clone(),
        email: lead.email.clone(),
        phone: lead.phone.clone(),
        mobile: None,
        title: lead.title.clone(),
        department: None,
        account_id: Some(account),
        reports_to_id: None,
        address: address_of(lead),
        birthday: None,
        lead_source: lead.source.clone(),
        do_not_call: None,
        email_opt_out: None,
        last_contacted_at: lead.last_contacted_at,
        tags: Some(lead.tags.clone()),
        custom_fields: Some(lead.custom_fields.clone()),
        owner_id: lead.owner_id,
    }
}

fn address_of(lead: &Lead) -> Option<Address> {
    let address = Address {
        street: lead.address.clone(),
        city: lead.city.clone(),
        state: lead.state.clone(),
        postal_code: lead.postal_code.clone(),
        country: lead.country.clone(),
    };
    (address != Address::default()).then_some(address)
}
