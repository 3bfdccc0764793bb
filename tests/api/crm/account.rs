//! Accounts: their tree has no circle and at most ten levels, whatever happens at once.

use super::{account, ask, create, created, end, texts, update};
use crate::kit::{Founder, data, server, user_errors};
use serde_json::json;

/// Accounts, each below the one before.
async fn chain(who: &Founder, length: usize) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for level in 0..length {
        ids.push(created(who, "Account", json!({ "name": format!("L{level}"), "parentId": ids.last() })).await);
    }
    ids
}

async fn below(who: &Founder, id: &str, parent: &str) -> Vec<String> {
    user_errors(&update(who, "Account", json!({ "id": id, "parentId": parent })).await, "accountUpdate")
}

#[tokio::test]
async fn no_circle_and_ten_levels() {
    let who = server().await.founder().await;
    let ids = chain(&who, 10).await;
    let answer = create(&who, "Account", json!({ "name": "L10", "parentId": ids[9] })).await;
    assert_eq!(user_errors(&answer, "accountCreate"), ["parentId LIMIT_EXCEEDED"]);
    for (id, parent) in [(0, 0), (0, 1), (0, 9), (4, 7)] {
        assert_eq!(below(&who, &ids[id], &ids[parent]).await, ["parentId INVALID"], "{id} below {parent}");
    }
    // A tree of two levels fits below the eighth of the others, not below the ninth.
    let two = chain(&who, 2).await;
    assert_eq!(below(&who, &two[0], &ids[8]).await, ["parentId LIMIT_EXCEEDED"]);
    assert_eq!(below(&who, &two[0], &ids[7]).await, [""; 0]);
    // What lies between, deleted, still counts.
    end(&who, "Account", "Delete", &ids[5]).await;
    assert_eq!(below(&who, &ids[2], &ids[8]).await, ["parentId INVALID"]);
    let query = format!(
        "{{ account(id: \"{}\") {{ ancestors {{ name }} descendants {{ name }} parent {{ id }} children {{ totalCount }} }} }}",
        ids[7]
    );
    let answer = ask(&who, &query, json!({})).await;
    assert_eq!(texts(data(&answer, "account.ancestors"), "/name"), ["L6", "L4", "L3", "L2", "L1", "L0"]);
    assert_eq!(texts(data(&answer, "account.descendants"), "/name"), ["L8", "L0", "L9", "L1"]);
    assert_eq!(data(&answer, "account.children.totalCount"), 2);
    let id = json!({ "id": ids[0], "parentId": null });
    assert_eq!(user_errors(&update(&who, "Account", id).await, "accountUpdate"), [""; 0]);
}

#[tokio::test]
async fn moves_that_cross_do_not_close_a_circle() {
    let who = server().await.founder().await;
    for _ in 0..5 {
        let (a, b) = (account(&who, "A").await, account(&who, "B").await);
        let (one, two) = tokio::join!(below(&who, &a, &b), below(&who, &b, &a));
        let mut told = [one.join(""), two.join("")];
        told.sort();
        assert_eq!(told, ["", "parentId INVALID"]);
    }
}

#[tokio::test]
async fn what_others_refer_to_is_not_purged() {
    let who = server().await.founder().await;
    let id = account(&who, "Acme").await;
    let contact = created(&who, "Contact", json!({ "firstName": "A", "lastName": "B", "accountId": id })).await;
    end(&who, "Account", "Delete", &id).await;
    assert_eq!(user_errors(&end(&who, "Account", "Purge", &id).await, "accountPurge"), ["id IN_USE"]);
    assert_eq!(user_errors(&end(&who, "Account", "Restore", &id).await, "accountRestore"), [""; 0]);
    end(&who, "Account", "Delete", &id).await;
    // What refers to it can be changed while it is deleted, but nothing new may refer to it.
    let change = json!({ "id": contact, "title": "Dr" });
    assert_eq!(user_errors(&update(&who, "Contact", change).await, "contactUpdate"), [""; 0]);
    let answer = create(&who, "Contact", json!({ "firstName": "A", "lastName": "B", "accountId": id })).await;
    assert_eq!(user_errors(&answer, "contactCreate"), ["accountId NOT_FOUND"]);
    update(&who, "Contact", json!({ "id": contact, "accountId": null })).await;
    assert_eq!(user_errors(&end(&who, "Account", "Purge", &id).await, "accountPurge"), [""; 0]);
}

#[tokio::test]
async fn addresses_are_checked_part_by_part() {
    let who = server().await.founder().await;
    let bad = json!({ "name": "A", "billingAddress": { "street": "x".repeat(301), "postalCode": "1".repeat(21), "city": "\u{1}" },
                      "shippingAddress": { "country": "é".repeat(121) }, "domain": "x".repeat(251) });
    let wanted = [
        "domain TOO_LONG",
        "billingAddress.street TOO_LONG",
        "billingAddress.city INVALID",
        "billingAddress.postalCode TOO_LONG",
        "shippingAddress.country TOO_LONG",
    ];
    assert_eq!(user_errors(&create(&who, "Account", bad).await, "accountCreate"), wanted);
    let id =
        created(&who, "Account", json!({ "name": "A", "billingAddress": { "street": " S 1 ", "city": " " } })).await;
    let answer = ask(
        &who,
        &format!("{{ account(id: \"{id}\") {{ type currency billingAddress {{ street city }} }} }}"),
        json!({}),
    )
    .await;
    assert_eq!(
        *data(&answer, "account"),
        json!({ "type": "PROSPECT", "currency": "USD", "billingAddress": { "street": "S 1", "city": null } })
    );
}
