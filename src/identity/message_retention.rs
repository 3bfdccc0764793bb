//! How long an organization keeps messages, by the kind of their conversation. Invariant: nothing is removed that nobody has
//! asked to be: for ever unless set, a day at least.

use crate::{
    kit::user_error::{UserErrorCode, UserErrors},
    schema::organizations,
};
use async_graphql::{InputObject, MaybeUndefined, SimpleObject};
use diesel::prelude::*;
use serde::Serialize;

/// How long messages are kept, by the kind of their conversation: in days since they were sent. Older ones are removed for good within an
/// hour, with their reactions, mentions, versions and attachments; the files themselves stay with whoever uploaded them.
#[derive(Queryable, Selectable, AsChangeset, SimpleObject, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[diesel(table_name = organizations, check_for_backend(diesel::pg::Pg), treat_none_as_null = true)]
pub struct MessageRetention {
    /// Of direct conversations; null: for ever.
    #[diesel(column_name = keep_direct_days)]
    pub direct: Option<i32>,
    /// Of groups; null: for ever.
    #[diesel(column_name = keep_group_days)]
    pub group: Option<i32>,
    /// Of channels; null: for ever.
    #[diesel(column_name = keep_channel_days)]
    pub channel: Option<i32>,
    /// Of conversations about records; null: for ever.
    #[diesel(column_name = keep_record_days)]
    pub record: Option<i32>,
}

/// How long messages are kept from now on, in days since they were sent: 1 to 3650. What is left out stays; null: for ever.
#[derive(InputObject)]
pub struct MessageRetentionInput {
    /// Of direct conversations.
    direct: MaybeUndefined<i32>,
    /// Of groups.
    group: MaybeUndefined<i32>,
    /// Of channels.
    channel: MaybeUndefined<i32>,
    /// Of conversations about records.
    record: MaybeUndefined<i32>,
}

impl MessageRetention {
    /// Applies a change; tells what is out of range in the input's field of that name.
    pub fn change(&mut self, input: MessageRetentionInput, field: &str, errors: &mut UserErrors) {
        let changes = [
            ("direct", &mut self.direct, input.direct),
            ("group", &mut self.group, input.group),
            ("channel", &mut self.channel, input.channel),
            ("record", &mut self.record, input.record),
        ];
        for (kind, days, change) in changes {
            crate::kit::write::patch(days, change);
            if days.is_some_and(|days| !(1..=3650).contains(&days)) {
                let message = "Messages are kept for 1 to 3650 days, or with null for ever.";
                errors.add(&format!("{field}.{kind}"), UserErrorCode::OutOfRange, message);
            }
        }
    }
}
