//! What the demo promises, without a database; `tests/api/demo.rs` looks at it in one.

use super::{World, organization};
use crate::{
    crm::lead::LeadStatus,
    kit::{entity::Entity, permission::Role, scalars::DateTime, user_error::UserErrors, value::Bind, write::Writable},
    messaging::conversation::ConversationKind,
};
use chrono::Duration;
use std::collections::{HashMap, HashSet};

fn now() -> DateTime {
    DateTime(chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap())
}

fn worlds() -> Vec<World> {
    organization::ALL.iter().map(|organization| World::new(organization, now())).collect()
}

#[test]
fn the_fixed_sign_ins_are_there_with_their_roles() {
    let worlds = worlds();
    let role = |address: &str| {
        let mut all = worlds.iter().flat_map(|world| &world.members);
        all.find(|member| member.email.0 == address).map(|member| member.role)
    };
    assert_eq!(role("admin@acme.com"), Some(Role::Owner));
    assert_eq!(role("user@acme.com"), Some(Role::SalesRep));
    assert_eq!(role("admin@techstartup.com"), Some(Role::Owner));
    let addresses: HashSet<_> = worlds.iter().flat_map(|world| &world.members).map(|member| &member.email.0).collect();
    assert_eq!(addresses.len(), 15, "an address signs in one person");
}

#[test]
fn everybody_has_the_manager_that_is_written_down() {
    for world in worlds() {
        for (member, person) in world.members.iter().zip(world.organization.people) {
            assert_eq!(member.manager_id.is_some(), person.manager.is_some(), "{}", person.name);
        }
        let founders = world.members.iter().filter(|member| member.manager_id.is_none()).count();
        assert_eq!(founders, 1);
    }
}

#[test]
fn everybody_is_in_the_teams_that_are_written_down() {
    for world in worlds() {
        let groups = world.organization.teams;
        assert!(world.staff.teams.iter().all(|team| team.leader_id.is_some()));
        let members: usize = groups.iter().map(|group| group.members.len()).sum();
        assert_eq!((world.staff.teams.len(), world.staff.team_members.len()), (groups.len(), members));
        let analysts = world.members.iter().filter(|member| member.custom_role_id == Some(world.staff.role.id));
        assert_eq!(analysts.clone().count(), world.organization.analysts.len());
        assert!(analysts.into_iter().all(|member| member.role == Role::Guest));
    }
}

#[test]
fn records_obey_the_rules_of_inputs() {
    fn obeys<E: Writable>(record: &E) {
        let (mut tidy, mut errors) = (record.clone(), UserErrors::default());
        tidy.tidy(&mut errors);
        assert!(errors.is_empty(), "{errors:?}");
        for column in E::table().columns {
            assert_eq!(record.cell(column), tidy.cell(column), "{} is stored as it would be", column.name);
        }
    }
    for world in worlds() {
        world.staff.teams.iter().for_each(obeys);
        world.accounts.iter().for_each(obeys);
        world.contacts.iter().for_each(obeys);
        world.leads.iter().for_each(obeys);
    }
}

#[test]
fn nothing_happens_before_its_record_or_after_now() {
    fn all<E: Entity>(records: &[E]) {
        let (table, now) = (E::table(), Bind::Time(Some(now().0)));
        let time = |record: &E, name: &str| match record.cell(table.column(name).unwrap()) {
            Bind::Time(at) => at,
            other => panic!("{name} is {other:?}"),
        };
        for record in records {
            let created = time(record, "created_at").unwrap();
            assert_eq!(record.id().get_timestamp().map(|at| at.to_unix().0), Some(created.timestamp() as u64));
            for column in table.columns.iter().filter(|column| column.name.ends_with("_at")) {
                let Some(at) = time(record, column.name) else { continue };
                assert!(created <= at && Bind::Time(Some(at)) != now && at < self::now().0, "{} {at}", column.name);
            }
        }
    }
    for world in worlds() {
        all(&world.members);
        all(std::slice::from_ref(&world.staff.role));
        all(&world.staff.teams);
        all(&world.staff.team_members);
        all(&world.accounts);
        all(&world.contacts);
        all(&world.leads);
        all(&world.talks.iter().map(|talk| talk.conversation.clone()).collect::<Vec<_>>());
        all(&world.talks.iter().flat_map(|talk| talk.messages.clone()).collect::<Vec<_>>());
        let newest = world.leads.iter().map(|lead| now().0 - lead.created_at.0).min().unwrap();
        let oldest = world.leads.iter().map(|lead| now().0 - lead.created_at.0).max().unwrap();
        assert!(newest < Duration::days(3) && oldest > Duration::days(200), "{newest} {oldest}");
    }
}

#[test]
fn leads_show_every_state_and_the_converted_have_become_somebody() {
    for world in worlds() {
        let mut states: HashMap<&str, usize> = HashMap::new();
        for lead in &world.leads {
            *states.entry(lead.status.word()).or_default() += 1;
            let converted = lead.status == LeadStatus::Converted;
            assert_eq!(converted, lead.converted_at.is_some());
            assert_eq!(converted, lead.contact_id.is_some());
            let contact = world.contacts.iter().find(|contact| Some(contact.id) == lead.contact_id);
            assert!(!converted || contact.and_then(|contact| contact.account_id) == lead.account_id);
        }
        assert!(world.leads.iter().filter(|lead| lead.account_id.is_some()).count() > world.leads.len() / 4);
        assert!(states.len() == 5 && states.values().all(|count| *count >= 3), "{states:?}");
    }
}

#[test]
fn accounts_are_a_tree_of_three_levels_and_contacts_report_within_theirs() {
    let acme = &worlds()[0];
    let parent = |id| acme.accounts.iter().find(|account| account.id == id).and_then(|account| account.parent_id);
    assert!(acme.accounts.iter().any(|account| account.parent_id.and_then(parent).is_some()));
    for world in worlds() {
        for (account, company) in world.accounts.iter().zip(world.organization.companies) {
            assert_eq!(account.parent_id.is_some(), company.parent.is_some(), "{}", company.name);
        }
        assert!(world.contacts.iter().any(|contact| contact.reports_to_id.is_some()));
        for contact in &world.contacts {
            let superior = world.contacts.iter().find(|other| Some(other.id) == contact.reports_to_id);
            assert_eq!(superior.is_some(), contact.reports_to_id.is_some());
            assert!(superior.is_none_or(|superior| superior.account_id == contact.account_id));
        }
    }
}

#[test]
fn messages_are_numbered_in_the_order_of_their_times_by_people_who_are_there() {
    for world in worlds() {
        let mut pairs = HashSet::new();
        for talk in &world.talks {
            assert!(!talk.messages.is_empty());
            let numbers: Vec<i64> = talk.messages.iter().map(|message| message.seq).collect();
            assert_eq!(numbers, (1..=talk.conversation.last_seq).collect::<Vec<_>>());
            assert!(talk.messages.is_sorted_by_key(|message| message.created_at));
            assert_eq!(talk.conversation.last_message_at, talk.messages.last().map(|message| message.created_at));
            let here: HashSet<_> = talk.participants.iter().map(|participant| participant.member_id).collect();
            assert_eq!(here.len(), talk.participants.len());
            assert!(talk.messages.iter().all(|message| here.contains(&message.sender_id)));
            if talk.conversation.kind == ConversationKind::Direct {
                assert!(here.len() == 2 && pairs.insert(talk.direct_key()), "one direct conversation a pair");
            }
        }
        let all = |talk: &super::talk::Talk| (talk.reactions().len(), talk.followers().len(), talk.mentions.len());
        let shown =
            world.talks.iter().map(all).fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2));
        assert!(shown.0 > 0 && shown.1 + shown.2 > 0, "somebody reacts, replies or is mentioned: {shown:?}");
        let longest = world.talks.iter().map(|talk| talk.messages.len()).max().unwrap();
        assert!(longest > 25, "one is longer than a page");
    }
}

#[test]
fn the_demo_is_the_same_everywhere() {
    for (one, other) in worlds().iter().zip(worlds()) {
        assert_eq!(one.id, other.id);
        let rows = |world: &World| serde_json::to_value((&world.accounts, &world.contacts, &world.leads)).unwrap();
        assert_eq!(rows(one), rows(&other));
    }
}
