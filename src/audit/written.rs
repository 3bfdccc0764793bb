//! Events of the audit trail as lines of a file: their columns.

use super::{AuditActorKind, AuditEvent};
use crate::{error::Result, kit::export};
use async_graphql::ScalarType;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use uuid::Uuid;

/// What members are called.
pub type Names = HashMap<Uuid, String>;

const COLUMNS: [&str; 13] = [
    "at",
    "action",
    "entity",
    "entityId",
    "actorKind",
    "actorId",
    "actorName",
    "apiKeyId",
    "address",
    "userAgent",
    "requestId",
    "changes",
    "id",
];

/// By name, in the order of `COLUMNS`.
fn fields(event: &AuditEvent, names: &Names) -> [Json; COLUMNS.len()] {
    let kind = match event.actor_kind {
        AuditActorKind::Member => "MEMBER",
        AuditActorKind::ApiKey => "API_KEY",
        AuditActorKind::Stranger => "STRANGER",
        AuditActorKind::System => "SYSTEM",
    };
    let told = event.changes.iter().map(|change| {
        let value = |value: &Option<crate::kit::scalars::AnyJson>| value.as_ref().map(|value| value.0.clone());
        json!({ "field": change.field, "old": value(&change.old), "new": value(&change.new) })
    });
    [
        event.at.to_value().into_json().unwrap_or_default(),
        json!(event.action),
        json!(event.entity),
        json!(event.entity_id.0),
        json!(kind),
        json!(event.actor_id.map(|id| id.0)),
        json!(event.actor_id.and_then(|id| names.get(&id.0))),
        json!(event.api_key_id.map(|id| id.0)),
        json!(event.address),
        json!(event.user_agent),
        json!(event.request_id),
        told.collect(),
        json!(event.id.0),
    ]
}

/// An object a line.
pub fn json_lines(events: &[AuditEvent], names: &Names) -> Result<Vec<u8>> {
    export::json_lines(&COLUMNS, events.iter().map(|event| fields(event, names)))
}

/// Rows of a table, behind the names of its columns at the `head` of the file.
pub fn csv(events: &[AuditEvent], names: &Names, head: bool) -> Result<Vec<u8>> {
    export::csv(&COLUMNS, events.iter().map(|event| fields(event, names)), head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{
        export::harmless,
        history::FieldChange,
        scalars::{AnyJson, DateTime},
    };

    fn event(user_agent: &str) -> AuditEvent {
        AuditEvent {
            id: Uuid::from_u128(1).into(),
            at: DateTime(chrono::DateTime::UNIX_EPOCH),
            action: "updated".to_owned(),
            entity: "Lead".to_owned(),
            entity_id: Uuid::from_u128(2).into(),
            changes: vec![FieldChange { field: "x".to_owned(), old: None, new: Some(AnyJson(json!("a\n\"b\""))) }],
            actor_kind: AuditActorKind::Member,
            actor_id: Some(Uuid::from_u128(3).into()),
            api_key_id: None,
            request_id: None,
            address: Some("::1".to_owned()),
            user_agent: Some(user_agent.to_owned()),
        }
    }

    #[test]
    fn a_cell_is_a_text_whatever_it_says() {
        for (content, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=HYPERLINK(\"http://evil\")", "\"'=HYPERLINK(\"\"http://evil\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
            ("x\",\"=1+1", "\"x\"\",\"\"=1+1\""),
        ] {
            let names = Names::from([(Uuid::from_u128(3), content.to_owned())]);
            let table = String::from_utf8(csv(&[event(content)], &names, false).unwrap()).unwrap();
            assert!(table.contains(&format!(",::1,{expected},,")), "{content}: {table}");
            assert!(table.contains(&format!("-000000000003,{expected},,::1,")), "{content}: {table}");
            // And back.
            let mut read = csv::ReaderBuilder::new().has_headers(false).from_reader(table.as_bytes());
            let rows: Vec<csv::StringRecord> = read.records().map(Result::unwrap).collect();
            assert_eq!((rows.len(), rows[0].len(), &rows[0][9]), (1, COLUMNS.len(), &*harmless(content)));
        }
    }

    #[test]
    fn a_line_is_an_object() {
        let lines = json_lines(&[event("a"), event("b\nc")], &Names::default()).unwrap();
        let lines = String::from_utf8(lines).unwrap();
        let lines: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[1]["userAgent"], &lines[0]["actorName"]), (2, &json!("b\nc"), &Json::Null));
        assert_eq!(lines[0]["at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(lines[0]["changes"], json!([{ "field": "x", "old": null, "new": "a\n\"b\"" }]));
    }
}
