//! Each built-in role, and one of an organization's own: what its table of permissions does not name is neither shown nor
//! changed, by whatever way one comes, and what it names is.

use super::{
    feed::Feed,
    fill::{ANY, Extent, Filler, Selected, Source},
    loosened,
    world::World,
};
use crate::kit::{
    Founder, Server, data,
    introspection::{Types, list, name, reference},
};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use stoa::{
    identity::permissions,
    kit::permission::{Action, Permissions, Reach, Resource, Role},
};
use tokio::time::Instant;
use uuid::Uuid;

/// A record, whose it is, and the word in all its texts.
struct Planted {
    resource: Resource,
    id: String,
    owner: &'static str,
    word: String,
}

struct Stage<'a> {
    server: &'a Server,
    filler: &'a Filler<'a>,
    role: &'static str,
    permissions: Permissions,
    founder: World,
    actor: Founder,
    records: Vec<Planted>,
    /// Words of conversations and members, and whether the actor may see them.
    others: Vec<(String, bool)>,
    /// Where the log stood before.
    begin: String,
    faults: Vec<String>,
}

fn resource(entity: &str) -> Option<Resource> {
    Resource::ALL.iter().copied().find(|resource| resource.as_str().eq_ignore_ascii_case(entity))
}

/// Whether a reach covers what that member owns, seen by the actor.
fn covers(reach: Option<Reach>, owner: &str) -> bool {
    match reach {
        None => false,
        Some(Reach::Own) => owner == "own",
        Some(Reach::Team) => owner == "own" || owner == "mate",
        Some(Reach::All) => true,
    }
}

impl<'a> Stage<'a> {
    async fn set(server: &'a Server, filler: &'a Filler<'a>, role: &'static str, permissions: Permissions) -> Self {
        let founder = server.founder().await;
        let actor = match Role::parse(role) {
            Some(_) => server.member(&founder, role, Some(founder.member)).await,
            None => with_own_role(server, &founder, &permissions).await,
        };
        let mate = server.member(&founder, "sales_rep", Some(actor.member)).await;
        let other = server.member(&founder, "sales_rep", Some(founder.member)).await;
        let nonce = Uuid::new_v4().simple().to_string()[..6].to_owned();
        let mut world = World {
            founder: founder.clone(),
            colleague: other.clone(),
            marker: nonce.clone(),
            ids: BTreeMap::new(),
            secrets: Default::default(),
            cursors: Default::default(),
        };
        let members = [("own", &actor), ("mate", &mate), ("other", &other), ("founder", &founder)];
        let everybody = permissions.reach(Resource::Member, Action::Read) == Some(Reach::All);
        let mut others = Vec::new();
        for (who, member) in members {
            let word = format!("m{nonce}{who}");
            server
                .sql(&format!(
                    "UPDATE memberships SET name = '{word}', title = '{word}' WHERE id = '{}'",
                    member.member
                ))
                .await;
            // Who may see only themselves still sees whom they talk with.
            others.push((word, everybody || who == "own" || who == "founder"));
        }
        let answer = world.ask(server, "{ changes { cursor } }", json!({})).await;
        let begin = data(&answer, "changes.cursor").as_str().unwrap().to_owned();
        // Behind the first of each kind the feeds begin.
        let owners = [
            ("first", None),
            ("own", Some(actor.member)),
            ("mate", Some(mate.member)),
            ("other", Some(other.member)),
            ("nobody", None),
        ];
        let mut records = Vec::new();
        // In the order of the resources, so that later ones refer to earlier ones, and those to records of others.
        for (entity, resource) in Resource::ALL.iter().filter_map(|r| {
            let entity = filler.types.entities().into_iter().find(|entity| resource(entity) == Some(*r))?;
            Some((entity, *r))
        }) {
            let of = format!("{entity}CreateInput");
            if !filler.types.iter().any(|(known, _)| known == of)
                || !filler.types.inputs(&of).iter().any(|input| input.name == "ownerId")
            {
                continue;
            }
            let verb = format!("{}Create", entity.to_lowercase());
            let field = filler.types.fields("Mutation").iter().find(|field| name(field) == verb).unwrap();
            for (owner, member) in owners {
                world.marker = format!("r{nonce}{}{owner}", entity.to_lowercase());
                let mut input = filler.arguments(field, Extent::Full, &[], &world).unwrap();
                input["input"]["ownerId"] = json!(member);
                let id = input["input"]["id"].as_str().unwrap().to_owned();
                world.create_one(server, filler, field, input).await;
                world.ids.entry(entity.to_owned()).or_default().insert(0, id.clone());
                records.push(Planted { resource, id, owner, word: world.marker.clone() });
            }
        }
        let (word, job) = (format!("j{nonce}"), Uuid::now_v7().to_string());
        server
            .sql(&format!(
                "INSERT INTO jobs (id, organization_id, kind, about, status, max_attempts, last_error, finished_at)
                 VALUES ('{job}', '{}', 'mail', '{word}', 'dead', 3, '{word}', now())",
                founder.organization
            ))
            .await;
        world.ids.insert("Job".to_owned(), vec![job]);
        others.push((word, permissions.reach(Resource::Job, Action::Read).is_some()));
        let (word, emoji) = (format!("e{nonce}"), Uuid::now_v7().to_string());
        server
            .sql(&format!(
                "INSERT INTO emojis (organization_id, id, name, picture) VALUES ('{}', '{emoji}', '{word}', '{emoji}')",
                founder.organization
            ))
            .await;
        world.ids.insert("Emoji".to_owned(), vec![emoji]);
        others.push((word, permissions.reach(Resource::Emoji, Action::Read).is_some()));
        let word = format!("t{nonce}");
        let made = world
            .ask(
                server,
                "mutation($name: String!, $leader: ID) {
                    teamCreate(input: { name: $name, leaderId: $leader }) { team { id } }
                    roleCreate(input: { name: $name, permissions: [] }) { role { id } } }",
                json!({ "name": word, "leader": other.member }),
            )
            .await;
        for (entity, path) in [("Team", "teamCreate.team.id"), ("CustomRole", "roleCreate.role.id")] {
            world.ids.insert(entity.to_owned(), vec![data(&made, path).as_str().unwrap().to_owned()]);
        }
        let read = |resource| permissions.reach(resource, Action::Read).is_some();
        assert_eq!(read(Resource::Team), read(Resource::Role), "one word stands in both");
        others.push((word, read(Resource::Team)));
        let word = format!("i{nonce}");
        let made = world
            .ask(
                server,
                "mutation($input: InvitationCreateInput!) { invitationCreate(input: $input) { invitation { id } } }",
                json!({ "input": { "email": format!("{word}@example.com"), "role": "GUEST" } }),
            )
            .await;
        let invitation = data(&made, "invitationCreate.invitation.id").as_str().unwrap().to_owned();
        world.ids.insert("Invitation".to_owned(), vec![invitation]);
        others.push((word, permissions.reach(Resource::Invitation, Action::Read) == Some(Reach::All)));
        let word = format!("k{nonce}");
        let made = world
            .ask(
                server,
                "mutation($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { apiKey { id } } }",
                json!({ "input": { "name": word, "permissions": { "resource": "LEAD", "action": "READ", "scope": "OWN" } } }),
            )
            .await;
        let key = data(&made, "apiKeyCreate.apiKey.id").as_str().unwrap().to_owned();
        world.ids.insert("ApiKey".to_owned(), vec![key]);
        others.push((word, permissions.reach(Resource::ApiKey, Action::Read) == Some(Reach::All)));
        let word = format!("f{nonce}");
        let file = upload(&world, server, &word).await;
        world.ids.insert("File".to_owned(), vec![file]);
        // Until it belongs to something it is for who has uploaded it, and for who may delete all.
        others.push((word, permissions.reach(Resource::File, Action::Delete) == Some(Reach::All)));
        let word = format!("u{nonce}");
        let made = world
            .ask(
                server,
                "mutation($id: ID!, $name: String!) {
                    userContactRequest(input: { memberId: $id }) { userErrors { message } }
                    userContactUpdate(input: { memberId: $id, nickname: $name }) { userContact { id } } }",
                json!({ "id": other.member, "name": word }),
            )
            .await;
        let contact = data(&made, "userContactUpdate.userContact.id").as_str().unwrap().to_owned();
        world.ids.insert("UserContact".to_owned(), vec![contact]);
        // A list is its owner's alone.
        others.push((word, false));
        world.marker = format!("n{nonce}");
        let everyone: Vec<String> = members.iter().map(|(_, member)| member.member.to_string()).collect();
        world.ids.insert("Member".to_owned(), everyone);
        for (where_, with, seen) in
            [("in", actor.member, true), ("out", other.member, false), ("left", actor.member, false)]
        {
            let word = format!("c{nonce}{where_}");
            let made = world.ask(server, "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) { conversation { id } } }",
                json!({ "input": { "title": word, "topic": word, "memberIds": [with] } })).await;
            let id = data(&made, "conversationCreate.conversation.id").clone();
            if where_ == "left" {
                let left = world.ask(server, "mutation($input: ParticipantInput!) { participantRemove(input: $input) { userErrors { message } } }",
                    json!({ "input": { "conversationId": id, "memberId": with } })).await;
                assert_eq!(data(&left, "participantRemove.userErrors"), &json!([]));
            }
            let attached = format!("a{nonce}{where_}");
            let file = upload(&world, server, &attached).await;
            server
                .sql(&format!(
                    "UPDATE files SET state = 'ready', object = id::text, checksum = '', upload_until = NULL WHERE id = '{file}'"
                ))
                .await;
            let sent = world
                .ask(
                    server,
                    "mutation($input: MessageSendInput!) { messageSend(input: $input) { message { id } } }",
                    json!({ "input": { "conversationId": id, "body": format!("{word} <@channel>"), "fileIds": [file] } }),
                )
                .await;
            // What the founder has scheduled is nobody else's, wherever it goes.
            let scheduled = format!("s{nonce}{where_}");
            let tomorrow = (Utc::now() + TimeDelta::days(1)).to_rfc3339();
            let made = world
                .ask(
                    server,
                    "mutation($input: MessageScheduleInput!) { messageSchedule(input: $input) { scheduledMessage { id } } }",
                    json!({ "input": { "conversationId": id, "body": scheduled, "scheduledFor": tomorrow } }),
                )
                .await;
            let made = data(&made, "messageSchedule.scheduledMessage.id").as_str().unwrap().to_owned();
            world.ids.entry("ScheduledMessage".to_owned()).or_default().push(made);
            others.push((scheduled, false));
            world.ids.entry("File".to_owned()).or_default().push(file);
            others.push((attached, seen && permissions.reach(Resource::File, Action::Read).is_some()));
            world
                .ids
                .entry("Message".to_owned())
                .or_default()
                .push(data(&sent, "messageSend.message.id").as_str().unwrap().to_owned());
            world.ids.entry("Conversation".to_owned()).or_default().push(id.as_str().unwrap().to_owned());
            others.push((word, seen));
        }
        let found = world.ask(server, "{ mentions { nodes { id } } }", json!({})).await.to_string();
        world.ids.insert("Mention".to_owned(), super::world::uuids(&found).map(str::to_owned).collect());
        let found = world.ask(server, "{ messageAttachments { nodes { id } } }", json!({})).await.to_string();
        world.ids.insert("MessageAttachment".to_owned(), super::world::uuids(&found).map(str::to_owned).collect());
        let found = world.ask(server, "{ conversations { nodes { participants { nodes { id } } } } }", json!({})).await;
        let text = found.to_string();
        world.ids.insert("Participant".to_owned(), super::world::uuids(&text).map(str::to_owned).collect());
        // Everybody's, of conversations that the actor is in, or was, or never was.
        let organization = founder.organization;
        stoa::messaging::notification::follow::catch_up(&server.app, organization).await.expect("caught up");
        let all =
            format!("SELECT string_agg(id::text, ' ') FROM notifications WHERE organization_id = '{organization}'");
        let found = server.text(&all).await;
        world.ids.insert("Notification".to_owned(), super::world::uuids(&found).map(str::to_owned).collect());
        Stage { server, filler, role, permissions, founder: world, actor, records, others, begin, faults: Vec::new() }
    }

    fn reach(&self, resource: Resource, action: Action) -> Option<Reach> {
        self.permissions.reach(resource, action)
    }

    async fn ask(&self, document: &str, variables: Value) -> Value {
        self.server.graphql(document, variables, Some(&self.actor)).await
    }

    /// Everything that can be asked: every query with every id, every grouping, the log from the beginning.
    async fn look(&self) -> String {
        let (mut shown, mut fields, source) = (String::new(), Vec::new(), &self.founder);
        for field in self.filler.types.fields("Query") {
            let input = self.filler.arguments(field, Extent::Needed, &[], source).expect("values");
            let mut inputs = vec![input.clone()];
            if input.contains_key("id") {
                let kind = self.filler.kind(&[name(field).to_owned(), "id".to_owned()]);
                inputs.extend(
                    source.ids(&kind, true).into_iter().map(|id| [("id".to_owned(), json!(id))].into_iter().collect()),
                );
            }
            for argument in list(&field["args"]) {
                match name(argument) {
                    "after" if name(field) == "changes" => {
                        inputs.push([("after".to_owned(), json!(self.begin))].into_iter().collect())
                    }
                    "groupBy" => {
                        let of = reference(&argument["type"]).name;
                        let by = self
                            .filler
                            .types
                            .inputs(&of)
                            .into_iter()
                            .find(|input| input.name == "field")
                            .expect("a field")
                            .of
                            .name;
                        let each = self.filler.types.values(&by).into_iter();
                        inputs.extend(
                            each.map(|by| [("groupBy".to_owned(), json!([{ "field": by }]))].into_iter().collect()),
                        );
                    }
                    _ => {}
                }
            }
            for (place, input) in inputs.into_iter().enumerate() {
                let entities = if place == 0 { 2 } else { 1 };
                fields.push(self.filler.select("Query", field, &format!("a{}", fields.len()), input, entities));
            }
        }
        for fields in fields.chunks(40) {
            let (document, variables) = Selected::document("query", fields);
            let answer = self.ask(&document, variables).await;
            for error in list(&answer["errors"]) {
                assert_eq!(error["extensions"]["code"], "FORBIDDEN", "{error}");
            }
            shown.push_str(&answer["data"].to_string());
        }
        shown
    }

    /// The feed of each kind of record from the beginning until something new of the actor's own.
    async fn follow(&mut self) -> String {
        let mut shown = String::new();
        let pages = "query($after: String) { changes(after: $after, first: 1) { events { cursor type } } }";
        let first = self.founder.ask(self.server, pages, json!({ "after": self.begin })).await;
        assert!(!list(data(&first, "changes.events")).is_empty());
        for kind in self.filler.types.values("RecordType") {
            let entity = kind.to_lowercase();
            let resource =
                Resource::ALL.iter().copied().find(|resource| resource.as_str() == kind).expect("a resource");
            let document = format!("subscription($after: String) {{ recordEvents(entity: {kind}, after: $after) {{
                ... on RecordChanged {{ recordId changes {{ old new }} record {{ __typename
                    ... on Account {{ name description ownerId }} ... on Contact {{ firstName lastName }} ... on Lead {{ firstName lastName company }} }} }} }} }}");
            let events = self
                .founder
                .ask(
                    self.server,
                    "query($after: String) { changes(after: $after) { events { cursor type } } }",
                    json!({ "after": self.begin }),
                )
                .await;
            let after = list(data(&events, "changes.events"))
                .iter()
                .find(|event| event["type"] == kind)
                .map(|event| event["cursor"].clone());
            let mut feed = Feed::open(self.server, &document, &json!({ "after": after }), Some(&self.actor)).await;
            let created = self
                .filler
                .types
                .fields("Mutation")
                .iter()
                .find(|field| name(field) == format!("{entity}Create"))
                .expect("a creator");
            let mut input = self.filler.arguments(created, Extent::Needed, &[], &self.founder).expect("values");
            let id = Uuid::now_v7().to_string();
            input["input"]["id"] = json!(id);
            input["input"]["ownerId"] = json!(self.actor.member);
            self.founder.create_one(self.server, self.filler, created, input).await;
            let begin = Instant::now();
            while !feed.ended && !feed.text.contains(&id) {
                assert!(begin.elapsed() < Duration::from_secs(20), "{} of {kind}: {}", self.role, feed.text);
                feed.read(Duration::from_millis(50)).await;
            }
            let told = feed.text.contains(&id);
            if told != self.reach(resource, Action::Read).is_some() {
                self.faults.push(format!("{}: the feed of {kind} is open: {told}", self.role));
            }
            shown.push_str(&feed.text);
        }
        shown
    }

    /// What is shown is what the table of permissions names, and all of it.
    fn compare(&mut self, shown: &str, all: bool, by: &str) {
        let words: Vec<(String, bool)> = self
            .records
            .iter()
            .filter(|record| all || record.owner != "first")
            .map(|record| (record.word.clone(), covers(self.reach(record.resource, Action::Read), record.owner)))
            .chain(if all { self.others.clone() } else { Vec::new() })
            .collect();
        for (word, may) in words {
            if shown.contains(&word) != may {
                self.faults.push(format!("{}: {word} by {by}: shown {}, allowed {may}", self.role, !may));
            }
        }
    }

    /// Counts give nothing away either.
    async fn count(&mut self) {
        let resources: Vec<Resource> = Resource::ALL
            .iter()
            .copied()
            .filter(|resource| self.records.iter().any(|record| record.resource == *resource))
            .collect();
        for resource in resources {
            let field = format!("{}Aggregate", resource.as_str().to_lowercase());
            let answer = self.ask(&format!("{{ {field} {{ count }} }}"), json!({})).await;
            let here = |record: &&Planted| {
                record.resource == resource && covers(self.reach(resource, Action::Read), record.owner)
            };
            let (counted, wanted) = (
                answer["data"][&field]["count"].as_u64().unwrap_or(0),
                self.records.iter().filter(here).count() as u64,
            );
            if counted != wanted {
                self.faults.push(format!("{}: {field} counts {counted} of {wanted}", self.role));
            }
        }
    }

    /// Writes: within reach they are done, on what can be read they are FORBIDDEN, on the rest NOT_FOUND.
    async fn write(&mut self) {
        let mut told = Vec::new();
        for (verb, action) in [("Update", Action::Update), ("Delete", Action::Delete)] {
            for record in &self.records {
                let entity = record.resource.as_str().to_lowercase();
                let field = format!("{entity}{verb}");
                let input = filled(self.filler, &field);
                let document = format!(
                    "mutation($input: {input}!) {{ done: {field}(input: $input) {{ userErrors {{ code }} }} }}"
                );
                let answer = self.ask(&document, json!({ "input": { "id": record.id } })).await;
                let found = verdict(&answer);
                let wanted = match (
                    covers(self.reach(record.resource, Action::Read), record.owner),
                    covers(self.reach(record.resource, action), record.owner),
                ) {
                    (true, true) => "done",
                    (true, false) => "FORBIDDEN",
                    (false, _) => "NOT_FOUND",
                };
                if found != wanted {
                    told.push(format!("{}: {field} of {}: {found} instead of {wanted}", self.role, record.owner));
                }
            }
        }
        self.faults.extend(told);
    }

    /// What may be done in a conversation, by an owner of it.
    async fn talk(&mut self) {
        let actor = self.actor.member;
        self.server.sql(&format!("UPDATE participants SET role = 'owner' WHERE member_id = '{actor}'")).await;
        let conversation = self.founder.ids["Conversation"][0].clone();
        let outsider = self.founder.ids["Member"][2].clone();
        let with_outsider = json!({ "conversationId": conversation, "memberId": outsider });
        let moderator = json!({ "conversationId": conversation, "memberId": outsider, "role": "MODERATOR" });
        for (field, input, action) in [
            ("conversationCreate", json!({ "memberIds": [] }), Action::Create),
            ("conversationUpdate", json!({ "id": conversation, "topic": "other" }), Action::Update),
            ("participantAdd", with_outsider.clone(), Action::Update),
            ("participantUpdate", moderator, Action::Update),
            ("participantRemove", with_outsider, Action::Update),
            ("conversationArchive", json!({ "id": conversation }), Action::Update),
            ("conversationUnarchive", json!({ "id": conversation }), Action::Update),
        ] {
            let document = format!(
                "mutation($input: {}!) {{ done: {field}(input: $input) {{ userErrors {{ code }} }} }}",
                filled(self.filler, field)
            );
            let (found, may) = (
                verdict(&self.ask(&document, json!({ "input": input })).await),
                self.reach(Resource::Conversation, action).is_some(),
            );
            if (found == "done") != may {
                self.faults.push(format!("{}: {field}: {found}, allowed {may}", self.role));
            }
        }
    }
}

/// A file of the founder's with that name, whose content is still to come.
async fn upload(world: &World, server: &Server, name: &str) -> String {
    let mutation = "mutation($input: UploadCreateInput!) { uploadCreate(input: $input) { file { id } } }";
    let input = json!({ "name": name, "size": 1, "contentType": "text/plain" });
    let made = world.ask(server, mutation, json!({ "input": input })).await;
    data(&made, "uploadCreate.file.id").as_str().expect("an id").to_owned()
}

/// A member with a role of the organization's own that allows this.
async fn with_own_role(server: &Server, founder: &Founder, permissions: &Permissions) -> Founder {
    let actor = server.member(founder, "guest", Some(founder.member)).await;
    let allowed = permissions.iter().map(|(resource, action, reach)| {
        json!({ "resource": resource.as_str(), "action": action.as_str(), "scope": reach.as_str() })
    });
    let document = "mutation($input: RoleCreateInput!) { roleCreate(input: $input) { role { id } } }";
    let input = json!({ "name": "own", "permissions": allowed.collect::<Vec<_>>() });
    let made = server.graphql(document, json!({ "input": input }), Some(founder)).await;
    let document = "mutation($input: MemberRoleChangeInput!) { memberRoleChange(input: $input) { member { id } } }";
    let input = json!({ "id": actor.member, "customRoleId": data(&made, "roleCreate.role.id") });
    let given = server.graphql(document, json!({ "input": input }), Some(founder)).await;
    assert!(data(&given, "memberRoleChange.member").is_object());
    actor
}

/// Unlike any that is built in: of each reach something.
fn own_role() -> Permissions {
    use {Action::*, Resource::*};
    let allowed = [
        (Account, Read, Reach::Own),
        (Account, Update, Reach::Own),
        (Contact, Read, Reach::All),
        (Contact, Update, Reach::Team),
        (Contact, Delete, Reach::Own),
        (Lead, Read, Reach::Team),
        (Lead, Delete, Reach::Team),
        (Member, Read, Reach::Own),
        (Organization, Read, Reach::All),
        (Conversation, Read, Reach::Own),
    ];
    allowed.into_iter().collect()
}

/// The type of the input of a mutation.
fn filled(filler: &Filler<'_>, field: &str) -> String {
    let field = filler
        .types
        .fields("Mutation")
        .iter()
        .find(|known| name(known) == field)
        .unwrap_or_else(|| panic!("no {field}"));
    reference(&field["args"][0]["type"]).name
}

fn verdict(answer: &Value) -> String {
    let code = answer["errors"][0]["extensions"]["code"]
        .as_str()
        .or_else(|| answer["data"]["done"]["userErrors"][0]["code"].as_str());
    code.unwrap_or("done").to_owned()
}

#[tokio::test]
async fn a_role_sees_and_changes_what_its_table_names() {
    let server = Server::with(loosened).await;
    let types = Types::read().await;
    let filler = Filler::new(&types);
    let mut faults = Vec::new();
    let built_in = Role::ALL.map(|role| (role.as_str(), permissions(role)));
    for (role, permissions) in built_in.into_iter().chain([("own", own_role())]) {
        let mut stage = Stage::set(&server, &filler, role, permissions).await;
        assert!(!stage.founder.ids(ANY, true).is_empty());
        stage.count().await;
        let shown = stage.look().await;
        stage.compare(&shown, true, "query");
        let shown = stage.follow().await;
        stage.compare(&shown, false, "feed");
        stage.write().await;
        stage.talk().await;
        faults.append(&mut stage.faults);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    server.stop().await;
}
