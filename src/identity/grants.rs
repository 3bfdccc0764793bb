//! Permissions as a row keeps them: a list of `RESOURCE:ACTION:SCOPE`. Invariant: what this version does not know allows
//! nothing.

use super::viewer::Permission;
use crate::kit::{
    permission::{Action, Permissions, Reach, Resource},
    value::{Bind, Kind, Value},
};
use async_graphql::{
    ContextSelectionSet, OutputType, Positioned, ServerResult, Value as GraphqlValue, parser::types::Field,
    registry::Registry,
};
use diesel::{deserialize, pg::PgValue};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const REACHES: [(Reach, &str); 3] = [(Reach::Own, "OWN"), (Reach::Team, "TEAM"), (Reach::All, "ALL")];

/// What is granted; `[Permission!]!` in GraphQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Grants(pub Permissions);

impl Grants {
    /// As it is stored.
    pub fn words(&self) -> Vec<String> {
        let word = |reach| REACHES.iter().find(|(known, _)| *known == reach).map_or("", |(_, word)| *word);
        self.0.iter().map(|(resource, action, reach)| format!("{resource}:{action}:{}", word(reach))).collect()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Grants {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        Grants(words.into_iter().filter_map(|word| read(word.as_ref())).collect())
    }
}

fn read(word: &str) -> Option<(Resource, Action, Reach)> {
    let (resource, rest) = word.split_once(':')?;
    let (action, reach) = rest.split_once(':')?;
    Some((
        Resource::ALL.iter().copied().find(|known| known.as_str() == resource)?,
        Action::ALL.iter().copied().find(|known| known.as_str() == action)?,
        REACHES.iter().find(|(_, word)| *word == reach).map(|(reach, _)| *reach)?,
    ))
}

impl From<Vec<String>> for Grants {
    fn from(words: Vec<String>) -> Self {
        words.into_iter().collect()
    }
}

impl From<Grants> for Vec<String> {
    fn from(grants: Grants) -> Self {
        grants.words()
    }
}

impl Value for Grants {
    const KIND: Kind = Kind::Texts;

    fn read(raw: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        Ok(<Vec<String> as Value>::read(raw)?.into())
    }

    fn bind(&self) -> Bind {
        Bind::Texts(Some(self.words()))
    }
}

impl OutputType for Grants {
    fn type_name() -> Cow<'static, str> {
        Vec::<Permission>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<Permission>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<GraphqlValue> {
        let permission = |(resource, action, scope)| Permission { resource, action, scope };
        let list: Vec<Permission> = self.0.iter().map(permission).collect();
        list.resolve(ctx, field).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_read_back_and_what_is_not_known_allows_nothing() {
        let all = Grants(super::super::permissions(crate::kit::permission::Role::Owner));
        assert_eq!(all.words().iter().collect::<Grants>(), all);
        assert!(all.words().contains(&"CONVERSATION:READ:OWN".to_owned()));
        let odd = ["LEAD:READ:OWN", "LEAD:READ", "LEAD:READ:", "SHIP:READ:ALL", "LEAD:SAIL:ALL", "LEAD:READ:FAR", ""];
        assert_eq!(odd.iter().collect::<Grants>().words(), ["LEAD:READ:OWN"]);
    }
}
