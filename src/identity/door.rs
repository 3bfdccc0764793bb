//! The organizations that somebody may sign in to. Invariant: which they are is told only to whoever has proved to be that
//! person.

use super::access;
use crate::{
    app::App,
    error::{Error, Result},
    kit::user_error::{UserErrorCode, UserErrors},
    schema::{memberships, organizations},
};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// An organization that somebody may sign in to.
#[derive(Queryable)]
pub(super) struct Door {
    pub organization: Uuid,
    pub member: Uuid,
    slug: String,
    suspended_at: Option<DateTime<Utc>>,
    deleted_at: Option<DateTime<Utc>>,
}

impl Door {
    /// Why nobody gets in, if so.
    pub fn closed(&self) -> Option<Error> {
        access::closed(self.suspended_at, self.deleted_at)
    }
}

pub(super) async fn doors(app: &App, user: Uuid) -> Result<Vec<Door>> {
    let mut connection = app.database.of_user(user).await?;
    memberships::table
        .inner_join(organizations::table)
        .filter(memberships::user_id.eq(user).and(memberships::status.eq("active")))
        .order(organizations::slug)
        .select((
            organizations::id,
            memberships::id,
            organizations::slug,
            organizations::suspended_at,
            organizations::deleted_at,
        ))
        .load(&mut *connection)
        .await
        .map_err(Error::from)
}

pub(super) fn choose(mut doors: Vec<Door>, named: Option<&str>) -> Result<Door, UserErrors> {
    let mut errors = UserErrors::new();
    match named {
        Some(named) => match doors.into_iter().find(|door| door.slug.eq_ignore_ascii_case(named.trim())) {
            Some(door) => return Ok(door),
            None => {
                let message = "You are not a member of an organization with this short name.";
                errors.add("organization", UserErrorCode::NotFound, message);
            }
        },
        None => match doors.pop() {
            Some(door) if doors.is_empty() => return Ok(door),
            Some(last) => {
                let slugs: Vec<&str> = doors.iter().chain([&last]).map(|door| door.slug.as_str()).take(20).collect();
                let message = format!("You belong to several organizations. Name one of them: {}.", slugs.join(", "));
                errors.add("organization", UserErrorCode::Required, message);
            }
            None => {
                let message = "You are not an active member of any organization. Ask to be invited.";
                errors.add("", UserErrorCode::StateInvalid, message);
            }
        },
    }
    Err(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::user_error::UserError;

    #[test]
    fn the_door_is_named_only_when_there_are_several() {
        let door = |slug: &str| Door {
            organization: Uuid::new_v4(),
            member: Uuid::new_v4(),
            slug: slug.into(),
            suspended_at: None,
            deleted_at: None,
        };
        let slug = |doors, named| choose(doors, named).map(|door| door.slug).map_err(Vec::<UserError>::from);
        assert_eq!(slug(vec![door("acme")], None).unwrap(), "acme");
        assert_eq!(slug(vec![door("acme"), door("other")], Some(" Other ")).unwrap(), "other");
        let errors = slug(vec![door("acme"), door("other")], None).unwrap_err();
        assert_eq!(errors[0].code, UserErrorCode::Required);
        assert!(errors[0].message.ends_with("acme, other."), "{}", errors[0].message);
        assert_eq!(slug(vec![door("acme")], Some("other\0")).unwrap_err()[0].code, UserErrorCode::NotFound);
        assert_eq!(slug(vec![], None).unwrap_err()[0].code, UserErrorCode::StateInvalid);
    }
}
