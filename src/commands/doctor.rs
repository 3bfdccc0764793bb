//! `stoa doctor`: what would keep Stoa from working here, a line each. Invariant: it changes nothing that stays.

use super::{reason, serve::reachable};
use crate::{
    config::{Config, MailTransport},
    error::{Error, Result},
    platform::{
        database::{Connection, Database},
        files,
        jobs::Jobs,
        mail::Mailer,
        migrations::{self, MigrationState},
        nodes::Redis,
        postgres::Postgres,
        telemetry::without_password,
    },
};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Integer, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use uuid::Uuid;

/// How long each question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The oldest PostgreSQL that Stoa works with, as `server_version_num` has it.
const OLDEST_POSTGRES: i32 = 140_000;

/// What a check found: the words behind its name.
type Finding = Result<String, String>;

/// Prints a line per check; an error when one of them failed.
pub(super) async fn run(config: &Config, file: Option<PathBuf>) -> Result<()> {
    let mut report = Report::default();
    let source =
        file.map_or_else(|| "no file; defaults, environment and flags".to_owned(), |file| file.display().to_string());
    report.line("settings", Ok(source));
    report.line("data directory", can_write(&config.data_dir));
    report.line("files", can_write(&files::folder(config)));
    report.line("listen", can_listen(config.listen).await);
    match &config.database.url {
        Some(url) => check_database(config, url, &mut report).await,
        None => {
            report.line("PostgreSQL", Postgres::find(config).map_err(|error| reason(&error)));
        }
    }
    report.line("other nodes", check_redis(config).await);
    report.line("mail", check_mail(config).await);
    match report.failures {
        0 => Ok(()),
        1 => Err(Error::ours("one check failed")),
        failures => Err(Error::ours(format!("{failures} checks failed"))),
    }
}

/// How nodes tell each other what is new.
async fn check_redis(config: &Config) -> Finding {
    let Some(url) = &config.redis.url else { return Ok("by way of the database".into()) };
    let redis = Redis::new(url, &config.redis.prefix)?;
    let version = timeout(PATIENCE, redis.version()).await;
    let version = version.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
    version.map(|version| format!("{}, Redis {version}", without_password(url)))
}

/// Whether mails can be handed over; none is sent.
async fn check_mail(config: &Config) -> Finding {
    if config.mail.transport == MailTransport::File {
        return can_write(&config.data_dir.join("mail")).map(|folder| format!("files in {folder}; nothing leaves"));
    }
    let mailer = Mailer::new(config, &Jobs::default()).map_err(|error| reason(&error))?;
    timeout(PATIENCE, mailer.check())
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

/// Asks the server that runs with these settings whether it is alive: for health checks in containers, which have
/// no curl.
pub(super) async fn live(config: &Config) -> Result<()> {
    let address = reachable(config.listen);
    if is_stoa_alive(address).await {
        Ok(())
    } else {
        Err(Error::ours(format!("nothing answers on http://{address}/health/live")))
    }
}

#[derive(Default)]
struct Report {
    failures: usize,
}

impl Report {
    fn line(&mut self, check: &str, finding: Finding) {
        let (mark, words): (_, &dyn fmt::Display) = match &finding {
            Ok(words) => ("ok  ", words),
            Err(words) => ("FAIL", words),
        };
        // Whoever reads may have seen enough (`stoa doctor | head -1`).
        let _ = writeln!(io::stdout(), "{mark}  {check:<16}{words}");
        self.failures += usize::from(finding.is_err());
    }
}

/// A folder that is there, or can be made, and takes a file.
fn can_write(folder: &Path) -> Finding {
    let shown = folder.display();
    let nearest = folder.ancestors().find(|part| part.as_os_str().is_empty() || part.exists());
    let nearest = nearest.filter(|part| !part.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let trial = nearest.join(format!(".stoa-doctor-{}", Uuid::new_v4()));
    let written = std::fs::write(&trial, b"");
    let removed = std::fs::remove_file(&trial);
    match written.and(removed) {
        Ok(()) if folder.exists() => Ok(format!("{shown}")),
        Ok(()) => Ok(format!("{shown} (does not exist yet; can be made)")),
        Err(error) => Err(format!("{shown} cannot be written to: {error}")),
    }
}

async fn can_listen(address: SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if is_stoa_alive(reachable(address)).await {
                Ok(format!("a Stoa already answers on {address}"))
            } else {
                Err(format!("{address} is taken by another program; choose another address with --listen"))
            }
        }
        Err(error) => Err(format!("{address}: {error}")),
    }
}

/// Whether `GET /health/live` says 200.
async fn is_stoa_alive(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut status = [0; "HTTP/1.1 200".len()];
        stream.read_exact(&mut status).await?;
        io::Result::Ok(status)
    };
    matches!(timeout(PATIENCE, ask).await, Ok(Ok(status)) if &status == b"HTTP/1.1 200")
}

async fn check_database(config: &Config, url: &str, report: &mut Report) {
    // Two connections at once: the pooler check needs one to get in the way of the other.
    let connect = async {
        let database = Database::connect(&config.database, url).await?;
        Result::<_>::Ok((database.of_nobody().await?, database.of_nobody().await?))
    };
    let late = || format!("no answer within {} s", PATIENCE.as_secs());
    let connected = match timeout(PATIENCE, connect).await {
        Err(_) => Err(late()),
        Ok(outcome) => outcome.map_err(|error| reason(&error)),
    };
    let (mut one, mut other) = match connected {
        Ok(connections) => connections,
        Err(why) => return report.line("database", Err(format!("{}: {why}", without_password(url)))),
    };
    report.line("database", version(&mut one).await.map(|version| format!("{}, {version}", without_password(url))));
    report.line("pooler", keeps_sessions(&mut one, &mut other).await);
    let state = timeout(PATIENCE, migrations::status(url)).await;
    report.line(
        "migrations",
        match state {
            Err(_) => Err(late()),
            Ok(Err(error)) => Err(reason(&error)),
            Ok(Ok(all)) => Ok(match all.iter().filter(|one| one.state == MigrationState::Pending).count() {
                _ if all.iter().any(|one| one.state == MigrationState::Unknown) => {
                    "a newer version of Stoa has changed this database".to_owned()
                }
                0 => format!("all {} applied", all.len()),
                waiting => format!("{waiting} of {} wait; the next start applies them", all.len()),
            }),
        },
    );
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Integer)]
    value: i32,
}

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Nullable<Text>)]
    value: Option<String>,
}

async fn version(connection: &mut Connection) -> Finding {
    let query = sql_query("SELECT current_setting('server_version_num')::int AS value");
    let number = query.get_result::<Number>(&mut **connection).await.map_err(|error| error.to_string())?.value;
    let (major, minor) = (number / 10_000, number % 10_000);
    if number >= OLDEST_POSTGRES {
        Ok(format!("PostgreSQL {major}.{minor}"))
    } else {
        Err(format!("PostgreSQL {major}.{minor} is too old; 14 or newer is needed"))
    }
}

/// Whether a connection keeps its settings between transactions. Stoa says once on a connection whose rows it may
/// see; a pooler that hands each transaction to another session (PgBouncer's `pool_mode = transaction`) would lose
/// that. To see it with an idle pooler, another connection takes the session away in between.
async fn keeps_sessions(one: &mut Connection, other: &mut Connection) -> Finding {
    let secret = Uuid::new_v4().to_string();
    let check = async {
        sql_query("SELECT set_config('stoa.doctor', $1, false)").bind::<Text, _>(&secret).execute(&mut **one).await?;
        sql_query("BEGIN").execute(&mut **other).await?;
        sql_query("SELECT 1").execute(&mut **other).await?;
        let read = sql_query("SELECT current_setting('stoa.doctor', true) AS value");
        let kept = read.get_result::<Setting>(&mut **one).await;
        sql_query("ROLLBACK").execute(&mut **other).await?;
        sql_query("SELECT set_config('stoa.doctor', '', false)").execute(&mut **one).await?;
        kept.map(|kept| kept.value.as_deref() == Some(&*secret))
    };
    match timeout(PATIENCE, check).await {
        Ok(Ok(true)) => Ok("a connection keeps its settings".into()),
        Ok(Ok(false)) => Err("a pooler in between pools transactions; Stoa needs it to pool sessions".into()),
        Ok(Err::<_, diesel::result::Error>(error)) => Err(error.to_string()),
        Err(_) => Err("no answer; does a pooler in between have fewer than two sessions?".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_can_be_made_is_fine_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(can_write(folder.path()).is_ok());
        assert!(can_write(&folder.path().join("a/b")).unwrap().contains("can be made"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays behind");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(can_write(&file.join("below")).is_err());
    }

    #[tokio::test]
    async fn only_a_server_that_says_200_is_alive() {
        for (answer, alive) in
            [("HTTP/1.1 200 OK\r\n\r\n", true), ("HTTP/1.1 503 No\r\n\r\n", false), ("SSH-2.0-other\r\n", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let other = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                // Closing with unread input would reset the connection before the answer is read.
                let _ = stream.read(&mut [0; 256]).await;
            });
            assert_eq!(is_stoa_alive(address).await, alive, "{answer}");
            other.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_port_is_free_or_taken() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let silent = tokio::spawn(async move { taken.accept().await.map(drop) });
        assert!(can_listen(address).await.unwrap_err().contains("taken"));
        let _ = silent.await;
        assert!(can_listen(address).await.is_ok());
    }
}
