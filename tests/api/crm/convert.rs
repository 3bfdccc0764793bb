//! Converting a lead: links what is named, makes what is not, once.

use super::{account, ask, contact, created, end, lead, update};
use crate::kit::{Founder, data, server, user_errors};
use serde_json::{Value, json};

const CONVERT: &str = "mutation($input: LeadConvertInput!) { leadConvert(input: $input) {
    lead { id status version convertedAt accountId contactId account { id } contact { id } }
    contact { id firstName lastName email title leadSource accountId address { street city } tags customFields ownerId }
    account { id name industry employees annualRevenue currency website billingAddress { street city } ownerId }
    userErrors { field message code } } }";

async fn convert(who: &Founder, input: Value) -> Value {
    ask(who, CONVERT, json!({ "input": input })).await
}

#[tokio::test]
async fn a_lead_becomes_a_contact_at_an_account() {
    let server = server().await;
    let who = server.founder().await;
    let rep = server.member(&who, "sales_rep", None).await;
    let input = json!({ "firstName": "Ada", "lastName": "L", "email": "ada@x.de", "title": "Dr", "source": "web",
        "company": "Engines", "industry": "IT", "employees": 3, "annualRevenue": 10, "currency": "EUR",
        "website": "https://x.de", "address": "S 1", "city": "B", "tags": ["t"], "customFields": { "k": "v" } });
    let id = created(&rep, "Lead", input).await;
    let answer = convert(&rep, json!({ "id": id, "expectedVersion": 1 })).await;
    let made = data(&answer, "leadConvert").clone();
    let (account, contact) = (&made["account"]["id"], &made["contact"]["id"]);
    assert_eq!(made["userErrors"], json!([]));
    assert_eq!(
        made["account"],
        json!({ "id": account, "name": "Engines", "industry": "IT", "employees": 3,
        "annualRevenue": "10.00", "currency": "EUR", "website": "https://x.de",
        "billingAddress": { "street": "S 1", "city": "B" }, "ownerId": rep.member })
    );
    assert_eq!(
        made["contact"],
        json!({ "id": contact, "firstName": "Ada", "lastName": "L", "email": "ada@x.de",
        "title": "Dr", "leadSource": "web", "accountId": account, "address": { "street": "S 1", "city": "B" },
        "tags": ["t"], "customFields": { "k": "v" }, "ownerId": rep.member })
    );
    let lead = &made["lead"];
    assert_eq!(
        (&lead["status"], &lead["version"], &lead["account"]["id"], &lead["contact"]["id"]),
        (&json!("CONVERTED"), &json!(2), account, contact)
    );
    assert!(lead["convertedAt"].is_string());

    // Once.
    let again = convert(&rep, json!({ "id": id })).await;
    assert_eq!(user_errors(&again, "leadConvert"), ["id CONFLICT"]);
    assert_eq!(data(&again, "leadConvert.lead.version"), 2);
    for (change, wanted) in [
        (json!({ "status": "NEW" }), "status STATE_INVALID"),
        (json!({ "accountId": null }), "accountId STATE_INVALID"),
        (json!({ "notes": "still to be changed" }), ""),
    ] {
        let mut change = change;
        change["id"] = id.clone().into();
        assert_eq!(user_errors(&update(&rep, "Lead", change).await, "leadUpdate").join(", "), wanted);
    }
}

#[tokio::test]
async fn what_is_named_is_linked_and_what_is_wrong_writes_nothing() {
    let server = server().await;
    let (who, stranger) = (server.founder().await, server.founder().await);
    let (acme, zeta, foreign) =
        (account(&who, "Acme").await, account(&who, "Zeta").await, account(&stranger, "F").await);
    let person = created(&who, "Contact", json!({ "firstName": "P", "lastName": "Q", "accountId": acme })).await;
    let unknown = uuid::Uuid::now_v7().to_string();
    let gone = account(&who, "Gone").await;
    let at_gone = created(&who, "Lead", json!({ "firstName": "A", "lastName": "B", "accountId": gone })).await;
    end(&who, "Account", "Delete", &gone).await;
    let before =
        server.count(&format!("SELECT count(*) FROM events WHERE organization_id = '{}'", who.organization)).await;
    for (input, wanted) in [
        (json!({ "accountId": unknown }), "accountId NOT_FOUND"),
        (json!({ "accountId": foreign }), "accountId NOT_FOUND"),
        (json!({ "contactId": unknown }), "contactId NOT_FOUND"),
        (json!({ "accountId": zeta, "contactId": person }), "contactId INVALID"),
        (json!({ "id": at_gone }), "accountId NOT_FOUND"),
        (json!({ "id": unknown }), "id NOT_FOUND"),
        (json!({ "expectedVersion": 7 }), "expectedVersion CONFLICT"),
    ] {
        let lead = json!(at_gone);
        let mut input = input;
        if input["id"].is_null() {
            input["id"] = lead;
        }
        assert_eq!(user_errors(&convert(&who, input.clone()).await, "leadConvert"), [wanted], "{input}");
    }
    let after =
        server.count(&format!("SELECT count(*) FROM events WHERE organization_id = '{}'", who.organization)).await;
    assert_eq!(before, after);
    for (input, account, contact) in [
        (json!({ "accountId": zeta }), &zeta, None),
        (json!({ "contactId": person }), &acme, Some(&person)),
        (json!({ "accountId": acme, "contactId": person }), &acme, Some(&person)),
    ] {
        let mut input = input;
        input["id"] = lead(&who, "N").await.into();
        let answer = convert(&who, input).await;
        assert_eq!(*data(&answer, "leadConvert.lead.accountId"), **account);
        let linked = data(&answer, "leadConvert.contact.id").as_str().expect("an id");
        assert!(contact.is_none_or(|contact| contact == linked));
    }
    // Without a company the account is named after the person.
    let answer = convert(&who, json!({ "id": lead(&who, "Alone").await })).await;
    assert_eq!(data(&answer, "leadConvert.account.name"), "Ada Alone");
    assert_eq!(*data(&answer, "leadConvert.contact.address"), Value::Null);
    _ = contact(&who, "unrelated").await;
}

#[tokio::test]
async fn of_parallel_conversions_exactly_one_wins() {
    let server = server().await;
    let who = server.founder().await;
    let id = lead(&who, "Contended").await;
    let answers = futures_util::future::join_all((0..6).map(|_| convert(&who, json!({ "id": id })))).await;
    let won = answers.iter().filter(|answer| user_errors(answer, "leadConvert").is_empty()).count();
    assert_eq!(won, 1);
    assert!(
        answers.iter().all(|answer| matches!(user_errors(answer, "leadConvert").join("").as_str(), "" | "id CONFLICT"))
    );
    let accounts = format!("SELECT count(*) FROM accounts WHERE organization_id = '{}'", who.organization);
    assert_eq!(server.count(&accounts).await, 1);
}
