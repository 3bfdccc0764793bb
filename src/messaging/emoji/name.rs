//! Names of emoji: how they are written, and which emoji one names. Invariant: a page of reactions costs one query for all the
//! emoji that it shows, and an event that goes to many costs one a node.

use super::{Emoji, MOST, MOST_KEPT};
use crate::{
    error::{Error, Result},
    kit::{
        entity::{Entity, select},
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        scope::Scope,
        user_error::{UserErrorCode as Code, UserErrors},
        value::Bind,
        write::Tx,
    },
    schema::emojis,
};
use async_graphql::{Context, dataloader::Loader};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::{
    any::TypeId,
    collections::{HashMap, HashSet},
    sync::Arc,
};
use uuid::Uuid;

/// A name as it is stored.
pub fn tidied(given: &str, errors: &mut UserErrors) -> String {
    let name = given.trim().to_ascii_lowercase();
    if !is_name(&name) {
        let message = "A name has 2 to 40 of the characters a–z, 0–9, _, + and -.";
        errors.add("name", Code::Invalid, message);
    } else if ::emojis::get_by_shortcode(&name).is_some() {
        errors.add("name", Code::NotUnique, "An emoji of Unicode is called so.");
    }
    name
}

fn is_name(name: &str) -> bool {
    (2..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_+-".contains(&byte))
}

/// The name in `:name:`, as it is stored; None: it is written in another way.
pub fn in_colons(emoji: &str) -> Option<String> {
    let name = emoji.strip_prefix(':')?.strip_suffix(':')?.to_ascii_lowercase();
    is_name(&name).then_some(name)
}

/// What an organization's emoji are called, with those that were deleted.
pub struct Known {
    pub names: HashSet<String>,
    /// How many may be added.
    pub room: usize,
}

/// For whoever adds many: `add` judges each itself.
pub async fn known(conn: &mut AsyncPgConnection, organization: Uuid) -> Result<Known> {
    let all = emojis::table.filter(emojis::organization_id.eq(organization));
    let all: Vec<(String, bool)> = all.select((emojis::name, emojis::deleted_at.is_null())).load(conn).await?;
    let live = all.iter().filter(|(_, live)| *live).count();
    let room = (MOST as usize).saturating_sub(live).min((MOST_KEPT as usize).saturating_sub(all.len()));
    Ok(Known { names: all.into_iter().map(|(name, _)| name).collect(), room })
}

/// Whether the caller may react with an emoji of that name.
pub async fn is_live(tx: &mut Tx, name: &str) -> Result<bool> {
    if tx.scope.actor.may(Resource::Emoji, Action::Read).is_none() {
        return Ok(false);
    }
    let live = emojis::table.filter(emojis::organization_id.eq(tx.scope.actor.organization));
    let live = live.filter(emojis::name.eq(name).and(emojis::deleted_at.is_null()));
    Ok(diesel::select(diesel::dsl::exists(live)).get_result(tx.conn()).await?)
}

/// The organization's emoji that a reaction shows; those of a whole page in one query.
pub async fn shown(ctx: &Context<'_>, emoji: &str) -> Option<Arc<Emoji>> {
    let name = in_colons(emoji)?;
    or_null(ctx, async {
        let scope = scope(ctx)?;
        if scope.actor.may(Resource::Emoji, Action::Read).is_none() {
            return Ok(None);
        }
        if scope.loads.is_shared() {
            return look_up(scope, name).await;
        }
        let loader = scope.gather(|scope| ByName { scope }).ok_or_else(|| Error::ours("a loader of another type"))?;
        loader.load_one(name).await
    })
    .await
}

/// As the loader does, for the events of subscriptions, which go to many.
async fn look_up(scope: &Scope, name: String) -> Result<Option<Arc<Emoji>>> {
    let organization = scope.actor.organization;
    let key = (organization, TypeId::of::<ByName>(), Uuid::new_v5(&organization, name.as_bytes()));
    let found = scope.app.lookups.get(key, async {
        let mut found = by_name(scope, vec![name.clone()]).await?;
        Ok(Arc::new(found.remove(&name).map(|emoji| emoji as Arc<_>)))
    });
    Ok(found.await?.as_ref().clone().and_then(|emoji| emoji.downcast().ok()))
}

struct ByName {
    scope: Scope,
}

impl Loader<String> for ByName {
    type Value = Arc<Emoji>;
    type Error = Error;

    async fn load(&self, names: &[String]) -> Result<HashMap<String, Arc<Emoji>>> {
        by_name(&self.scope, names.to_vec()).await
    }
}

/// Of each name the one that is not deleted, else that which was last.
async fn by_name(scope: &Scope, names: Vec<String>) -> Result<HashMap<String, Arc<Emoji>>> {
    let mut sql = select(Emoji::table());
    sql.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(scope.actor.organization)));
    sql.push(" AND t0.name = ANY(").bind(Bind::Texts(Some(names)));
    sql.push(
        ") AND t0.id = (SELECT e.id FROM emojis e WHERE e.organization_id = t0.organization_id AND e.name = t0.name
            ORDER BY e.deleted_at DESC NULLS FIRST, e.id DESC LIMIT 1)",
    );
    let found: Vec<Emoji> = sql.load(&mut &*scope.reader().await?).await?;
    Ok(found.into_iter().map(|emoji| (emoji.name.clone(), Arc::new(emoji))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_none_of_unicodes() {
        let long = "a".repeat(40);
        for (given, kept) in [("party_blob", "party_blob"), (" Ship-It ", "ship-it"), ("b+2", "b+2"), (&long, &long)] {
            let mut errors = UserErrors::new();
            assert_eq!((tidied(given, &mut errors).as_str(), errors.is_empty()), (kept, true), "{given}");
        }
        for (given, code) in [
            ("", Code::Invalid),
            ("a", Code::Invalid),
            (":party:", Code::Invalid),
            ("two words", Code::Invalid),
            ("größe", Code::Invalid),
            ("party\0", Code::Invalid),
            (&"a".repeat(41), Code::Invalid),
            ("tada", Code::NotUnique),
            ("+1", Code::NotUnique),
            ("TADA", Code::NotUnique),
        ] {
            let mut errors = UserErrors::new();
            tidied(given, &mut errors);
            assert_eq!(errors.iter().map(|error| error.code).collect::<Vec<_>>(), [code], "{given}");
        }
        assert_eq!(in_colons(":Party_Blob:").as_deref(), Some("party_blob"));
        for none in ["", ":", "::", ":a:", "party", ":party", "party:", ":par ty:", ":a:b:", "👍", ":👍:"] {
            assert_eq!(in_colons(none), None, "{none}");
        }
    }
}
