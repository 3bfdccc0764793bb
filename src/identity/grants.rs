//! Permissions as a row keeps them: a list of `RESOURCE:ACTION:SCOPE`. Invariant: what this version does not know allows
//! nothing.

use super::viewer::Permission;
use crate::kit::{
    permission::Permissions,
    value::{Bind, Kind, Value},
};
use async_graphql::{
    ContextSelectionSet, OutputType, Positioned, ServerResult, Value as GraphqlValue, parser::types::Field,
    registry::Registry,
};
use diesel::{deserialize, pg::PgValue};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What is granted; `[Permission!]!` in GraphQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Grants(pub Permissions);

impl From<Vec<String>> for Grants {
    fn from(words: Vec<String>) -> Self {
        Grants(Permissions::of_words(&words))
    }
}

impl From<Grants> for Vec<String> {
    fn from(grants: Grants) -> Self {
        grants.0.words()
    }
}

impl Value for Grants {
    const KIND: Kind = Kind::Texts;

    fn read(raw: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        Ok(<Vec<String> as Value>::read(raw)?.into())
    }

    fn bind(&self) -> Bind {
        Bind::Texts(Some(self.0.words()))
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
        let list = Permission::all_of(&self.0);
        list.resolve(ctx, field).await
    }
}
