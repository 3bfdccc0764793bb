//! The demo: two organizations with people, customers and conversations, for whoever tries Stoa out.
//! Invariant: all of it or nothing, into a database where nobody signs in yet, and never in production: everybody
//! knows the password.
//!
//! Records that are seeded have no events: the log begins with what somebody does. So their `history` is empty and
//! a feed of a seeded conversation begins behind its messages, which are read as any others.

mod companies;
mod crm;
mod dice;
mod emoji;
mod organization;
mod staff;
mod talk;
#[cfg(test)]
mod tests;
mod words;

use self::{crm::Maker, dice::Dice, organization::Organization, staff::Staff};
use crate::{
    app::App,
    config::Config,
    crm::{account::Account, contact::Contact, lead::Lead},
    error::{Error, Result},
    identity::{Member, custom_role::CustomRole, team::Team, team_member::TeamMember},
    kit::{entity::Entity, rows, scalars::DateTime, sql::Sql, value::Bind},
    messaging::{conversation::Conversation, mention::Mention, message::Message, participant::Participant},
    platform::{
        database::{Database, Transaction},
        files::Files,
        migrations,
        password::Passwords,
        postgres::Postgres,
    },
    schema::{organizations, reactions, thread_followers, users},
};
use chrono::SubsecRound;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use serde_json::{Value as Json, json};
use talk::Talk;
use uuid::Uuid;

/// Of every demo sign-in. Registration would refuse it.
const PASSWORD: &str = "password123";

/// Fills the database of a starting server, if it is empty.
pub async fn demo(app: &App) -> Result<()> {
    if fill(&app.config, &app.database, &app.files, &app.passwords).await? {
        tracing::info!("the demo organizations are there; the password of all their members is {PASSWORD}");
    }
    Ok(())
}

/// `stoa seed`: fills the configured database, if it is empty, and says what it did.
pub(super) async fn run(config: &Config) -> Result<()> {
    refuse_production(config)?;
    let (server, url) = Postgres::given_or_embedded(config).await?;
    let done = seed(config, &url).await;
    if let Some(server) = server {
        server.stop().await;
    }
    if done? {
        println!("Acme and TechStartup are there. Sign in as admin@acme.com, user@acme.com or admin@techstartup.com");
        println!("with the password {PASSWORD}.");
    } else {
        println!("nothing to do: somebody signs in here already");
    }
    Ok(())
}

async fn seed(config: &Config, url: &str) -> Result<bool> {
    migrations::up(url).await?;
    let database = Database::connect(&config.database, url).await?;
    fill(config, &database, &Files::open(config)?, &Passwords::new(&config.identity)).await
}

fn refuse_production(config: &Config) -> Result<()> {
    if config.production {
        return Err(Error::ours("no demo data in production: everybody knows the demo passwords"));
    }
    Ok(())
}

/// False: somebody signs in here already, and nothing was written.
async fn fill(config: &Config, database: &Database, files: &Files, passwords: &Passwords) -> Result<bool> {
    refuse_production(config)?;
    let mut tx = database.of_nobody().await?.begin().await?;
    // Two servers may start at once.
    Sql::new("SELECT pg_advisory_xact_lock(hashtextextended('stoa.demo', 0))").execute(&mut *tx).await?;
    // Organizations of others are behind the wall; users are not, and there is no organization without one.
    let somebody = users::table.select(users::id).first::<Uuid>(&mut *tx).await.optional()?;
    if somebody.is_some() {
        tx.rollback().await?;
        return Ok(false);
    }
    let password_hash = passwords.hash(PASSWORD.to_owned()).await?;
    let now = DateTime(DateTime::now().0.trunc_subsecs(0));
    for organization in &organization::ALL {
        World::new(organization, now).write(&mut tx, files, &password_hash, now).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// An organization with all that it has.
struct World {
    organization: &'static Organization,
    id: Uuid,
    members: Vec<Member>,
    staff: Staff,
    accounts: Vec<Account>,
    contacts: Vec<Contact>,
    leads: Vec<Lead>,
    talks: Vec<Talk>,
}

impl World {
    fn new(organization: &'static Organization, now: DateTime) -> Self {
        let dice = &mut Dice::new(organization.seed);
        let id = Organization::id(dice, now);
        let mut members = organization.members(dice, now);
        let staff = Staff::new(organization, &mut members, now);
        let mut maker = Maker { dice, organization, members: &members, now };
        let accounts = maker.accounts();
        let contacts = maker.contacts(&accounts);
        let leads = maker.leads(&accounts, &contacts);
        let talks = maker.talks(&leads);
        World { organization, id, members, staff, accounts, contacts, leads, talks }
    }

    /// A statement a table: the first start is waited for.
    async fn write(&self, tx: &mut Transaction, files: &Files, password_hash: &str, now: DateTime) -> Result<()> {
        let founded = Organization::founded(now).0;
        // Until the next one, or the end of the transaction, the wall is that of this organization.
        let mut wall = Sql::new("SELECT set_config('stoa.organization', ");
        wall.bind(Bind::Text(Some(self.id.to_string()))).push(", true)");
        wall.execute(&mut **tx).await?;
        diesel::insert_into(organizations::table)
            .values((
                organizations::id.eq(self.id),
                organizations::name.eq(self.organization.name),
                organizations::slug.eq(self.organization.slug),
                organizations::time_zone.eq(self.organization.time_zone),
                organizations::currency.eq(self.organization.currency),
                organizations::created_at.eq(founded),
                organizations::updated_at.eq(founded),
            ))
            .execute(&mut **tx)
            .await?;
        let people: Vec<_> = self
            .members
            .iter()
            .map(|member| {
                (
                    users::id.eq(member.user_id.0),
                    users::email.eq(&member.email.0),
                    users::password_hash.eq(password_hash),
                    users::full_name.eq(&member.name),
                    users::time_zone.eq(self.organization.time_zone),
                    users::created_at.eq(member.created_at.0),
                    users::updated_at.eq(member.created_at.0),
                )
            })
            .collect();
        diesel::insert_into(users::table).values(people).execute(&mut **tx).await?;
        insert::<CustomRole>(tx, self.id, [&self.staff.role]).await?;
        insert::<Member>(tx, self.id, &self.members).await?;
        insert::<Team>(tx, self.id, &self.staff.teams).await?;
        insert::<TeamMember>(tx, self.id, &self.staff.team_members).await?;
        let founder = self.members.iter().map(|member| member.id.0).next();
        emoji::add(tx, files, self.id, founder, Organization::founded(now)).await?;
        insert::<Account>(tx, self.id, &self.accounts).await?;
        insert::<Contact>(tx, self.id, &self.contacts).await?;
        insert::<Lead>(tx, self.id, &self.leads).await?;
        let conversations = self.talks.iter().map(Talk::row).collect::<Result<Vec<_>>>()?;
        insert_rows(tx, self.id, Conversation::table(), &["direct_key"], json!(conversations)).await?;
        let participants = self.talks.iter().map(Talk::participant_rows).collect::<Result<Vec<_>>>()?.concat();
        let own = ["read_seq", "read_at", "delivered_seq", "delivered_at"];
        insert_rows(tx, self.id, Participant::table(), &own, json!(participants)).await?;
        let mut read = Sql::new(
            "INSERT INTO position_advances (organization_id, conversation_id, member_id, kind, upto_seq, at)
             SELECT organization_id, conversation_id, member_id, 'read', last_read_seq, last_read_at FROM participants
             WHERE last_read_at IS NOT NULL AND organization_id = ",
        );
        read.bind(Bind::Uuid(Some(self.id)));
        read.execute(&mut **tx).await?;
        insert::<Message>(tx, self.id, self.talks.iter().flat_map(|talk| &talk.messages)).await?;
        insert::<Mention>(tx, self.id, self.talks.iter().flat_map(|talk| &talk.mentions)).await?;
        self.put_to_messages(tx).await
    }

    async fn put_to_messages(&self, tx: &mut Transaction) -> Result<()> {
        let put = self.talks.iter().flat_map(Talk::reactions).map(|(message, member, emoji)| {
            (
                reactions::organization_id.eq(self.id),
                reactions::message_id.eq(message.id.0),
                reactions::member_id.eq(member.0),
                reactions::emoji.eq(emoji),
                reactions::created_at.eq(message.created_at.0),
            )
        });
        diesel::insert_into(reactions::table).values(put.collect::<Vec<_>>()).execute(&mut **tx).await?;
        let following = self.talks.iter().flat_map(Talk::followers).map(|(root, member)| {
            (
                thread_followers::organization_id.eq(self.id),
                thread_followers::root_id.eq(root),
                thread_followers::member_id.eq(member),
            )
        });
        diesel::insert_into(thread_followers::table).values(following.collect::<Vec<_>>()).execute(&mut **tx).await?;
        Ok(())
    }
}

impl Talk {
    fn row(&self) -> Result<Json> {
        let mut row = serde_json::to_value(&self.conversation)?;
        row["direct_key"] = json!(self.direct_key());
        Ok(row)
    }
}

async fn insert<'a, E: Entity>(
    tx: &mut Transaction,
    organization: Uuid,
    records: impl IntoIterator<Item = &'a E>,
) -> Result<()> {
    let records: Vec<&E> = records.into_iter().collect();
    insert_rows(tx, organization, E::table(), &[], serde_json::to_value(records)?).await
}

/// Rows as the log writes records: an object each, by the names of the columns.
async fn insert_rows(
    tx: &mut Transaction,
    organization: Uuid,
    table: &'static crate::kit::table::Table,
    more: &[&'static str],
    rows: Json,
) -> Result<()> {
    let names: Vec<&'static str> = table
        .columns
        .iter()
        .filter(|column| !column.computed)
        .map(|column| column.name)
        .chain(more.iter().copied())
        .collect();
    rows::insertion(organization, table.name, &names, rows).execute(&mut **tx).await?;
    Ok(())
}
