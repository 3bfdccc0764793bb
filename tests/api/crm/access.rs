//! Who may do what: lists are narrowed, what cannot be read does not exist, what can be read but not changed is
//! FORBIDDEN, and a record goes only to an owner within reach.

use super::{account, ask, contact, create, created, end, lead, texts, update};
use crate::kit::{Founder, code, data, server, user_errors};
use serde_json::json;

/// The founder, a manager, a rep who reports to the manager, and one who does not.
async fn team() -> [Founder; 4] {
    let server = server().await;
    let founder = server.founder().await;
    let manager = server.member(&founder, "manager", None).await;
    let rep = server.member(&founder, "sales_rep", Some(manager.member)).await;
    let other = server.member(&founder, "sales_rep", Some(founder.member)).await;
    // Who leads somebody knows it from the next sign-in on.
    [founder, manager, rep, other]
}

#[tokio::test]
async fn lists_show_what_the_role_reaches() {
    let all @ [founder, manager, rep, other] = &team().await;
    for (who, name) in all.iter().zip(["founder", "manager", "rep", "other"]) {
        lead(who, name).await;
        account(who, name).await;
    }
    let query = "{ leads(orderBy: [{ field: LAST_NAME }]) { nodes { lastName } totalCount }
        leadAggregate(groupBy: [{ field: OWNER_ID }]) { count groups { count } }
        accounts { totalCount nodes { leads { totalCount } } } }";
    for (who, wanted) in [
        (founder, vec!["founder", "manager", "other", "rep"]),
        (manager, vec!["manager", "rep"]),
        (rep, vec!["rep"]),
        (other, vec!["other"]),
    ] {
        let answer = ask(who, query, json!({})).await;
        assert_eq!(texts(data(&answer, "leads.nodes"), "/lastName"), wanted);
        assert_eq!(data(&answer, "leads.totalCount"), wanted.len());
        assert_eq!(data(&answer, "leadAggregate.count"), wanted.len());
        assert_eq!(data(&answer, "leadAggregate.groups").as_array().map(Vec::len), Some(wanted.len()));
        assert_eq!(data(&answer, "accounts.totalCount"), 4);
    }
    for (role, leads, accounts) in [("support", false, true), ("member", false, false), ("guest", false, false)] {
        let who = server().await.member(founder, role, None).await;
        for (list, may) in [("leads", leads), ("leadAggregate", leads), ("accounts", accounts), ("contacts", accounts)]
        {
            let fields = if list == "leadAggregate" { "count" } else { "totalCount" };
            let answer = ask(&who, &format!("{{ {list} {{ {fields} }} }}"), json!({})).await;
            match may {
                true => _ = data(&answer, list),
                false => assert_eq!(code(&answer), "FORBIDDEN", "{role} {list}"),
            }
        }
    }
}

/// What somebody gets who reads, changes and deletes a record: its path in the answer.
#[tokio::test]
async fn writes_reach_as_far_as_the_role() {
    let [founder, manager, rep, other] = &team().await;
    let support = &server().await.member(founder, "support", None).await;
    let member = &server().await.member(founder, "member", None).await;
    let of_rep = (lead(rep, "L").await, account(rep, "A").await, contact(rep, "C").await);
    let of_founder = (lead(founder, "L").await, account(founder, "A").await, contact(founder, "C").await);
    let (ok, forbidden, hidden) = ("", "FORBIDDEN", "id NOT_FOUND");
    for (who, entity, id, reads, updates, deletes) in [
        (other, "Lead", &of_rep.0, false, hidden, hidden),
        (support, "Lead", &of_rep.0, false, hidden, hidden),
        (member, "Lead", &of_rep.0, false, hidden, hidden),
        (manager, "Lead", &of_founder.0, false, hidden, hidden),
        (rep, "Account", &of_founder.1, true, forbidden, forbidden),
        (manager, "Account", &of_founder.1, true, forbidden, forbidden),
        (support, "Account", &of_founder.1, true, ok, forbidden),
        (member, "Account", &of_founder.1, false, hidden, hidden),
        (rep, "Account", &of_rep.1, true, ok, forbidden),
        (manager, "Account", &of_rep.1, true, ok, ok),
        (rep, "Contact", &of_founder.2, true, forbidden, forbidden),
        (support, "Contact", &of_rep.2, true, ok, forbidden),
        (member, "Contact", &of_rep.2, false, hidden, hidden),
        (rep, "Lead", &of_rep.0, true, ok, ok),
        (founder, "Lead", &of_founder.0, true, ok, ok),
    ] {
        let one = entity.to_lowercase();
        let answer =
            ask(who, &format!("{{ {one}(id: \"{id}\") {{ id }} node(id: \"{id}\") {{ id }} }}"), json!({})).await;
        assert_eq!(data(&answer, &one).is_null(), !reads, "{} {entity}", who.email);
        assert_eq!(data(&answer, "node").is_null(), !reads);
        let tags = json!({ "id": id, "tags": [uuid::Uuid::new_v4().to_string()] });
        for (verb, wanted, answer) in [
            ("Update", updates, update(who, entity, tags).await),
            ("Delete", deletes, end(who, entity, "Delete", id).await),
        ] {
            match wanted {
                "FORBIDDEN" => assert_eq!(code(&answer), wanted, "{} {verb} {entity}", who.email),
                wanted => {
                    let told = user_errors(&answer, &format!("{one}{verb}"));
                    assert_eq!(told.join(", "), wanted, "{} {verb} {entity}", who.email);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_role_that_may_not_create_is_told_so_first() {
    let [founder, ..] = &team().await;
    for (role, entity) in [("support", "Lead"), ("support", "Account"), ("member", "Contact"), ("guest", "Lead")] {
        let who = server().await.member(founder, role, None).await;
        let input = match entity {
            "Account" => json!({ "name": "" }),
            _ => json!({ "firstName": "", "lastName": "" }),
        };
        assert_eq!(code(&create(&who, entity, input).await), "FORBIDDEN", "{role} {entity}");
    }
}

#[tokio::test]
async fn a_record_goes_to_an_owner_within_reach() {
    let [founder, manager, rep, other] = &team().await;
    let mine = |owner: serde_json::Value| json!({ "firstName": "A", "lastName": "B", "ownerId": owner });
    // Created for oneself unless said otherwise.
    for (who, owner, ok) in [
        (rep, json!(null), true),
        (rep, json!(rep.member), true),
        (rep, json!(other.member), false),
        (rep, json!(manager.member), false),
        (manager, json!(rep.member), true),
        (manager, json!(other.member), false),
        (founder, json!(other.member), true),
    ] {
        let answer = create(who, "Lead", mine(owner.clone())).await;
        match ok {
            true => _ = data(&answer, "leadCreate.lead.id").as_str().expect("an id"),
            false => assert_eq!(code(&answer), "FORBIDDEN", "{owner}"),
        }
    }
    for (who, from, to, ok) in [
        (rep, rep, json!(other.member), false),
        (rep, rep, json!(manager.member), false),
        (manager, rep, json!(manager.member), true),
        (manager, rep, json!(rep.member), true),
        (manager, rep, json!(other.member), false),
        (manager, rep, json!(null), false),
        (founder, rep, json!(other.member), true),
        (founder, rep, json!(null), true),
    ] {
        let id = created(founder, "Lead", mine(json!(from.member))).await;
        let answer = update(who, "Lead", json!({ "id": id, "ownerId": to })).await;
        match ok {
            true => assert_eq!(user_errors(&answer, "leadUpdate"), Vec::<String>::new()),
            false => assert_eq!(code(&answer), "FORBIDDEN", "{to}"),
        }
        let answer = ask(founder, &format!("{{ lead(id: \"{id}\") {{ ownerId }} }}"), json!({})).await;
        assert_eq!(*data(&answer, "lead.ownerId"), if ok { to } else { json!(from.member) });
    }
}
