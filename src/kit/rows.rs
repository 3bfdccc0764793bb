//! Many rows at once, for what comes in bulk: demo data, imports. Invariant: names of tables and columns are the program's own;
//! all that anybody wrote is one value, read by PostgreSQL as the columns' types want it.

use super::{sql::Sql, value::Bind};
use serde_json::Value as Json;
use uuid::Uuid;

/// Inserts rows of an organization: an object each, by the names of the columns. More can follow, such as `ON CONFLICT`.
pub fn insertion(organization: Uuid, table: &'static str, columns: &[&'static str], rows: Json) -> Sql {
    let mut sql = Sql::new("INSERT INTO ");
    sql.name(table).push(" (organization_id");
    for column in columns {
        sql.push(", ").name(column);
    }
    sql.push(") SELECT ").bind(Bind::Uuid(Some(organization)));
    for column in columns {
        sql.push(", ").name(column);
    }
    sql.push(" FROM jsonb_populate_recordset(NULL::").name(table).push(", ").bind(Bind::Json(Some(rows))).push(")");
    sql
}
