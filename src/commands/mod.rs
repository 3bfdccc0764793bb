//! The commands of the binary: arguments and settings are read here, once, before anything starts.
//! Invariant: exit code 0 for done, 1 for failed (with one line that says why), 2 for wrong arguments or settings.

mod doctor;
mod import;
mod jobs;
mod keys;
pub mod migrate;
mod schema;
mod seed;
mod serve;
mod user;

use crate::{
    app::App,
    config::{self, Config, Flag, Loaded, Sources},
    error::{Error, Result},
    platform::{migrations, postgres::Postgres, telemetry},
};
use clap::{ArgAction, Args, Parser, Subcommand};
use std::{
    future::Future,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

/// Stoa: a self-hosted GraphQL server for a company's customers, work and conversations.
///
/// Without a command, Stoa serves. Without DATABASE_URL it runs a PostgreSQL of its own below the data directory.
#[derive(Debug, Parser)]
#[command(name = "stoa", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve GraphQL (what happens without a command)
    Serve,
    /// Bring the database up to date (Stoa does so itself when it starts), or look at its state
    Migrate {
        #[command(subcommand)]
        action: Option<migrate::Action>,
    },
    /// Fill an empty database with demo organizations (what --demo does at start); not in production
    Seed,
    /// List or rotate the keys that sign access tokens
    Keys {
        #[command(subcommand)]
        action: keys::Action,
    },
    /// Make accounts, reset them, give roles; also while Stoa runs
    User {
        #[command(subcommand)]
        action: user::Action,
    },
    /// Look after jobs of no organization: list them, run them again, give them up; also while Stoa runs
    Jobs {
        #[command(subcommand)]
        action: jobs::Action,
    },
    /// Bring a team over from Slack or Mattermost: people, conversations, messages; also while Stoa runs
    Import {
        #[command(subcommand)]
        from: import::From,
    },
    /// Print the GraphQL schema
    Schema,
    /// Check settings, data directory and database, and say what is wrong; changes nothing
    Doctor {
        /// Only ask the Stoa that runs with these settings whether it is alive
        #[arg(long)]
        live: bool,
    },
}

/// Settings as flags. They are texts, so that a wrong one is told together with all others.
#[derive(Args, Debug)]
struct Settings {
    /// Read settings from this file [env: STOA_CONFIG] [default: stoa.toml, if there]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// Listen here [env: STOA_LISTEN] [default: 127.0.0.1:4000]
    #[arg(long, global = true, value_name = "ADDRESS:PORT", help_heading = "Settings")]
    listen: Option<String>,
    /// Keep data here [env: STOA_DATA_DIR] [default: .stoa]
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Settings")]
    data_dir: Option<String>,
    /// Use this PostgreSQL; the variable is better: other users see flags [env: DATABASE_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    database_url: Option<String>,
    /// Fill an empty database with demo organizations [env: STOA_DEMO]
    #[arg(long, global = true, action = ArgAction::SetTrue, help_heading = "Settings")]
    demo: bool,
    /// Refuse what is only good for trying out [env: STOA_PRODUCTION]
    #[arg(long, global = true, action = ArgAction::SetTrue, help_heading = "Settings")]
    production: bool,
    /// Log this, such as debug or info,stoa=debug [env: STOA_LOG_FILTER] [default: info]
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Settings")]
    log: Option<String>,
}

impl Settings {
    fn sources(self) -> Sources {
        let yes = |flag: bool| flag.then(|| "true".to_owned());
        let flags = [
            ("--listen", "listen", self.listen),
            ("--data-dir", "data_dir", self.data_dir),
            ("--database-url", "database.url", self.database_url),
            ("--demo", "demo", yes(self.demo)),
            ("--production", "production", yes(self.production)),
            ("--log", "log.filter", self.log),
        ];
        let given = |(name, setting, value): (_, _, Option<String>)| Some(Flag { name, setting, value: value? });
        Sources {
            file: self.config,
            directory: PathBuf::new(),
            // A variable that is not UTF-8 cannot be one of ours.
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags: flags.into_iter().filter_map(given).collect(),
        }
    }
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let Arguments { settings, command } = Arguments::parse();
    let Loaded { config, file, strange } = match config::load(settings.sources()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let these = if faults.len() == 1 { "This setting is" } else { "These settings are" };
            eprintln!("{these} wrong:");
            faults.iter().for_each(|fault| eprintln!("  {fault}"));
            return ExitCode::from(2);
        }
    };
    if let Err(error) = telemetry::start_logs(&config.log) {
        return finish(Err(error));
    }
    for variable in strange {
        tracing::warn!(variable, "no setting has this name; it is ignored");
    }
    match command.unwrap_or(Command::Serve) {
        Command::Serve => finish(in_runtime(&config, serve::run(config.clone()))),
        Command::Migrate { action } => {
            finish(in_runtime(&config, migrate::run(&config, action.unwrap_or(migrate::Action::Up))))
        }
        Command::Seed => finish(in_runtime(&config, seed::run(&config))),
        Command::Keys { action } => finish(keys::run(&config, action)),
        Command::User { action } => finish(in_runtime(&config, user::run(&config, action))),
        Command::Jobs { action } => finish(in_runtime(&config, jobs::run(&config, action))),
        Command::Import { from } => finish(in_runtime(&config, import::run(&config, from))),
        Command::Schema => finish(schema::run()),
        Command::Doctor { live: true } => finish(in_runtime(&config, doctor::live(&config))),
        Command::Doctor { live: false } => finish(in_runtime(&config, doctor::run(&config, file))),
    }
}

/// Runs a future beside a thread per core, or as many as the settings say. The future itself stays on the main thread:
/// the embedded PostgreSQL ends with the thread that has started it.
fn in_runtime<T>(config: &Config, future: impl Future<Output = Result<T>>) -> Result<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(if config.workers == 0 { cores } else { config.workers })
        .thread_name("stoa")
        .thread_stack_size(worker_stack(config.documents.max_depth))
        .enable_all()
        .build()
        .map_err(Error::ours)?
        .block_on(future)
}

/// Does something in the database of these settings, also beside a Stoa that runs on it, and prints what was done.
async fn administer(config: &Config, act: impl AsyncFnOnce(Arc<App>) -> Result<String>) -> Result<()> {
    let (server, url) = Postgres::given_or_shared(config).await?;
    let done = async {
        migrations::up(&url).await?;
        act(App::new(config.clone(), &url).await?).await
    };
    let done = done.await;
    if let Some(server) = server {
        server.stop().await;
    }
    // Whoever does not read it does not need it.
    done.map(|words| _ = writeln!(io::stdout(), "{words}"))
}

/// How large the stack of a thread that executes documents must be, in bytes. Resolvers are polled within each other, as
/// deep as documents nest: measured, 235 KiB a level (lists of records of lists of records) in a release build and
/// 1.1 MiB without optimisation; here is twice that. Pages that are never touched cost nothing.
pub fn worker_stack(max_depth: usize) -> usize {
    const LEVEL: usize = if cfg!(debug_assertions) { 2304 << 10 } else { 512 << 10 };
    (2 << 20) + max_depth * LEVEL
}

fn finish(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stoa: {}", reason(&error));
            ExitCode::FAILURE
        }
    }
}

/// The whole reason of a failure, for whoever runs the binary; clients never see this.
fn reason(error: &Error) -> String {
    let inner = match error {
        Error::Yours(refusal) => return refusal.message.to_string(),
        Error::Ours(inner) | Error::TooSlow(_, inner) => inner,
    };
    let mut text = inner.to_string();
    let mut source = inner.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_is_a_setting_and_stands_before_or_behind_the_command() {
        let all = [
            "--listen",
            "127.0.0.1:1",
            "--data-dir",
            "d",
            "--database-url",
            "postgres://h/d",
            "--demo",
            "--log",
            "debug",
        ];
        for line in [[&["stoa"], &all[..], &["serve"]].concat(), [&["stoa", "serve"], &all[..]].concat()] {
            let mut sources = Arguments::parse_from(line).settings.sources();
            (sources.variables, sources.directory) = (Vec::new(), "nowhere".into());
            let config = config::load(sources).unwrap().config;
            assert_eq!(config.listen.port(), 1);
            assert_eq!(config.data_dir, PathBuf::from("d"));
            assert_eq!(config.database.url.as_deref(), Some("postgres://h/d"));
            assert!(config.demo && !config.production);
            assert_eq!(config.log.filter.as_deref(), Some("debug"));
        }
    }

    #[test]
    fn a_reason_names_every_cause_once() {
        let cause = std::io::Error::other("refused");
        let outer = std::io::Error::other(cause);
        assert_eq!(reason(&Error::ours(outer)), "refused");
        assert_eq!(reason(&Error::bad_input("No such thing.")), "No such thing.");
    }
}
