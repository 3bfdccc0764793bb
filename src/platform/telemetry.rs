//! Logs and metrics. Invariant: one line per event, to standard error; no secret in any of them: settings are
//! never logged whole, and addresses of databases go through `without_password`.

use crate::{
    config::{LogConfig, LogFormat},
    error::{Error, Result},
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{io::IsTerminal, panic};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};
use url::Url;

/// What is logged when nothing is said.
const USUAL_FILTER: &str = "info";
/// Upper ends of the buckets of every `…_seconds` histogram: from a cached read to the longest time limit.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// Starts logging; call once. Panics are logged from here on, one line each.
pub fn start_logs(config: &LogConfig) -> Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let filter = config.filter.as_deref().unwrap_or(USUAL_FILTER);
    let filter = EnvFilter::builder().parse(filter).map_err(Error::ours)?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    let registry = tracing_subscriber::registry().with(filter);
    let usual = if terminal { LogFormat::Pretty } else { LogFormat::Json };
    match config.format.unwrap_or(usual) {
        LogFormat::Pretty => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init(),
    }
    .map_err(Error::ours)?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The thread or task is lost, the process goes on: what happened must stand in the log, on one line.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message").replace('\n', " ");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(place, thread, "panic: {message}");
}

/// Starts counting; call once. The handle renders `/metrics`; whoever holds it calls its `run_upkeep` now
/// and then, or what is counted grows while nobody reads it.
pub fn start_metrics() -> Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(Error::ours)
}

/// The address of a database or a Redis as it may be shown: without the password and without parameters, which can hold one.
pub fn without_password(address: &str) -> String {
    let known = |url: &Url| matches!(url.scheme(), "postgres" | "postgresql" | "redis" | "rediss" | "redis+unix");
    let url = Url::parse(address).ok().filter(known);
    let Some(mut url) = url else { return "(an address that cannot be read)".into() };
    let _ = url.set_password(None);
    url.set_query(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };
    use tracing_subscriber::fmt::MakeWriter;

    #[test]
    fn passwords_are_left_out_of_addresses() {
        assert_eq!(without_password("postgres://me:hunter2@db:5432/stoa"), "postgres://me@db:5432/stoa");
        assert_eq!(without_password("postgres:///stoa?host=/run&password=hunter2"), "postgres:///stoa");
        assert!(!without_password("me:hunter2@db").contains("hunter2"));
        assert!(!without_password("host=db password=hunter2").contains("hunter2"));
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_panic_is_one_line() {
        let lines = Lines::default();
        let logs = tracing_subscriber::registry().with(fmt::layer().json().with_writer(lines.clone()));
        let before = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        tracing::subscriber::with_default(logs, || {
            panic::catch_unwind(|| panic!("first\nsecond")).unwrap_err();
        });
        panic::set_hook(before);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let ours: Vec<_> = text.lines().filter(|line| line.contains("panic: first second")).collect();
        assert_eq!(ours.len(), 1, "{text}");
        assert!(ours[0].contains("telemetry.rs"), "{text}");
    }
}
