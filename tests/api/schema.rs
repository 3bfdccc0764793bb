//! What is generated from the code and the migrations, `schema.graphql` and `src/schema.rs`, is in step with them, and
//! the API keeps its own rules. `make schema` (STOA_UPDATE_SCHEMA=1) writes both files.

use crate::kit::{
    connect,
    introspection::{Types, arguments, list, name, reference},
    server,
};
use serde_json::Value;
use std::{env, fmt::Write, fs, path::Path};

/// Compares a file of the repository with what it has to be, or writes it.
fn in_step(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if env::var_os("STOA_UPDATE_SCHEMA").is_some() {
        fs::write(path, wanted).unwrap_or_else(|fault| panic!("{file}: {fault}"));
        return;
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let apart = found.lines().zip(wanted.lines()).enumerate().find(|(_, (found, wanted))| found != wanted);
    if let Some((line, (found, wanted))) = apart {
        panic!("{file} is out of step, run `make schema`. Line {}:\n  found  {found}\n  wanted {wanted}", line + 1);
    }
    assert!(found == wanted, "{file} is out of step: it ends too early or too late, run `make schema`");
}

#[test]
fn the_api_is_the_one_that_was_reviewed() {
    in_step("schema.graphql", &stoa::graphql::builder().finish().sdl());
}

#[tokio::test]
async fn the_tables_of_the_code_are_those_of_the_migrations() {
    let client = connect(&server().await.database).await;
    let tables = "
        SELECT c.oid, c.relname::text, obj_description(c.oid, 'pg_class'),
               (SELECT array_agg(a.attname::text ORDER BY place) FROM pg_index i,
                    unnest(i.indkey) WITH ORDINALITY AS u(number, place) JOIN pg_attribute a ON a.attnum = u.number
                WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid)
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
          AND c.relname <> '__diesel_schema_migrations' ORDER BY c.relname COLLATE \"C\"";
    let columns = "
        SELECT a.attname::text, t.typname::text, NOT a.attnotnull, col_description(a.attrelid, a.attnum)
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    // What diesel can join without being told how: one column, and one such key between the two.
    let joins = "
        SELECT k.conrelid::regclass::text, k.confrelid::regclass::text, min(a.attname::text)
        FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
        WHERE k.contype = 'f' AND array_length(k.conkey, 1) = 1 AND k.conrelid <> k.confrelid
          AND k.connamespace = 'public'::regnamespace
        GROUP BY k.conrelid, k.confrelid HAVING count(*) = 1
        ORDER BY k.conrelid::regclass::text COLLATE \"C\", k.confrelid::regclass::text COLLATE \"C\"";

    let mut file = "// Written by `make schema` from the migrated database.\n".to_owned();
    let mut names = Vec::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let (oid, table_name, comment, key): (u32, String, Option<String>, Vec<String>) =
            (table.get(0), table.get(1), table.get(2), table.get(3));
        file.push_str("\ndiesel::table! {\n");
        document(&mut file, "    ", comment);
        writeln!(file, "    {table_name} ({}) {{", key.join(", ")).unwrap();
        for column in client.query(columns, &[&oid]).await.unwrap() {
            let (column_name, kind, nullable): (String, String, bool) = (column.get(0), column.get(1), column.get(2));
            document(&mut file, "        ", column.get(3));
            let kind = match nullable {
                true => format!("Nullable<{}>", sql_type(&kind)),
                false => sql_type(&kind),
            };
            // A word of Rust cannot be a column's name there.
            if matches!(column_name.as_str(), "type" | "ref" | "use" | "move" | "match" | "in" | "for" | "where") {
                writeln!(file, "        #[sql_name = \"{column_name}\"]\n        {column_name}_ -> {kind},").unwrap();
            } else {
                writeln!(file, "        {column_name} -> {kind},").unwrap();
            }
        }
        file.push_str("    }\n}\n");
        names.push(table_name);
    }
    file.push('\n');
    for join in client.query(joins, &[]).await.unwrap() {
        let [child, parent, column] = [0, 1, 2].map(|index| join.get::<_, String>(index));
        writeln!(file, "diesel::joinable!({child} -> {parent} ({column}));").unwrap();
    }
    file.push_str("\ndiesel::allow_tables_to_appear_in_same_query!(\n");
    names.iter().for_each(|name| writeln!(file, "    {name},").unwrap());
    file.push_str(");\n");
    in_step("src/schema.rs", &file);
}

fn document(file: &mut String, indent: &str, comment: Option<String>) {
    comment.iter().flat_map(|text| text.lines()).for_each(|line| writeln!(file, "{indent}/// {line}").unwrap());
}

/// diesel's name of a type of PostgreSQL.
fn sql_type(name: &str) -> String {
    if let Some(element) = name.strip_prefix('_') {
        return format!("Array<Nullable<{}>>", sql_type(element));
    }
    let known = ["uuid", "text", "int4", "int8", "bool", "numeric", "jsonb", "bytea", "date", "timestamptz", "float8"];
    assert!(known.contains(&name), "teach this test what diesel calls {name}");
    format!("{}{}", name[..1].to_uppercase(), &name[1..])
}

/// Every description says more than the name does.
fn undescribed(what: &str, value: &Value) -> Option<String> {
    let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let told = value["description"].as_str().unwrap_or_default();
    let good = told.len() >= 5 && told.ends_with(['.', ':', ')']) && letters(told) != letters(name(value));
    (!good).then(|| format!("{what}: {told:?}"))
}

#[tokio::test]
async fn everything_has_a_description() {
    let types = Types::read().await;
    let mut faults = Vec::new();
    let built_in = ["Int", "Float", "String", "Boolean", "ID"];
    for (known, of) in types.iter().filter(|(known, _)| !built_in.contains(known)) {
        // The roots describe themselves.
        if !["Query", "Mutation", "Subscription"].contains(&known) {
            faults.extend(undescribed(known, of));
        }
        for field in list(&of["fields"]) {
            faults.extend(undescribed(&format!("{known}.{}", name(field)), field));
            for argument in list(&field["args"]) {
                faults.extend(undescribed(&format!("{known}.{}({}:)", name(field), name(argument)), argument));
            }
        }
        for value in list(&of["inputFields"]).iter().chain(list(&of["enumValues"])) {
            faults.extend(undescribed(&format!("{known}.{}", name(value)), value));
        }
        if of["kind"] == "SCALAR" && of["specifiedByURL"].is_null() {
            faults.push(format!("{known}: a scalar without specifiedBy"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// What a mutation does, as the last part of its name.
const VERBS: &[&str] = &[
    "BulkCreate",
    "BulkDelete",
    "BulkUpdate",
    "Accept",
    "Add",
    "Archive",
    "Begin",
    "Block",
    "Cancel",
    "Change",
    "Complete",
    "Confirm",
    "Convert",
    "Create",
    "Decline",
    "Delete",
    "Disable",
    "Discard",
    "Edit",
    "Export",
    "Follow",
    "Forgot",
    "Join",
    "Leave",
    "Link",
    "MarkDelivered",
    "MarkRead",
    "Pin",
    "Purge",
    "Reactivate",
    "Refresh",
    "Remove",
    "Renew",
    "Request",
    "Resend",
    "Reset",
    "Restore",
    "Retry",
    "Revoke",
    "Rotate",
    "Schedule",
    "Send",
    "SendNow",
    "Set",
    "Suspend",
    "Switch",
    "Test",
    "Transfer",
    "Unarchive",
    "Unblock",
    "Unfollow",
    "Unlink",
    "Unpin",
    "Update",
    "Verify",
];
/// Words that everybody knows from elsewhere.
const WORDS: [&str; 5] = ["login", "logout", "logoutEverywhere", "reauthenticate", "register"];

#[tokio::test]
async fn names_and_shapes_follow_the_rules() {
    let types = Types::read().await;
    let mut faults = Vec::new();
    let camel = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.contains('_');
    for (known, of) in types.iter() {
        for field in list(&of["fields"]).iter().chain(list(&of["inputFields"])) {
            if !camel(name(field)) {
                faults.push(format!("{known}.{}: fields are camelCase", name(field)));
            }
        }
        for value in list(&of["enumValues"]) {
            let loud = name(value).chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            if !loud || known.ends_with("Enum") {
                faults.push(format!(
                    "{known}.{}: enum values are SCREAMING_SNAKE, their types without suffix",
                    name(value)
                ));
            }
        }
        if known.ends_with("Connection") {
            let fields: Vec<String> =
                types.fields(known).iter().map(|f| format!("{} {}", name(f), reference(&f["type"]).text)).collect();
            let edge = known.replace("Connection", "Edge");
            let node = known.replace("Connection", "");
            let wanted = [
                format!("edges [{edge}!]!"),
                format!("nodes [{node}!]!"),
                "pageInfo PageInfo!".to_owned(),
                "totalCount Int!".to_owned(),
            ];
            faults.extend(wanted.iter().filter(|w| !fields.contains(w)).map(|w| format!("{known} lacks {w}")));
        }
    }
    for field in types.fields("Mutation") {
        let (verb, of, arguments) = (name(field), reference(&field["type"]), arguments(field));
        if !WORDS.contains(&verb) && !VERBS.iter().any(|known| verb.ends_with(known)) {
            faults.push(format!("Mutation.{verb}: mutations are noun + verb"));
        }
        if !of.name.ends_with("Payload") || of.required {
            faults.push(format!("Mutation.{verb}: answers a nullable …Payload, not {}", of.text));
        }
        let payload = types.fields(&of.name);
        let has = |member: &str, text: &str| {
            payload.iter().any(|field| name(field) == member && reference(&field["type"]).text == text)
        };
        if !has("query", "Query!") {
            faults.push(format!("{}: has no query: Query!", of.name));
        }
        let told = has("userErrors", "[UserError!]!");
        let told_per_item = payload.iter().any(|field| {
            let result = reference(&field["type"]);
            name(field) == "results" && types.fields(&result.name).iter().any(|member| name(member) == "userErrors")
        });
        if !told && !told_per_item {
            faults.push(format!("{}: tells no userErrors", of.name));
        }
        let one_input = arguments.len() == 1 && arguments[0].name == "input" && arguments[0].of.required;
        // These say nothing more than who asks.
        let of_who_asks =
            ["emailVerificationResend", "logout", "logoutEverywhere", "twoFactorBegin", "twoFactorRecoveryCodesRenew"]
                .contains(&verb);
        if !(one_input || of_who_asks && arguments.is_empty()) {
            faults.push(format!("Mutation.{verb}: takes one `input`"));
        }
    }
    for field in types.fields("Query") {
        let of = reference(&field["type"]);
        // A failure of one must not take the others along; the version cannot fail.
        if of.required && name(field) != "version" {
            faults.push(format!("Query.{}: root fields are nullable, not {}", name(field), of.text));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// What has an `id`, a `version` and its own lookup or list is an entity.
#[tokio::test]
async fn every_entity_is_a_node() {
    let types = Types::read().await;
    let entities = types.entities();
    let connections = types.iter().filter_map(|(known, _)| known.strip_suffix("Connection"));
    // Entries of logs are no records, and channels seen from outside are conversations.
    let logs = ["AuditEvent", "SignIn", "PublicChannel"];
    let missing: Vec<&str> =
        connections.filter(|entity| !entities.contains(entity) && !logs.contains(entity)).collect();
    assert!(missing.is_empty(), "these have lists and do not implement Node: {missing:?}");
}
