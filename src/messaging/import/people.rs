//! People of an export as members: who came before, who has an address that is known here, and who is new. Invariant: whoever
//! came once stays the same member, whatever their address has become there or here.

use super::{
    model::{Person, Source, Standing},
    report::{What, Why},
    write::Writer,
};
use crate::{
    error::Result,
    identity::arrival::{Arrived, Newcomer, address, arrive},
    kit::{permission::Role, rows},
    schema::{imported_records, memberships},
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Members made in one transaction.
const AT_ONCE: usize = 100;

impl Writer<'_> {
    /// All people of the export as members, by their numbers.
    pub async fn people(&mut self, people: &[Person]) -> Result<()> {
        let before = self.came_before().await?;
        let mut seen: HashSet<Uuid> = HashSet::new();
        // In a dry run nobody else knows of them.
        let mut by_address: HashMap<String, Arrived> = HashMap::new();
        for people in people.chunks(AT_ONCE) {
            let mut newcomers: Vec<(usize, Newcomer)> = Vec::new();
            let mut members: Vec<Option<Arrived>> = Vec::with_capacity(people.len());
            for (index, person) in people.iter().enumerate() {
                let mut known = before.get(&external_id(person)).copied();
                if known.is_none() {
                    let newcomer = self.newcomer(person);
                    known = by_address.get(&newcomer.email).map(|came| Arrived { new: false, ..*came });
                    match known {
                        Some(_) => self.report.leave_at(Why::SameAddress, person.name.as_str()),
                        None => newcomers.push((index, newcomer)),
                    }
                }
                members.push(known);
            }
            let (places, newcomers): (Vec<usize>, Vec<Newcomer>) = newcomers.into_iter().unzip();
            let arrived = arrive(self.app, self.organization, &newcomers, self.dry).await?;
            by_address.extend(newcomers.into_iter().map(|newcomer| newcomer.email).zip(arrived.iter().copied()));
            for (place, arrived) in places.into_iter().zip(arrived) {
                if let (Some(member), Some(person)) = (members.get_mut(place), people.get(place)) {
                    *member = Some(arrived);
                    if !seen.insert(arrived.member) {
                        self.report.leave_at(Why::SameAddress, person.name.as_str());
                    }
                }
            }
            let members: Vec<Arrived> = members.into_iter().flatten().collect();
            let new = members.iter().filter(|member| member.new).count() as u64;
            self.report.new_ones(What::People, new);
            self.report.there(What::People, members.len() as u64 - new);
            self.remember(people, &members).await?;
            self.active.extend(members.iter().filter(|member| member.active).map(|member| member.member));
            self.members.extend(members);
        }
        Ok(())
    }

    fn newcomer(&mut self, person: &Person) -> Newcomer {
        let email = person.email.as_deref().and_then(address);
        if email.is_none() {
            self.report.leave_at(Why::NoAddress, person.name.as_str());
        }
        Newcomer {
            name: person.name.clone(),
            active: email.is_some() && matches!(person.standing, Standing::Active | Standing::Guest),
            email: email.unwrap_or_else(|| nowhere(person, self.source, self.organization)),
            title: person.title.clone(),
            role: if person.standing == Standing::Guest { Role::Guest } else { Role::Member },
        }
    }

    /// Who came with an earlier run, by what they are called there.
    async fn came_before(&self) -> Result<HashMap<String, Arrived>> {
        let mut conn = self.app.database.of(self.organization).await?;
        let came = imported_records::table
            .inner_join(
                memberships::table.on(memberships::organization_id
                    .eq(imported_records::organization_id)
                    .and(memberships::id.nullable().eq(imported_records::member_id))),
            )
            .filter(imported_records::organization_id.eq(self.organization))
            .filter(imported_records::source.eq(self.source.word()))
            .select((imported_records::external_id, memberships::id, memberships::status));
        let came: Vec<(String, Uuid, String)> = came.load(&mut *conn).await?;
        let arrived = |member, status: &str| Arrived { member, active: status == "active", new: false };
        Ok(came.into_iter().map(|(id, member, status)| (id, arrived(member, &status))).collect())
    }

    async fn remember(&self, people: &[Person], members: &[Arrived]) -> Result<()> {
        if self.dry {
            return Ok(());
        }
        let row = |(person, member): (&Person, &Arrived)| json!({ "source": self.source.word(), "external_id": external_id(person), "member_id": member.member });
        let rows = people.iter().zip(members).map(row).collect();
        let mut conn = self.app.database.of(self.organization).await?;
        let mut sql =
            rows::insertion(self.organization, "imported_records", &["source", "external_id", "member_id"], rows);
        sql.push(" ON CONFLICT DO NOTHING");
        sql.execute(&mut *conn).await?;
        Ok(())
    }
}

fn external_id(person: &Person) -> String {
    format!("person:{}", person.external_id)
}

/// An address that no mail ever reaches (RFC 2606), the only one of its kind on this server.
fn nowhere(person: &Person, source: Source, organization: Uuid) -> String {
    let name: String = person.external_id.to_lowercase().chars().filter(char::is_ascii_alphanumeric).take(30).collect();
    let sum = super::write::digest(&[&person.external_id]);
    let sum: String = sum.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{name}-{sum}@{}.{}.invalid", organization.simple(), source.word())
}
