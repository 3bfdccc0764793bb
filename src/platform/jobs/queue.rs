//! The queue as a table: a job is waiting, running under a lease, or finished. Invariant: whoever has lost the lease can
//! no longer say how the job ended, because each statement names the number of its taking.

use crate::{error::Result, platform::database::Database};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// Characters kept of an error and of what a job is about.
const WORDS: usize = 500;
/// Finished jobs removed in one statement.
const SWEPT: i32 = 1000;

/// A job that is ours until its lease ends.
#[derive(QueryableByName, Debug)]
pub struct Taken {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub payload: Option<Value>,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Integer)]
    pub max_attempts: i32,
    #[diesel(sql_type = BigInt)]
    pub takes: i64,
}

/// How many jobs are in a state.
#[derive(QueryableByName, Debug)]
pub struct Depth {
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

#[derive(QueryableByName)]
struct NextDue {
    #[diesel(sql_type = Nullable<Double>)]
    seconds: Option<f64>,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Ending {
    Done,
    /// To be tried again after this pause.
    Later(Duration, String),
    /// As `Later`, as if it had not been tried.
    PutOff(Duration, String),
    Dead(String),
    /// Not tried to the end: as if it had not been taken.
    GivenBack,
}

/// A lease that has run out is due like a job that waits: whoever had it is gone.
const TAKE: &str = "
    WITH due AS (
        SELECT id FROM jobs
        WHERE status IN ('waiting', 'running') AND run_at <= now() AND kind = ANY($1)
        ORDER BY run_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs j SET status = 'running', attempts = j.attempts + 1, takes = j.takes + 1,
        run_at = now() + make_interval(secs => $3), updated_at = now(), version = j.version + 1
    FROM due WHERE j.id = due.id
    RETURNING j.id, j.kind, j.payload, j.attempts, j.max_attempts, j.takes";

const NEXT_DUE: &str = "
    SELECT extract(epoch FROM min(run_at) - clock_timestamp())::float8 AS seconds FROM jobs
    WHERE status = 'waiting' AND kind = ANY($1) AND run_at > now() AND run_at <= now() + make_interval(secs => $2)";

const DEPTH: &str = "
    SELECT status, count(*) AS count FROM jobs
    WHERE status = 'running' OR status = 'waiting' AND (run_at <= now() OR attempts > 0) GROUP BY status";

const KEEP: &str = "
    UPDATE jobs SET run_at = now() + make_interval(secs => $3)
    WHERE id = $1 AND takes = $2 AND status = 'running'";

const SETTLE: &str = "
    UPDATE jobs SET status = $3, last_error = coalesce($4, last_error),
        run_at = now() + make_interval(secs => $5),
        finished_at = CASE WHEN $3 = 'waiting' THEN NULL ELSE now() END,
        payload = CASE WHEN $3 = 'done' THEN NULL ELSE payload END,
        attempts = attempts - CASE WHEN $6 THEN 1 ELSE 0 END,
        updated_at = now(), version = version + 1
    WHERE id = $1 AND takes = $2 AND status = 'running'";

/// Rows for what recurs and has never been seen here: due at once.
const PLAN: &str = "
    INSERT INTO schedules (name, next_run_at) SELECT name, now() FROM unnest($1) AS name ON CONFLICT DO NOTHING";

/// Of all nodes that ask at once, one gets the row. While the last run is not finished there is no other.
const RECUR: &str = "
    WITH due AS (
        SELECT s.name, known.every, known.attempts
        FROM schedules s JOIN unnest($1, $2, $3) AS known (name, every, attempts) ON known.name = s.name
        WHERE s.next_run_at <= now() FOR UPDATE OF s SKIP LOCKED
    ), moved AS (
        UPDATE schedules s SET last_run_at = now(), next_run_at = now() + make_interval(secs => due.every)
        FROM due WHERE s.name = due.name
    )
    INSERT INTO jobs (id, kind, about, payload, max_attempts)
    SELECT gen_random_uuid(), due.name, 'recurs', '{}', due.attempts FROM due
    WHERE NOT EXISTS (
        SELECT FROM jobs j WHERE j.kind = due.name AND j.organization_id IS NULL AND j.status IN ('waiting', 'running'))";

/// Not again right after the last run, whoever asks how often.
const HASTEN: &str = "
    UPDATE schedules
    SET next_run_at = least(next_run_at, greatest(now(), coalesce(last_run_at, now()) + interval '10 seconds'))
    WHERE name = ANY($1)";

const SWEEP: &str = "
    DELETE FROM jobs WHERE id IN (
        SELECT id FROM jobs
        WHERE finished_at < now() - make_interval(days => CASE WHEN status = 'dead' THEN $2 ELSE $1 END)
        LIMIT $3 FOR UPDATE SKIP LOCKED)";

/// The queue, for those who work.
#[derive(Clone)]
pub struct Queue {
    pub database: Database,
    pub lease: Duration,
}

impl Queue {
    /// Takes jobs of these kinds, the longest due first.
    pub async fn take(&self, kinds: &[&'static str], most: usize) -> Result<Vec<Taken>> {
        let mut conn = self.database.of_worker().await?;
        let take = sql_query(TAKE)
            .bind::<Array<Text>, _>(kinds)
            .bind::<Integer, _>(i32::try_from(most).unwrap_or(i32::MAX))
            .bind::<Double, _>(self.lease.as_secs_f64());
        Ok(take.load(&mut *conn).await?)
    }

    /// Extends the lease. False: it was lost.
    pub async fn keep(&self, job: &Taken) -> Result<bool> {
        let mut conn = self.database.of_worker().await?;
        let keep = sql_query(KEEP)
            .bind::<SqlUuid, _>(job.id)
            .bind::<BigInt, _>(job.takes)
            .bind::<Double, _>(self.lease.as_secs_f64());
        Ok(keep.execute(&mut *conn).await? == 1)
    }

    /// Says how the job ended. False: somebody else has it by now.
    pub async fn settle(&self, job: &Taken, ending: &Ending) -> Result<bool> {
        let (status, error, pause) = match ending {
            Ending::Done => ("done", None, Duration::ZERO),
            Ending::Later(pause, why) | Ending::PutOff(pause, why) => ("waiting", Some(plain(why)), *pause),
            Ending::Dead(why) => ("dead", Some(plain(why)), Duration::ZERO),
            Ending::GivenBack => ("waiting", None, Duration::ZERO),
        };
        let mut conn = self.database.of_worker().await?;
        let settle = sql_query(SETTLE)
            .bind::<SqlUuid, _>(job.id)
            .bind::<BigInt, _>(job.takes)
            .bind::<Text, _>(status)
            .bind::<Nullable<Text>, _>(error)
            .bind::<Double, _>(pause.as_secs_f64())
            .bind::<Bool, _>(matches!(ending, Ending::GivenBack | Ending::PutOff(..)));
        Ok(settle.execute(&mut *conn).await? == 1)
    }

    /// Makes known what recurs.
    pub async fn plan(&self, names: &[&'static str]) -> Result<()> {
        let mut conn = self.database.of_worker().await?;
        sql_query(PLAN).bind::<Array<Text>, _>(names).execute(&mut *conn).await?;
        Ok(())
    }

    /// Leaves a job for each schedule that is due. True: there was one.
    pub async fn recur(&self, names: &[&'static str], every: &[f64], attempts: &[i32]) -> Result<bool> {
        let mut conn = self.database.of_worker().await?;
        let recur = sql_query(RECUR)
            .bind::<Array<Text>, _>(names)
            .bind::<Array<Double>, _>(every)
            .bind::<Array<Integer>, _>(attempts);
        Ok(recur.execute(&mut *conn).await? > 0)
    }

    /// In how many seconds the next job that waits is due, if it is within so many; None: it is not.
    pub async fn next_due(&self, kinds: &[&'static str], within: Duration) -> Result<Option<f64>> {
        let mut conn = self.database.of_worker().await?;
        let next = sql_query(NEXT_DUE).bind::<Array<Text>, _>(kinds).bind::<Double, _>(within.as_secs_f64());
        Ok(next.get_result::<NextDue>(&mut *conn).await?.seconds)
    }

    /// How many jobs are due or have been tried, and how many run.
    pub async fn depth(&self) -> Result<Vec<Depth>> {
        let mut conn = self.database.of_worker().await?;
        Ok(sql_query(DEPTH).load(&mut *conn).await?)
    }
}

/// Has these that recur come now, or ten seconds after their last run.
pub async fn hasten(database: &Database, kinds: &[&'static str]) -> Result<()> {
    let mut conn = database.of_worker().await?;
    sql_query(HASTEN).bind::<Array<Text>, _>(kinds).execute(&mut *conn).await?;
    Ok(())
}

/// Removes finished jobs after so many days, dead ones after so many.
pub async fn sweep(database: &Database, done_days: i32, dead_days: i32) -> Result<()> {
    let mut conn = database.of_worker().await?;
    loop {
        let sweep =
            sql_query(SWEEP).bind::<Integer, _>(done_days).bind::<Integer, _>(dead_days).bind::<Integer, _>(SWEPT);
        if sweep.execute(&mut *conn).await? < SWEPT as usize {
            return Ok(());
        }
    }
}

/// One line of words that can be stored and shown.
pub fn plain(text: &str) -> String {
    let line = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    line.take(WORDS).collect::<String>().trim().to_owned()
}
