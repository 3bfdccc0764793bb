//! Where settings come from: defaults, a TOML file, the environment, flags; the later wins. Invariant: nothing
//! wrong passes in silence, and everything wrong is told at once.
//!
//! There is no list of settings: `Config::default()` says which exist, and each given value is tried alone
//! against `Config`, so that the type of the field decides what a text from the environment means.

use super::{Config, Fault};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};
use toml::{Table, Value, de::DeTable};

/// Read when it lies in the working directory and no other file is named.
const USUAL_FILE: &str = "stoa.toml";
/// Variables that other programs know, and the settings they stand for. Stoa's own name for it wins.
const FOREIGN: [(&str, &str); 2] = [("DATABASE_URL", "database.url"), ("REDIS_URL", "redis.url")];
/// What the variables of settings begin with.
const PREFIX: &str = "STOA_";
/// The variable that names the file.
const FILE_VARIABLE: &str = "STOA_CONFIG";
/// Variables of Stoa's own tests and scripts, which are no settings.
const TEST_PREFIX: &str = "STOA_TEST_";
/// Settings whose values are never shown end with one of these words.
const SECRETS: [&str; 5] = ["url", "key", "secret", "password", "oidc"];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File { path: PathBuf, line: Option<usize> },
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line: None } => write!(f, "{}", path.display()),
            Origin::File { path, line: Some(line) } => write!(f, "{}, line {line}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// A setting given on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As written on the command line, such as `--listen`.
    pub name: &'static str,
    /// As in the file, such as `listen`.
    pub setting: &'static str,
    pub value: String,
}

/// Everything that may hold settings.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// Where `stoa.toml` is looked for.
    pub directory: PathBuf,
    /// The environment.
    pub variables: Vec<(String, String)>,
    pub flags: Vec<Flag>,
}

/// Settings that have been checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Variables that begin as Stoa's do and are like none of them: perhaps another program's, worth a warning.
    pub strange: Vec<String>,
}

/// A value before it is known to fit.
struct Given {
    setting: String,
    origin: Origin,
    /// What it can mean, the most literal first: a text from outside may stand for a number.
    readings: Vec<Value>,
}

/// Reads all sources and checks the outcome. The error lists everything that is wrong.
pub fn load(sources: Sources) -> Result<Loaded, Vec<Fault>> {
    let known = known();
    let mut faults = Vec::new();
    let variables: BTreeMap<_, _> = sources.variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let file = sources.file.or_else(|| variables.get(FILE_VARIABLE).map(PathBuf::from)).or_else(|| {
        let usual = sources.directory.join(USUAL_FILE);
        usual.is_file().then_some(usual)
    });
    let mut given = file.as_deref().map_or_else(Vec::new, |path| from_file(path, &mut faults));
    let mut strange = Vec::new();
    given.extend(from_variables(&variables, &known, &mut faults, &mut strange));
    given.extend(sources.flags.into_iter().map(|flag| Given {
        setting: flag.setting.into(),
        origin: Origin::Flag(flag.name),
        readings: readings(&flag.value),
    }));

    let mut table = Table::new();
    let mut origins = BTreeMap::new();
    for Given { setting, origin, readings } in given {
        match fitting(&setting, &readings, &known) {
            Ok(value) => {
                put(&mut table, &setting, value);
                origins.insert(setting, origin);
            }
            Err(message) => faults.push(Fault { setting, origin: Some(origin), message }),
        }
    }
    match Config::deserialize(Value::Table(table)) {
        Ok(config) => {
            faults.extend(config.check().into_iter().map(|fault| {
                let origin = origins.get(&fault.setting).cloned();
                Fault { origin, ..fault }
            }));
            if faults.is_empty() { Ok(Loaded { config, file, strange }) } else { Err(faults) }
        }
        // Each value fitted alone; that they do not together would be a mistake in `Config`.
        Err(_) => {
            let message = "these settings cannot be used together".into();
            faults.push(Fault { setting: String::new(), origin: None, message });
            Err(faults)
        }
    }
}

/// Every setting with its default (null: none), and every section (an object).
pub(super) fn known() -> BTreeMap<String, serde_json::Value> {
    fn walk(prefix: &str, value: serde_json::Value, into: &mut BTreeMap<String, serde_json::Value>) {
        if let serde_json::Value::Object(members) = &value {
            for (name, member) in members {
                walk(&join(prefix, name), member.clone(), into);
            }
        }
        if !prefix.is_empty() {
            into.insert(prefix.into(), value);
        }
    }
    let mut known = BTreeMap::new();
    // Cannot fail: settings are plain values. Were it to, every setting would be refused as unknown.
    walk("", serde_json::to_value(Config::default()).unwrap_or_default(), &mut known);
    known
}

/// The variable that holds a setting: `http.max_body` → `STOA_HTTP_MAX_BODY`.
pub(super) fn variable(setting: &str) -> String {
    format!("{PREFIX}{}", setting.to_ascii_uppercase().replace('.', "_"))
}

/// The values of a file, each with its line.
fn from_file(path: &Path, faults: &mut Vec<Fault>) -> Vec<Given> {
    let mut fault = |line, message: String| {
        let origin = Some(Origin::File { path: path.into(), line });
        faults.push(Fault { setting: String::new(), origin, message });
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            fault(None, unreadable(&error).into());
            return Vec::new();
        }
    };
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        fault(error.span().map(|span| line(span.start)), error.message().replace('\n', "; "));
    }
    let mut given = Vec::new();
    let mut open = vec![(String::new(), table.into_inner())];
    while let Some((prefix, table)) = open.pop() {
        for (name, value) in table {
            let setting = join(&prefix, name.get_ref());
            let origin = Origin::File { path: path.into(), line: Some(line(name.span().start)) };
            match value.get_ref().as_table() {
                // An empty section of an unknown name is worth a word too; a known one says nothing.
                Some(members) if !members.is_empty() => open.push((setting, members.clone())),
                _ => match Value::deserialize(toml::de::ValueDeserializer::from(value)) {
                    Ok(value) => given.push(Given { setting, origin, readings: vec![value] }),
                    // Told above as an error of the file.
                    Err(_) => continue,
                },
            }
        }
    }
    given
}

fn unreadable(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file",
        io::ErrorKind::PermissionDenied => "this file may not be read",
        io::ErrorKind::InvalidData => "this file is not UTF-8 text",
        _ => "this file cannot be read",
    }
}

/// The values of the environment. A variable that is like a setting and is none is a fault.
fn from_variables(
    variables: &BTreeMap<String, String>,
    known: &BTreeMap<String, serde_json::Value>,
    faults: &mut Vec<Fault>,
    strange: &mut Vec<String>,
) -> Vec<Given> {
    let ours: BTreeMap<String, &String> =
        known.iter().filter(|(_, default)| !default.is_object()).map(|(name, _)| (variable(name), name)).collect();
    let given = |variable: &str, setting: &str, value: &str| Given {
        setting: setting.into(),
        origin: Origin::Variable(variable.into()),
        readings: readings(value),
    };
    let mut all: Vec<Given> =
        FOREIGN.iter().filter_map(|(name, setting)| Some(given(name, setting, variables.get(*name)?))).collect();
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        if let Some(setting) = ours.get(name) {
            all.push(given(name, setting, value));
        } else if name != FILE_VARIABLE && !name.starts_with(TEST_PREFIX) && !is_service_link(name, value) {
            match nearest(name, ours.keys()) {
                Some(near) => {
                    let message = format!("there is no such setting; did you mean {near}?");
                    faults.push(Fault { setting: name.clone(), origin: None, message });
                }
                None => strange.push(name.clone()),
            }
        }
    }
    all
}

/// Kubernetes and Docker name the services that a container may call: beside one called `stoa`, that gives
/// `STOA_SERVICE_HOST`, `STOA_PORT=tcp://…`, `STOA_PORT_4000_TCP_ADDR`.
fn is_service_link(name: &str, value: &str) -> bool {
    ["_SERVICE_HOST", "_SERVICE_PORT", "_TCP_", "_UDP_"].iter().any(|part| name.contains(part))
        || ["tcp://", "udp://"].iter().any(|scheme| value.starts_with(scheme))
}

/// What a text from outside the file can mean. A list is written with commas, or as in the file: one of tables can only be
/// written so.
fn readings(text: &str) -> Vec<Value> {
    let mut all = vec![Value::String(text.into())];
    all.extend(text.trim_start().starts_with('[').then(|| text.parse::<Value>().ok()).flatten());
    all.extend(text.parse().map(Value::Boolean));
    all.extend(text.parse().map(Value::Integer));
    all.extend(text.parse().map(Value::Float));
    all.push(text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>().into());
    all
}

/// The first reading that the setting takes, or why there is none.
fn fitting(setting: &str, readings: &[Value], known: &BTreeMap<String, serde_json::Value>) -> Result<Value, String> {
    let Some(default) = known.get(setting) else {
        let hint = nearest(setting, known.keys()).map(|near| format!("; did you mean {near}?"));
        return Err(format!("there is no such setting{}", hint.unwrap_or_default()));
    };
    if default.is_object() && !readings.iter().all(Value::is_table) {
        return Err(format!("this is a section; write [{setting}] and its settings below"));
    }
    let mut refusal = String::new();
    for value in readings {
        let mut alone = Table::new();
        put(&mut alone, setting, value.clone());
        match Config::deserialize(Value::Table(alone)) {
            Ok(_) => return Ok(value.clone()),
            Err(error) if refusal.is_empty() => refusal = wording(setting, value, error.message()),
            Err(_) => {}
        }
    }
    Err(refusal)
}

/// The name that was probably meant: one that is spelt alike, or the same without its section.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let plain = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase().replace('.', "_");
    let given = plain(name);
    let nearness = |candidate: &String| {
        let candidate = plain(candidate);
        // Of several words: a short name such as STOA_URL may well be another program's.
        let lacks_section = given.contains('_') && candidate.ends_with(&format!("_{given}"));
        if lacks_section { 1.0 } else { strsim::jaro_winkler(&given, &candidate) }
    };
    known
        .map(|candidate| (nearness(candidate), candidate))
        .filter(|(nearness, _)| *nearness > 0.85)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Why a value does not fit, from what serde says of the type. serde's own words are for programmers.
fn wording(setting: &str, value: &Value, message: &str) -> String {
    let wanted = message.rsplit_once("expected ").map_or("", |(_, wanted)| wanted.trim());
    let wanted = match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" => "a text in quotes".to_owned(),
        "a sequence" => "a list".to_owned(),
        // Names of settings, and no values.
        _ if message.starts_with("unknown field") => return format!("it has an {}", message.replace('`', "")),
        choices if message.starts_with("unknown variant") => choices.replace('`', ""),
        _ if message.contains("socket address") => "an address with a port, such as 127.0.0.1:4000".to_owned(),
        _ => "a value that this setting takes".to_owned(),
    };
    let secret = SECRETS.iter().any(|word| setting.ends_with(word));
    let shown = if secret { "the value".to_owned() } else { value.to_string() };
    format!("{shown} is not {wanted}")
}

/// Sets `a.b` in a table of tables.
fn put(table: &mut Table, setting: &str, value: Value) {
    match setting.split_once('.') {
        None => {
            table.insert(setting.into(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Table::new().into());
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.into() } else { format!("{prefix}.{name}") }
}
