//! What PostgreSQL does for the lists that clients may ask for, through the role of requests and under row level
//! security, in a table with many rows. Invariant: no order and no condition that an index serves reads the whole table.

use super::{
    fill::{Extent, Filler},
    loosened,
    world::World,
};
use crate::kit::{
    Server, connect, database,
    introspection::{Types, list, name},
    server,
};
use async_graphql::{Name, Value as Const};
use diesel::{deserialize::QueryableByName, pg::Pg, row::NamedRow, sql_types::Text};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::sync::Arc;
use stoa::{
    crm::{account::Account, contact::Contact, lead::Lead},
    identity,
    kit::{
        entity::{Entity, List, ListArgs, select},
        scope::{RequestInfo, Scope},
        sql::Sql,
    },
};

const ROWS: u32 = 60_000;

struct Line(String);

impl QueryableByName<Pg> for Line {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> diesel::deserialize::Result<Self> {
        NamedRow::get::<Text, String>(row, "QUERY PLAN").map(Line)
    }
}

/// Conditions that no index serves: they read the organization's rows. The rule: an index for every
/// reference, for what imports look up, and for the orders in which people go through long lists (newest, last changed,
/// last spoken with, by name, company, address, score, what customers earn, and by status or source); not for what narrows
/// such a list further. An order without one says so in its description.
const WITHOUT_INDEX: [&str; 16] = [
    "phone",
    "title",
    "industry",
    "annualRevenue",
    "currency",
    "employees",
    "website",
    "city",
    "state",
    "country",
    "postalCode",
    "convertedAt",
    // Operators that are not leakproof (array and JSON containment, text within text) may not look at an index before the
    // policy has looked at the row.
    "tags",
    "customFields",
    "search",
    // Which of both kinds of rows, not which row.
    "deleted",
];

/// The values of an enum of orders that say they have no index.
fn unindexed<'a>(types: &'a Types, order: &str) -> Vec<&'a str> {
    let values = list(&types.get(order)["enumValues"]).iter();
    let says =
        |value: &&Value| value["description"].as_str().unwrap_or_default().contains("No index serves this order");
    values.filter(says).map(name).collect()
}

/// For the tables that grow long.
#[tokio::test]
async fn an_order_has_an_index_or_says_that_it_has_none() {
    let types = Types::read().await;
    let client = connect(&server().await.database).await;
    let index =
        "SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[1]
        WHERE i.indrelid = $1::text::regclass AND a.attname = $2
          AND coalesce(pg_get_expr(i.indpred, i.indrelid), '(deleted_at IS NULL)') = '(deleted_at IS NULL)'";
    for table in [Account::table(), Contact::table(), Lead::table()] {
        let order = format!("{}OrderField", table.entity);
        let without = unindexed(&types, &order);
        for value in types.values(&order) {
            let column = value.to_lowercase();
            let found: i64 = client.query_one(index, &[&table.name, &column]).await.expect("a count").get(0);
            assert_eq!(found == 0, without.contains(&value), "{order}.{value}: {found} indexes");
        }
    }
}

async fn plan(scope: &Scope, arguments: &Value) -> String {
    let arguments = arguments.as_object().expect("arguments").iter();
    let arguments =
        arguments.map(|(name, value)| (Name::new(name), Const::from_json(value.clone()).expect("a value"))).collect();
    let list = List::new(ListArgs::<Lead>::of(arguments).expect("arguments")).expect("a list");
    let mut sql = Sql::new("EXPLAIN ");
    sql.append(select(Lead::table()));
    list.push_where(scope, &mut sql).expect("conditions");
    list.push_window(&mut sql);
    let connection = scope.reader().await.expect("a connection");
    let lines: Vec<Line> = sql.load(&mut &*connection).await.expect("a plan");
    lines.into_iter().map(|line| line.0).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn lists_of_a_large_table_use_its_indexes() {
    let url = database("plans", "postgres").await;
    let server = Server::on(&url, loosened).await;
    let types = Types::read().await;
    let filler = Filler::new(&types);
    let world = World::found(&server, &filler).await;
    let (organization, members) = (world.founder.organization, [world.founder.member, world.colleague.member]);
    // A hundred members, of whom a few own much; every value with a spread of its own.
    server.sql(&format!(
        "INSERT INTO users (id, email, full_name) SELECT gen_random_uuid(), 'u' || n || '@plans.example', 'U' FROM generate_series(1, 100) n;
         INSERT INTO memberships (organization_id, id, user_id, name, email, role)
             SELECT '{organization}', gen_random_uuid(), id, 'M', email, 'sales_rep' FROM users WHERE email LIKE '%@plans.example';
         INSERT INTO accounts (organization_id, id, name) SELECT '{organization}', gen_random_uuid(), 'A' || n FROM generate_series(1, 3000) n;
         INSERT INTO contacts (organization_id, id, first_name, last_name) SELECT '{organization}', gen_random_uuid(), 'F', 'L' || n FROM generate_series(1, 3000) n;
         WITH m AS (SELECT array_agg(id) AS ids FROM memberships WHERE organization_id = '{organization}'),
              a AS (SELECT array_agg(id) AS ids FROM accounts WHERE organization_id = '{organization}'),
              c AS (SELECT array_agg(id) AS ids FROM contacts WHERE organization_id = '{organization}')
         INSERT INTO leads (organization_id, id, first_name, last_name, email, company, source, status, score, annual_revenue,
                employees, last_contacted_at, tags, owner_id, created_by, assigned_to_id, account_id, contact_id, created_at, updated_at,
                deleted_at, deleted_by, converted_at)
             SELECT '{organization}', gen_random_uuid(), 'F' || n % 500, 'L' || n % 9000, 'lead' || n || '@example.com', 'C' || n % 5000,
                (ARRAY['web', 'fair', 'mail', 'call'])[1 + n % 4], (ARRAY['new', 'contacted', 'qualified', 'unqualified'])[1 + n % 4], n % 101,
                n, n % 1000, now() - n * interval '7 minutes', ARRAY['t' || n % 3000],
                m.ids[1 + (n % 97) * (n % 97) % 100], m.ids[1 + n % 100], CASE WHEN n % 3 = 0 THEN m.ids[1 + n % 90] END,
                CASE WHEN n % 5 = 0 THEN a.ids[1 + n % 3000] END, CASE WHEN n % 11 = 0 THEN c.ids[1 + n % 3000] END,
                now() - n * interval '5 minutes', now() - n * interval '3 minutes',
                CASE WHEN n % 50 = 0 THEN now() - n * interval '1 minute' END, CASE WHEN n % 50 = 0 THEN m.ids[1 + n % 100] END, NULL
             FROM generate_series(1, {ROWS}) n, m, a, c;
         ANALYZE"
    )).await;
    let request = RequestInfo { id: Arc::from("plans"), ..RequestInfo::default() };
    let scope_of =
        async |token: &str| identity::authenticate(&server.app, token, request.clone()).await.expect("a scope");
    let (all, own) = (scope_of(&world.founder).await, scope_of(&world.colleague).await);

    let mut asked: Vec<(String, Value)> = vec![("newest first".to_owned(), json!({}))];
    for field in types.values("LeadOrderField") {
        for direction in types.values("OrderDirection") {
            asked.push((
                format!("{field} {direction}"),
                json!({ "orderBy": [{ "field": field, "direction": direction }] }),
            ));
        }
    }
    let leads = types.fields("Query").iter().find(|field| name(field) == "leads").expect("leads");
    for input in types.inputs("LeadFilter") {
        let operators =
            if types.kind(&input.of.name) == "INPUT_OBJECT" { types.inputs(&input.of.name) } else { Vec::new() };
        let Some(operator) = operators.iter().find(|operator| ["eq", "has"].contains(&operator.name.as_str())) else {
            continue;
        };
        let place = ["filter".to_owned(), input.name.clone(), operator.name.clone()];
        let mut arguments = filler.arguments(leads, Extent::Needed, &place, &world).expect("values");
        if input.name == "deletedAt" || input.name == "deletedBy" {
            arguments["filter"]["deleted"] = json!("ONLY");
        }
        if operator.of.name == "ID" {
            arguments["filter"][&input.name]["eq"] = json!(members[1]);
        }
        asked.push((input.name, Value::Object(arguments)));
    }
    let unindexed = unindexed(&types, "LeadOrderField");
    let mut faults = Vec::new();
    for (what, arguments) in asked {
        for (who, scope) in [("all", &all), ("own", &own)] {
            let plan = plan(scope, &arguments).await;
            let field = what.split(' ').next().unwrap_or_default();
            let excused = WITHOUT_INDEX.contains(&field) || unindexed.contains(&field);
            if plan.contains("Seq Scan on leads") && !excused {
                faults.push(format!("{what} for {who}:\n{plan}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} lists read the whole table:\n{}", faults.len(), faults.join("\n\n"));
    server.stop().await;
}
