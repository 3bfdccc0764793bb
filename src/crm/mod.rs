//! Customers: the companies one sells to, the people there, and those who might buy.

pub mod account;
pub mod contact;
pub mod convert;
pub mod feed;
pub mod lead;

use async_graphql::MergedObject;

/// The wing's queries.
#[derive(MergedObject, Default)]
pub struct CrmQuery(account::AccountQuery, contact::ContactQuery, lead::LeadQuery, feed::ChangesQuery);

/// The wing's mutations.
#[derive(MergedObject, Default)]
pub struct CrmMutation(
    account::AccountMutation,
    contact::ContactMutation,
    lead::LeadMutation,
    convert::ConvertMutation,
);
