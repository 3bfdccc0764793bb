//! Organizations and members for tests.

use super::{Server, data};
use serde_json::json;
use uuid::Uuid;

/// The password of everybody who is made here.
pub const PASSWORD: &str = "nine purple otters juggle";

/// Somebody who is signed in; as a text, their access token.
#[derive(Clone)]
pub struct Founder {
    pub token: String,
    pub organization: Uuid,
    pub member: Uuid,
    pub email: String,
}

impl Server {
    /// Somebody who founds a new organization, and so owns it.
    pub async fn founder(&self) -> Founder {
        let name = Uuid::new_v4().simple().to_string();
        let email = format!("{name}@example.com");
        let input = json!({ "email": email, "password": PASSWORD, "fullName": "Ada Founder",
                            "organizationName": name, "organizationSlug": &name[..20] });
        let query = "mutation($input: RegisterInput!) { register(input: $input) {
            session { accessToken } userErrors { field message } } }";
        let answer = self.graphql(query, json!({ "input": input }), None).await;
        let token = data(&answer, "register.session.accessToken").as_str().expect("a token").to_owned();
        let viewer = self.graphql("{ viewer { memberId organization { id } } }", json!({}), Some(&token)).await;
        let id = |path: &str| data(&viewer, path).as_str().and_then(|id| id.parse().ok()).expect("an id");
        Founder { organization: id("viewer.organization.id"), member: id("viewer.memberId"), token, email }
    }

    /// Another member of the organization, signed in, with a built-in role (`sales_rep`); reports to `manager`.
    pub async fn member(&self, of: &Founder, role: &str, manager: Option<Uuid>) -> Founder {
        let (user, member) = (Uuid::now_v7(), Uuid::now_v7());
        let email = format!("{}@example.com", user.simple());
        let (organization, founder) = (of.organization, &of.email);
        let manager = manager.map_or("NULL".to_owned(), |id| format!("'{id}'"));
        self.sql(&format!(
            "INSERT INTO users (id, email, full_name, password_hash)
                 SELECT '{user}', '{email}', 'Bob {role}', password_hash FROM users WHERE email = '{founder}';
             INSERT INTO memberships (organization_id, id, user_id, name, email, role, manager_id, joined_at)
                 VALUES ('{organization}', '{member}', '{user}', 'Bob {role}', '{email}', '{role}', {manager}, now())"
        ))
        .await;
        let query = "mutation($input: LoginInput!) { login(input: $input) {
            session { accessToken } userErrors { field message } } }";
        let input = json!({ "input": { "email": email, "password": PASSWORD } });
        let answer = self.graphql(query, input, None).await;
        let token = data(&answer, "login.session.accessToken").as_str().expect("a token").to_owned();
        Founder { token, organization, member, email }
    }

    /// Makes somebody a member of another's organization too; who they are there.
    pub async fn joins(&self, who: &Founder, whose: &Founder, role: &str) -> Uuid {
        let member = Uuid::now_v7();
        self.sql(&format!(
            "INSERT INTO memberships (organization_id, id, user_id, name, email, role)
             SELECT '{}', '{member}', id, full_name, email, '{role}' FROM users WHERE email = '{}'",
            whose.organization, who.email
        ))
        .await;
        member
    }

    /// The access token of somebody new.
    pub async fn token(&self) -> String {
        self.founder().await.token
    }
}
