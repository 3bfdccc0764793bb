//! Aggregates: figures over all and by group, days in the organization's time zone.

use super::{ask, created};
use crate::kit::{Founder, code, data, server};
use serde_json::{Value, json};

async fn in_samoa() -> Founder {
    let server = server().await;
    let founder = server.founder().await;
    // Far from UTC: fourteen hours ahead. Who signs in now knows it.
    let zone =
        format!("UPDATE organizations SET time_zone = 'Pacific/Kiritimati' WHERE id = '{}'", founder.organization);
    server.sql(&zone).await;
    let who = server.member(&founder, "admin", None).await;
    for (source, status, score, revenue, contacted) in [
        (Some("web"), "NEW", 10, Some("1.10"), Some("2026-01-01T09:59:00Z")),
        (Some("web"), "CONTACTED", 20, Some("2.20"), Some("2026-01-01T10:00:00Z")),
        (Some("Web"), "NEW", 30, None, Some("2026-12-31T10:00:00Z")),
        (None, "NEW", 41, None, None),
    ] {
        let input = json!({ "firstName": "A", "lastName": "B", "source": source, "status": status, "score": score,
                            "annualRevenue": revenue, "lastContactedAt": contacted });
        created(&who, "Lead", input).await;
    }
    who
}

/// Keys and counts of the groups, joined.
fn groups(answer: &Value, path: &str) -> Vec<String> {
    let groups = data(answer, path).as_array().expect("groups");
    let one = |group: &Value| {
        let keys: Vec<&str> =
            group["keys"].as_array().expect("keys").iter().map(|key| key["value"].as_str().unwrap_or("null")).collect();
        format!("{} {}", keys.join("/"), group["count"])
    };
    groups.iter().map(one).collect()
}

#[tokio::test]
async fn figures_over_all_and_by_group() {
    let who = in_samoa().await;
    let query = "{ leadAggregate { count sum { score annualRevenue employees } avg { score annualRevenue }
        min { score annualRevenue } max { score annualRevenue } groups { count } }
        none: leadAggregate(filter: { score: { gt: 99 } }) { count sum { score } avg { score } }
        some: leadAggregate(filter: { score: { gt: 15 } }) { count sum { score } } }";
    let answer = ask(&who, query, json!({})).await;
    assert_eq!(
        *data(&answer, "leadAggregate"),
        json!({ "count": 4, "sum": { "score": "101", "annualRevenue": "3.30", "employees": null },
                "avg": { "score": "25.250000", "annualRevenue": "1.650000" },
                "min": { "score": "10", "annualRevenue": "1.10" }, "max": { "score": "41", "annualRevenue": "2.20" }, "groups": [] })
    );
    assert_eq!(*data(&answer, "none"), json!({ "count": 0, "sum": { "score": null }, "avg": { "score": null } }));
    assert_eq!(*data(&answer, "some"), json!({ "count": 3, "sum": { "score": "91" } }));
    let by = async |arguments: &str| {
        let query =
            format!("{{ leadAggregate({arguments}) {{ groups {{ keys {{ field value }} count sum {{ score }} }} }} }}");
        groups(&ask(&who, &query, json!({})).await, "leadAggregate.groups")
    };
    let owner = who.member;
    for (arguments, wanted) in [
        ("groupBy: [{ field: STATUS }]".to_owned(), vec!["NEW 3".to_owned(), "CONTACTED 1".into()]),
        ("groupBy: [{ field: SOURCE }]".into(), vec!["web 2".into(), "Web 1".into(), "null 1".into()]),
        ("groupBy: [{ field: OWNER_ID }]".into(), vec![format!("{owner} 4")]),
        ("groupBy: [{ field: SOURCE }, { field: STATUS }], first: 1".into(), vec!["Web/NEW 1".into()]),
        ("groupBy: [{ field: STATUS }], having: { count: { gte: 2 } }".into(), vec!["NEW 3".into()]),
        ("groupBy: [{ field: STATUS }], having: { count: { lt: 2, gt: 0 } }".into(), vec!["CONTACTED 1".into()]),
        ("groupBy: [{ field: STATUS }], having: { count: { eq: 9 } }".into(), vec![]),
        ("groupBy: []".into(), vec![]),
    ] {
        assert_eq!(by(&arguments).await, wanted, "{arguments}");
    }
}

/// 10:00 in UTC is midnight there.
#[tokio::test]
async fn days_begin_where_the_organization_is() {
    let who = in_samoa().await;
    // The converted time of a lead is what can be grouped by; it is set as the conversions would have.
    let server = server().await;
    server
        .sql(&format!(
            "UPDATE leads SET status = 'converted', converted_at = last_contacted_at
             WHERE organization_id = '{}' AND last_contacted_at IS NOT NULL",
            who.organization
        ))
        .await;
    for (part, wanted) in [
        ("DAY", vec!["2026-01-01 1", "2026-01-02 1", "2027-01-01 1", "null 1"]),
        ("WEEK", vec!["2025-12-29 2", "2026-12-28 1", "null 1"]),
        ("MONTH", vec!["2026-01-01 2", "2027-01-01 1", "null 1"]),
        ("QUARTER", vec!["2026-01-01 2", "2027-01-01 1", "null 1"]),
        ("YEAR", vec!["2026-01-01 2", "2027-01-01 1", "null 1"]),
    ] {
        let query = format!(
            "{{ leadAggregate(groupBy: [{{ field: CONVERTED_AT, by: {part} }}]) {{ groups {{ keys {{ field value }} count }} }} }}"
        );
        let answer = ask(&who, &query, json!({})).await;
        assert_eq!(groups(&answer, "leadAggregate.groups"), wanted, "{part}");
        assert_eq!(data(&answer, "leadAggregate.groups.0.keys.0.field"), "convertedAt");
    }
}

#[tokio::test]
async fn yes_and_no_are_groups_and_limits_hold() {
    let who = in_samoa().await;
    for (do_not_call, count) in [(true, 2), (false, 1)] {
        for _ in 0..count {
            created(&who, "Contact", json!({ "firstName": "A", "lastName": "B", "doNotCall": do_not_call })).await;
        }
    }
    let query = "{ contactAggregate(groupBy: [{ field: DO_NOT_CALL }]) { groups { keys { value } count } } }";
    assert_eq!(groups(&ask(&who, query, json!({})).await, "contactAggregate.groups"), ["true 2", "false 1"]);
    for arguments in [
        "groupBy: [{ field: STATUS }, { field: SOURCE }, { field: CITY }, { field: STATE }]",
        "groupBy: [{ field: STATUS, by: MONTH }]",
        "groupBy: [{ field: STATUS }], first: 0",
        "groupBy: [{ field: STATUS }], first: 201",
        "groupBy: [{ field: STATUS }], first: -1",
    ] {
        let answer = ask(&who, &format!("{{ leadAggregate({arguments}) {{ count }} }}"), json!({})).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{arguments}");
    }
}
