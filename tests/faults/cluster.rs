//! Two nodes, one PostgreSQL and, where the machine has it, one Redis: processes of their own, each of which can be killed
//! and comes back.

use crate::{
    plan::Victim,
    program::{Program, folder, kill_postgres, pause, text},
    redis::Redis,
    relay::Relay,
};
use serde_json::json;
use std::{
    path::Path,
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};
use stoa::platform::{
    database::address::Address,
    postgres::{EmbeddedOptions, Postgres},
};
use tempfile::TempDir;
use tokio_postgres::Client;
use uuid::Uuid;

/// How the nodes tell each other what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    Notify,
    Redis,
}

/// Somebody who is signed in.
pub struct Person {
    pub token: String,
    pub member: String,
}

pub struct Cluster {
    pub nodes: Vec<Program>,
    pub people: Vec<Person>,
    /// What the bus goes over.
    pub relay: Relay,
    postgres: Option<Postgres>,
    redis: Option<Mutex<Redis>>,
    folder: TempDir,
}

impl Cluster {
    /// With so many members, the first of whom owns the organization. None: there is no Redis here, which was said.
    pub async fn start(bus: Bus, people: usize) -> Option<Self> {
        let redis = if bus == Bus::Redis { Some(Redis::start()?) } else { None };
        let folder = folder();
        let postgres = start_postgres(folder.path()).await;
        // The way of the other nodes alone is cut, never that of the queries.
        let relay = match &redis {
            Some(redis) => Relay::to(redis.socket(), b"").await,
            None => Relay::to(folder.path().join("postgres/.s.PGSQL.5432"), b"LISTEN stoa_nodes").await,
        };
        let (database, redis_url) = match &redis {
            Some(_) => (postgres.url().to_owned(), Some(format!("redis://{}", relay.address))),
            None => (format!("postgres://postgres@{}/stoa", relay.address), None),
        };
        let settings = [
            ("DATABASE_URL", Some(database)),
            ("REDIS_URL", redis_url),
            ("STOA_IDENTITY_ACCESS_TOKEN_SECONDS", Some("7200".to_owned())),
            ("STOA_IDENTITY_SIGN_INS_PER_MINUTE", Some("100000".to_owned())),
            ("STOA_SOCKET_MAX_SOCKETS", Some("1000".to_owned())),
        ];
        let settings: Vec<_> =
            settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        let nodes = (0..2).map(|_| Program::launch(data.clone(), settings.clone())).collect();
        let mut cluster = Cluster {
            nodes,
            people: Vec::new(),
            relay,
            postgres: Some(postgres),
            redis: redis.map(Mutex::new),
            folder,
        };
        cluster.settle(people).await;
        Some(cluster)
    }

    /// Everybody signs in.
    async fn settle(&mut self, people: usize) {
        let (first, others) = self.nodes.split_first_mut().expect("nodes");
        first.found().await;
        let (_, viewer) = first.graphql("{ viewer { memberId } }", json!({})).await.expect("an answer");
        self.people.push(Person { token: first.token.clone(), member: text(&viewer["data"]["viewer"], "memberId") });
        others.iter_mut().for_each(|node| node.token = first.token.clone());
        let session = self.session().await;
        for number in 1..people {
            let (id, email) = (Uuid::now_v7(), format!("person{number}@example.com"));
            let rows = format!(
                "INSERT INTO users (id, email, full_name, password_hash)
                     SELECT '{id}', '{email}', 'Person {number}', password_hash FROM users WHERE email = 'ada@example.com';
                 INSERT INTO memberships (organization_id, id, user_id, name, email, role, joined_at)
                     SELECT id, '{id}', '{id}', 'Person {number}', '{email}', 'member', now() FROM organizations"
            );
            session.batch_execute(&rows).await.expect("sound SQL");
            let login = "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } } }";
            let input = json!({ "input": { "email": email, "password": "nine purple otters juggle" } });
            let (_, answer) = self.nodes[0].graphql_as("", login, input).await.expect("an answer");
            let token = text(&answer["data"]["login"]["session"], "accessToken");
            self.people.push(Person { token, member: id.to_string() });
        }
    }

    /// The members beside the owner.
    pub fn others(&self) -> Vec<String> {
        self.people.iter().skip(1).map(|person| person.member.clone()).collect()
    }

    pub fn tokens(&self) -> Vec<&str> {
        self.people.iter().map(|person| person.token.as_str()).collect()
    }

    /// A session of PostgreSQL's superuser, as soon as there can be one.
    pub async fn session(&self) -> Client {
        let url = self.postgres.as_ref().expect("a PostgreSQL").url();
        let began = Instant::now();
        loop {
            match Address::parse(url).expect("a URL").connect().await {
                Ok((client, _)) => return client,
                Err(fault) => assert!(began.elapsed() < Duration::from_secs(60), "{fault:?}"),
            }
            pause().await;
        }
    }

    pub fn kill(&self, victim: Victim) {
        match victim {
            Victim::Node(at) => self.nodes[at].kill(),
            Victim::Postgres => kill_postgres(self.folder.path()),
            Victim::Redis => self.redis.as_ref().expect("a Redis").lock().expect("a Redis").end(),
        }
    }

    /// Until it answers again. PostgreSQL comes back by itself.
    pub async fn revive(&self, victim: Victim) {
        match victim {
            Victim::Node(at) => self.nodes[at].restart(),
            Victim::Postgres => drop(self.session().await),
            Victim::Redis => self.redis.as_ref().expect("a Redis").lock().expect("a Redis").begin(),
        }
    }

    /// Stops PostgreSQL, does something with the folder of its data, and starts it again.
    pub async fn without_postgres(&mut self, work: impl FnOnce(&Path)) {
        self.postgres.take().expect("a PostgreSQL").stop().await;
        work(&self.folder.path().join("postgres"));
        self.postgres = Some(start_postgres(self.folder.path()).await);
        drop(self.session().await);
    }

    /// Stops everything in good order.
    pub async fn stop(mut self) {
        self.nodes.clear();
        if let Some(postgres) = self.postgres.take() {
            postgres.stop().await;
        }
    }
}

/// Processes are killed and never the machine, so what was written is there without waiting for a disk.
async fn start_postgres(data_dir: &Path) -> Postgres {
    let settings = [("fsync", "off"), ("shared_buffers", "64MB")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = EmbeddedOptions { data_dir: data_dir.to_owned(), settings, binaries: None };
    Postgres::start(&options).await.expect("a PostgreSQL")
}

/// Puts a folder and all in it in the place of another, with whose it is.
pub fn copy(from: &Path, to: &Path) {
    let run = |program: &str, arguments: &[&Path]| {
        let done = Command::new(program).arg(if program == "cp" { "-a" } else { "-rf" }).args(arguments).status();
        assert!(done.expect("a program").success(), "{program} {arguments:?}");
    };
    run("rm", &[to]);
    run("cp", &[from, to]);
}
