//! The queue: what is left with a commit is done once or more, whatever dies on the way. The machinery is tried with
//! jobs of the tests' own, since those of Stoa neither hang nor panic when one wants it.

use crate::kit::{
    Server, code,
    command::stoa,
    data,
    mail::{until, working},
    user_errors,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use stoa::platform::jobs::{Failure, Job, Registry, Run, Worker};
use tokio::time::sleep;
use uuid::Uuid;

/// What the jobs of a test have done.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<HashMap<String, Runs>>>);

#[derive(Clone, Debug, Default)]
struct Runs {
    begun: usize,
    at_once: usize,
    most_at_once: usize,
    ended: usize,
}

impl Seen {
    fn runs(&self, name: &str) -> Runs {
        self.0.lock().get(name).cloned().unwrap_or_default()
    }

    fn begin(&self, name: &str) -> Running {
        let mut seen = self.0.lock();
        let runs = seen.entry(name.to_owned()).or_default();
        runs.begun += 1;
        runs.at_once += 1;
        runs.most_at_once = runs.most_at_once.max(runs.at_once);
        Running(self.clone(), name.to_owned())
    }
}

/// A run, until it ends or is cut off.
struct Running(Seen, String);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runs) = self.0.0.lock().get_mut(&self.1) {
            runs.at_once -= 1;
        }
    }
}

/// A job that does as it is told.
#[derive(Serialize, Deserialize)]
struct Task {
    name: String,
    millis: u64,
    /// Attempts that fail before one does not.
    failures: usize,
    how: String,
}

impl Job for Task {
    const KIND: &'static str = "task";
    const ATTEMPTS: i32 = 3;

    fn about(&self) -> String {
        format!("about {}", self.name)
    }
}

impl Run<Seen> for Task {
    async fn run(self, seen: &Seen) -> Result<(), Failure> {
        let running = seen.begin(&self.name);
        if self.how == "hang" && seen.runs(&self.name).begun == 1 {
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_millis(self.millis)).await;
        if seen.runs(&self.name).begun <= self.failures {
            return match &*self.how {
                "panic" => panic!("as told"),
                "never" => Err(Failure::Never("It never will.".into())),
                "not yet" => Err(Failure::NotYet(Duration::from_millis(5), "Its time will come.".into())),
                _ => Err(Failure::Later("Not yet.".into())),
            };
        }
        drop(running);
        seen.0.lock().get_mut(&self.name).unwrap().ended += 1;
        Ok(())
    }
}

/// Recurs.
#[derive(Serialize, Deserialize)]
struct Tick {}

impl Job for Tick {
    const KIND: &'static str = "tick";
}

impl Run<Seen> for Tick {
    async fn run(self, seen: &Seen) -> Result<(), Failure> {
        drop(seen.begin("tick"));
        Ok(())
    }
}

fn task(name: &str, millis: u64) -> Task {
    Task { name: name.into(), millis, failures: 0, how: "later".into() }
}

/// A database of its own whose server works on nothing itself.
async fn server() -> Server {
    working(|config| {
        config.jobs.workers = 0;
        // Long enough for a machine that is busy with other tests to renew it in time.
        config.jobs.lease_ms = 1000;
    })
    .await
}

/// A worker for the tests' jobs, as a node has one.
fn worker(server: &Server, seen: &Seen) -> Worker {
    let config = stoa::config::JobConfig { workers: 4, ..server.app.config.jobs.clone() };
    Worker::start(Registry::new().job::<Task>(), seen.clone(), &server.app.jobs, &server.app.database, &config)
}

async fn leave(server: &Server, organization: Option<Uuid>, task: Task) {
    let connection = match organization {
        Some(id) => server.app.database.of(id).await,
        None => server.app.database.of_nobody().await,
    };
    let mut tx = connection.unwrap().begin().await.unwrap();
    server.app.jobs.enqueue(&mut tx, organization, &task).await.unwrap();
    tx.commit().await.unwrap();
}

/// `status attempts` of the only task.
async fn state(server: &Server) -> String {
    server.text("SELECT coalesce(string_agg(status || ' ' || attempts, ', '), '') FROM jobs WHERE kind = 'task'").await
}

async fn becomes(server: &Server, wanted: &str) {
    until(wanted, async || (state(server).await == wanted).then_some(())).await;
}

#[tokio::test]
async fn what_is_rolled_back_is_never_done_and_what_is_committed_is_done_at_once() {
    let (server, seen) = (server().await, Seen::default());
    let _worker = worker(&server, &seen);
    let mut tx = server.app.database.of_nobody().await.unwrap().begin().await.unwrap();
    server.app.jobs.enqueue(&mut tx, None, &task("undone", 0)).await.unwrap();
    leave(&server, None, task("beside", 0)).await;
    becomes(&server, "done 1").await;
    tx.rollback().await.unwrap();
    leave(&server, None, task("done", 0)).await;
    becomes(&server, "done 1, done 1").await;
    assert_eq!((seen.runs("undone").begun, seen.runs("done").ended), (0, 1));
    assert_eq!(
        server.count("SELECT count(*) FROM jobs WHERE payload IS NOT NULL").await,
        0,
        "what it held is forgotten"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_commit_wakes_the_worker() {
    let server = working(|config| {
        config.jobs.workers = 0;
        config.jobs.poll_ms = 600_000;
    })
    .await;
    let seen = Seen::default();
    let _worker = worker(&server, &seen);
    leave(&server, None, task("first", 0)).await;
    becomes(&server, "done 1").await;
    // The worker has nothing to do now and would look again in ten minutes.
    let begin = Instant::now();
    leave(&server, None, task("woken", 0)).await;
    becomes(&server, "done 1, done 1").await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    server.stop().await;
}

#[tokio::test]
async fn a_failure_is_tried_again_until_there_are_no_attempts_left() {
    let (server, seen) = (server().await, Seen::default());
    let _worker = worker(&server, &seen);
    for (how, failures, end) in
        [("later", 2, "done 3"), ("panic", 1, "done 2"), ("later", 9, "dead 3"), ("never", 9, "dead 1")]
    {
        server.sql("DELETE FROM jobs").await;
        let name = format!("{how} {failures}");
        leave(&server, None, Task { failures, how: how.into(), ..task(&name, 0) }).await;
        becomes(&server, end).await;
        assert_eq!(seen.runs(&name).begun.to_string(), end.split(' ').nth(1).unwrap());
    }
    let why = server.text("SELECT last_error || ' ' || (payload IS NOT NULL) FROM jobs").await;
    assert_eq!(why, "It never will. true", "a dead job can be tried again");
    server.stop().await;
}

#[tokio::test]
async fn what_is_put_off_keeps_all_its_attempts() {
    let (server, seen) = (server().await, Seen::default());
    let _worker = worker(&server, &seen);
    leave(&server, None, Task { failures: 5, how: "not yet".into(), ..task("early", 0) }).await;
    becomes(&server, "done 1").await;
    assert_eq!(seen.runs("early").begun, 6);
    let why = server.text("SELECT last_error FROM jobs WHERE kind = 'task'").await;
    assert_eq!(why, "Its time will come.");
    server.stop().await;
}

#[tokio::test]
async fn two_workers_never_run_the_same_job_at_once_nor_more_than_they_may() {
    let (server, seen) = (server().await, Seen::default());
    let workers = [worker(&server, &seen), worker(&server, &seen)];
    for number in 0..60 {
        leave(&server, None, task(&format!("job {number}"), 5)).await;
    }
    until("an end", async || {
        (server.count("SELECT count(*) FROM jobs WHERE kind = 'task' AND status = 'done'").await == 60).then_some(())
    })
    .await;
    for number in 0..60 {
        let runs = seen.runs(&format!("job {number}"));
        assert_eq!((runs.begun, runs.most_at_once), (1, 1), "job {number}");
    }
    // All of one name count together.
    for _ in 0..30 {
        leave(&server, None, task("crowd", 30)).await;
    }
    until("an end", async || (seen.runs("crowd").ended == 30).then_some(())).await;
    assert!(seen.runs("crowd").most_at_once <= 8, "{:?}", seen.runs("crowd"));
    drop(workers);
    server.stop().await;
}

#[tokio::test]
async fn a_job_of_a_worker_that_died_is_taken_up_by_another() {
    let (server, seen) = (server().await, Seen::default());
    let first = worker(&server, &seen);
    // However long this process is kept from going on: what hangs does not end before it is cut off.
    leave(&server, None, Task { how: "hang".into(), ..task("orphan", 10) }).await;
    until("a beginning", async || (seen.runs("orphan").begun == 1).then_some(())).await;
    // As a process that is killed: it says nothing any more.
    drop(first);
    until("an end of it", async || (seen.runs("orphan").at_once == 0).then_some(())).await;
    assert_eq!(state(&server).await, "running 1");
    let _second = worker(&server, &seen);
    becomes(&server, "done 2").await;
    assert_eq!(seen.runs("orphan").most_at_once, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_kills_its_process_is_dead_in_the_end() {
    let (server, seen) = (server().await, Seen::default());
    leave(&server, None, task("poison", 60_000)).await;
    for attempt in 1..=3 {
        let killed = worker(&server, &seen);
        until("a beginning", async || (seen.runs("poison").begun == attempt).then_some(())).await;
        drop(killed);
    }
    let _worker = worker(&server, &seen);
    becomes(&server, "dead 4").await;
    assert_eq!(seen.runs("poison").begun, 3);
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_takes_long_stays_with_its_worker() {
    let (server, seen) = (server().await, Seen::default());
    let _workers = [worker(&server, &seen), worker(&server, &seen)];
    leave(&server, None, task("long", 2500)).await;
    becomes(&server, "done 1").await;
    assert_eq!(seen.runs("long").begun, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_lets_jobs_end_and_gives_back_those_that_do_not() {
    let (server, seen) = (server().await, Seen::default());
    for (millis, grace, end) in [(100, 5000, "done 1"), (60_000, 50, "waiting 0")] {
        server.sql("DELETE FROM jobs").await;
        let worker = worker(&server, &seen);
        let name = format!("takes {millis}");
        leave(&server, None, task(&name, millis)).await;
        until("a beginning", async || (seen.runs(&name).begun == 1).then_some(())).await;
        let begin = Instant::now();
        worker.stop(Duration::from_millis(grace)).await;
        assert!(begin.elapsed() < Duration::from_secs(4));
        assert_eq!(state(&server).await, end);
        assert_eq!(seen.runs(&name).at_once, 0);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_schedule_has_one_runner_of_two() {
    let (server, seen) = (server().await, Seen::default());
    let start = |every| {
        let config = stoa::config::JobConfig { workers: 4, ..server.app.config.jobs.clone() };
        let registry = Registry::new().every::<Tick>(every);
        Worker::start(registry, seen.clone(), &server.app.jobs, &server.app.database, &config)
    };
    let hourly = [start(Duration::from_secs(3600)), start(Duration::from_secs(3600)), start(Duration::from_secs(3600))];
    until("a run", async || (seen.runs("tick").begun > 0).then_some(())).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(seen.runs("tick").begun, 1);
    drop(hourly);
    server.sql("UPDATE schedules SET next_run_at = now()").await;
    let _often = [start(Duration::from_millis(100)), start(Duration::from_millis(100))];
    until("more runs", async || (seen.runs("tick").begun > 3).then_some(())).await;
    assert_eq!(seen.runs("tick").most_at_once, 1);
    server.stop().await;
}

#[tokio::test]
async fn what_has_expired_is_purged_and_the_rest_stays() {
    let server = server().await;
    let who = server.founder().await;
    let organization = who.organization;
    server.sql(&format!(
        "INSERT INTO sessions (organization_id, id, member_id, expires_at) SELECT '{organization}', gen_random_uuid(), '{member}', now() - age
             FROM unnest(ARRAY[interval '31 days', interval '1 day']) AS age;
         INSERT INTO refresh_tokens (organization_id, hash, session_id, expires_at) SELECT organization_id, 'old', id, now() - interval '1 hour'
             FROM sessions WHERE expires_at > now();
         INSERT INTO idempotency_keys (organization_id, member_id, key, request_hash, created_at)
             SELECT '{organization}', '{member}', age::text, 'x', now() - age FROM unnest(ARRAY[interval '25 hours', interval '1 hour']) AS age;
         INSERT INTO api_keys (organization_id, id, owner_id, name, prefix, hash, permissions, created_by, revoked_at)
             SELECT '{organization}', gen_random_uuid(), '{member}', 'x', coalesce(age::text, ''), 'x', '{{}}', '{member}', now() - age
             FROM unnest(ARRAY[interval '91 days', interval '1 day', NULL]) AS age;
         INSERT INTO oidc_attempts (hash, provider, redirect_uri, expires_at)
             SELECT age::text::bytea, 'p', 'r', now() - age FROM unnest(ARRAY[interval '1 minute', interval '-1 minute']) AS age;
         INSERT INTO jobs (id, kind, status, max_attempts, finished_at) SELECT gen_random_uuid(), 'old', status, 1, now() - age
             FROM (VALUES ('done', interval '8 days'), ('done', '6 days'), ('dead', '8 days'), ('dead', '31 days')) AS v (status, age)",
        member = who.member
    )).await;
    let counts = "SELECT (SELECT count(*) FROM sessions) || ' ' || (SELECT count(*) FROM refresh_tokens) || ' ' ||
        (SELECT count(*) FROM idempotency_keys) || ' ' || (SELECT count(*) FROM jobs WHERE kind = 'old') || ' ' ||
        (SELECT count(*) FROM api_keys) || ' ' || (SELECT count(*) FROM oidc_attempts)";
    assert_eq!(server.text(counts).await, "3 2 2 4 3 2");
    let config = stoa::config::JobConfig { workers: 4, ..server.app.config.jobs.clone() };
    let registry = stoa::upkeep::registry();
    let worker = Worker::start(registry, server.app.clone(), &server.app.jobs, &server.app.database, &config);
    until("a purge", async || {
        let done =
            "SELECT count(DISTINCT kind) FROM jobs WHERE kind IN ('purge_expired', 'purge_jobs') AND status = 'done'";
        (server.count(done).await == 2).then_some(())
    })
    .await;
    assert_eq!(server.text(counts).await, "2 1 1 2 2 1");
    let still = server.graphql("{ viewer { memberId } }", json!({}), Some(&who)).await;
    assert_eq!(data(&still, "viewer.memberId"), &json!(who.member));
    worker.stop(Duration::from_secs(5)).await;
    server.stop().await;
}

const RETRY: &str = "mutation($input: JobInput!) { done: jobRetry(input: $input) { job { status attempts lastError } userErrors { field code } } }";
const DISCARD: &str = "mutation($input: JobInput!) { done: jobDiscard(input: $input) { job { status finishedAt } userErrors { field code } } }";

#[tokio::test]
async fn an_administrator_sees_retries_and_discards_the_organizations_jobs() {
    let (server, seen) = (server().await, Seen::default());
    let _worker = worker(&server, &seen);
    let (who, neighbour) = (server.founder().await, server.founder().await);
    leave(&server, Some(who.organization), Task { failures: 3, ..task("fragile", 0) }).await;
    leave(&server, None, Task { failures: 3, ..task("nobody's", 0) }).await;
    becomes(&server, "dead 3, dead 3").await;

    let list = "{ jobs(filter: { status: { eq: DEAD } }) { totalCount nodes { id kind about status attempts maxAttempts lastError createdBy } } }";
    let jobs = server.graphql(list, json!({}), Some(&who)).await;
    assert_eq!(data(&jobs, "jobs.totalCount"), 1, "{jobs}");
    let job = &data(&jobs, "jobs.nodes")[0];
    assert_eq!(
        (&job["kind"], &job["about"], &job["attempts"], &job["maxAttempts"], &job["lastError"]),
        (&json!("task"), &json!("about fragile"), &json!(3), &json!(3), &json!("Not yet."))
    );
    let input = json!({ "input": { "id": job["id"] } });

    // The neighbour learns nothing.
    let seen_there = server.graphql(list, json!({}), Some(&neighbour)).await;
    assert_eq!(data(&seen_there, "jobs.totalCount"), 0);
    let one =
        server.graphql("query($id: ID!) { job(id: $id) { id } }", json!({ "id": job["id"] }), Some(&neighbour)).await;
    assert_eq!(data(&one, "job"), &Value::Null);
    for query in [RETRY, DISCARD] {
        let refused = server.graphql(query, input.clone(), Some(&neighbour)).await;
        assert_eq!(user_errors(&refused, "done"), ["id NOT_FOUND"]);
    }
    // Nor who may not.
    let manager = server.member(&who, "manager", None).await;
    for query in [RETRY, DISCARD] {
        let refused = server.graphql(query, input.clone(), Some(&manager)).await;
        assert!(
            refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
                || user_errors(&refused, "done") == ["id NOT_FOUND"],
            "{refused}"
        );
    }
    assert_eq!(code(&server.graphql(list, json!({}), Some(&manager)).await), "FORBIDDEN");

    let admin = server.member(&who, "admin", None).await;
    let retried = server.graphql(RETRY, input.clone(), Some(&admin)).await;
    assert_eq!(data(&retried, "done.job.status"), "WAITING", "{retried}");
    until("an end", async || (seen.runs("fragile").ended == 1).then_some(())).await;
    until("done", async || {
        let job = server
            .graphql("query($id: ID!) { job(id: $id) { status attempts } }", json!({ "id": job["id"] }), Some(&who))
            .await;
        (data(&job, "job") == &json!({ "status": "DONE", "attempts": 1 })).then_some(())
    })
    .await;
    for query in [RETRY, DISCARD] {
        let refused = server.graphql(query, input.clone(), Some(&who)).await;
        assert_eq!(user_errors(&refused, "done"), ["id STATE_INVALID"]);
    }

    leave(&server, Some(who.organization), Task { failures: 9, ..task("unwanted", 0) }).await;
    let unwanted = until("a dead one", async || {
        let jobs = server.graphql(list, json!({}), Some(&who)).await;
        data(&jobs, "jobs.nodes")[0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let discarded = server.graphql(DISCARD, json!({ "input": { "id": unwanted } }), Some(&who)).await;
    assert_eq!(data(&discarded, "done.job.status"), "DISCARDED");
    assert_eq!(server.count("SELECT count(*) FROM jobs WHERE status = 'discarded' AND payload IS NULL").await, 1);
    server.stop().await;
}

/// A connection of the worker sees the queue and nothing of what organizations have; others see only their own jobs.
#[tokio::test]
async fn the_wall_opens_for_the_worker_as_far_as_the_queue() {
    use diesel_async::RunQueryDsl;
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let server = server().await;
    let who = server.founder().await;
    leave(&server, Some(who.organization), task("theirs", 0)).await;
    leave(&server, None, task("nobody's", 0)).await;
    let database = &server.app.database;
    let other = Uuid::now_v7();
    for (connection, sees) in [
        (database.of_worker().await.unwrap(), [2, 1, 0, 0]),
        (database.of(who.organization).await.unwrap(), [1, 1, 1, 1]),
        (database.of(other).await.unwrap(), [0, 0, 0, 0]),
        (database.of_nobody().await.unwrap(), [0, 0, 0, 0]),
    ] {
        for (table, sees) in ["jobs", "organizations", "memberships", "sessions"].into_iter().zip(sees) {
            let count = format!("SELECT count(*) AS count FROM {table}");
            let found: Count = diesel::sql_query(count).get_result(&mut &*connection).await.unwrap();
            assert_eq!(found.count, sees, "{table}");
        }
    }
    server.stop().await;
}

/// The jobs of no organization are nobody's by the API: whoever runs the server has a command.
#[tokio::test]
async fn jobs_of_no_organization_are_looked_after_by_command() {
    let (server, seen) = (server().await, Seen::default());
    let ada = server.founder().await;
    let list = async || stoa(&server, &["jobs", "list"], "").await.1;
    leave(&server, None, Task { failures: 1, how: "never".into(), ..task("mend", 0) }).await;
    leave(&server, None, task("give up", 0)).await;
    leave(&server, Some(ada.organization), task("of an organization", 0)).await;
    let ids = async |name: &str| server.text(&format!("SELECT id::text FROM jobs WHERE about = 'about {name}'")).await;
    let (mend, give_up, adas) = (ids("mend").await, ids("give up").await, ids("of an organization").await);
    let said = list().await;
    assert!(said.contains(&format!("{mend}  waiting  task (about mend), attempt 0 of 3, next 2")), "{said}");
    assert!(said.contains(&give_up) && !said.contains(&adas), "{said}");

    // All or none; an organization's are out of reach, and a word is no id.
    let (code, said) = stoa(&server, &["jobs", "discard", &give_up, &adas], "").await;
    assert_eq!(code, 1);
    assert!(said.contains(&adas) && !said.contains(&give_up), "{said}");
    assert_eq!(stoa(&server, &["jobs", "retry", "all"], "").await.0, 2);
    assert_eq!(stoa(&server, &["jobs", "discard", &give_up], "").await, (0, "1 job is given up\n".into()));
    let given_up = format!("SELECT status || (payload IS NULL) FROM jobs WHERE id = '{give_up}'");
    assert_eq!(server.text(&given_up).await, "discardedtrue");

    let _worker = worker(&server, &seen);
    let dead = format!("SELECT count(*) FROM jobs WHERE id = '{mend}' AND status = 'dead'");
    until("an end", async || (server.count(&dead).await == 1).then_some(())).await;
    let said = list().await;
    assert!(said.contains("dead     task (about mend), attempt 1 of 3: It never will."), "{said}");
    assert_eq!(stoa(&server, &["jobs", "retry", "--dead"], "").await, (0, "1 job is due again\n".into()));
    until("a success", async || (seen.runs("mend").ended == 1).then_some(())).await;
    until("an end", async || (!list().await.contains(&mend)).then_some(())).await;
    server.stop().await;
}
