//! Stoa's verdict on documents is graphql-js's: thousands of generated and mutated documents, each judged by both. The same
//! for the rich schema beside this file and for Stoa's own. Needs Node and `npm ci` in this folder; skips, loudly, without.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "shared with the engine's own tests")]
mod generate;

use serde_json::{Value, json};
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use stoa::{
    config::DocumentConfig,
    server::documents::{Fault, Judge, Judged, Refused},
};

/// Documents for each schema; more with `STOA_DIFFERENTIAL=20000`.
const DOCUMENTS: u64 = 3000;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential");

/// Where we refuse and graphql-js 16 does not, on purpose.
const STRICTER: [(&str, &str); 3] = [
    ("Float cannot represent non numeric value: 1e400", "JSON has no infinity"),
    ("@skip or @include on root fields", "the specification of September 2025; graphql-js 17 refuses as well"),
    (
        "must be non-nullable to be used for a OneOf Input Object",
        "the specification; graphql-js forgets the rule where the type of the argument itself is non-null",
    ),
];

fn agree(ours: &Result<Judged, Refused>, theirs: &[String]) -> bool {
    match ours {
        Ok(_) => theirs.is_empty(),
        Err(refused) => {
            let stricter = |fault: &Fault| STRICTER.iter().any(|(message, _)| fault.message.contains(message));
            !theirs.is_empty() || refused.faults.iter().any(stricter)
        }
    }
}

/// graphql-js's messages for each document; `None` when it cannot be run.
fn graphql_js(sdl: &str, documents: &[String]) -> Option<Vec<Vec<String>>> {
    let ready = Path::new(FOLDER).join("node_modules/graphql").is_dir();
    if !ready || Command::new("node").arg("--version").output().is_err() {
        eprintln!("SKIPPED: graphql-js is not there. Run `npm ci` in tests/differential (with Node 18 or later).");
        return None;
    }
    let mut node = Command::new("node")
        .arg("validate.mjs")
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = node.stdin.take().unwrap();
    let mut lines = json!({ "sdl": sdl }).to_string();
    for document in documents {
        lines.push('\n');
        lines.push_str(&json!({ "document": document }).to_string());
    }
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = node.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "node failed");
    let verdicts: Vec<Vec<String>> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verdicts.len(), documents.len());
    Some(verdicts)
}

/// Limits that no generated document meets: this is about validity.
fn judge(sdl: &str) -> Judge {
    let limits = DocumentConfig {
        max_tokens: 1_000_000,
        max_nesting: 100,
        max_selections: 1_000_000,
        max_depth: 100,
        max_aliases: 100_000,
        max_root_fields: 100_000,
        max_directives: 1000,
        ..DocumentConfig::default()
    };
    Judge::new(sdl, limits).unwrap()
}

fn compare(sdl: &str, documents: &[String]) {
    let Some(theirs) = graphql_js(sdl, documents) else { return };
    let judge = judge(sdl);
    let mut valid = 0;
    let mut differences = Vec::new();
    for (document, theirs) in documents.iter().zip(&theirs) {
        let ours = judge.judge(document);
        valid += usize::from(ours.is_ok());
        let messages: Vec<Value> = match &ours {
            Ok(_) => Vec::new(),
            Err(refused) => refused.faults.iter().map(|fault| json!(fault.message)).collect(),
        };
        if !agree(&ours, theirs) {
            differences.push(format!("ours: {messages:?}\ntheirs: {theirs:?}\n{document}"));
        }
    }
    eprintln!("{} documents, {valid} of them valid, {} differences", documents.len(), differences.len());
    let shown = differences.iter().take(15).cloned().collect::<Vec<_>>().join("\n----\n");
    assert!(differences.is_empty(), "{} differences\n{shown}", differences.len());
    assert!(valid > documents.len() / 5, "too few valid documents to mean anything: {valid}");
    assert!(valid < documents.len() * 9 / 10, "too few invalid documents to mean anything: {valid} valid");
}

fn generated(sdl: &str) -> Vec<String> {
    let schema = apollo_compiler::Schema::parse_and_validate(sdl, "schema.graphql").unwrap();
    let count = std::env::var("STOA_DIFFERENTIAL").ok().and_then(|count| count.parse().ok()).unwrap_or(DOCUMENTS);
    (0..count).map(|seed| generate::document(&schema, seed)).collect()
}

#[test]
fn a_rich_schema() {
    let sdl = include_str!("schema.graphql");
    compare(sdl, &generated(sdl));
}

#[test]
fn the_schema_of_stoa() {
    let sdl = stoa::graphql::builder().finish().sdl();
    let documents = generated(&sdl);
    if let Some(theirs) = graphql_js(&sdl, &documents) {
        let judge = judge(&sdl);
        for (document, theirs) in documents.iter().zip(&theirs) {
            let ours = judge.judge(document);
            let messages = ours.as_ref().err().map(|refused| &refused.faults);
            assert!(agree(&ours, theirs), "ours: {messages:?}\ntheirs: {theirs:?}\n{document}");
        }
    }
}

/// What chance hardly finds.
#[test]
fn known_corners() {
    let sdl = include_str!("schema.graphql");
    let cases: Vec<String> = include_str!("corners.graphql").split("\n###\n").map(str::to_owned).collect();
    let Some(theirs) = graphql_js(sdl, &cases) else { return };
    let judge = judge(sdl);
    let mut differences = Vec::new();
    for (document, theirs) in cases.iter().zip(&theirs) {
        let ours = judge.judge(document);
        if !agree(&ours, theirs) {
            let messages = ours.as_ref().err().map(|refused| &refused.faults);
            differences.push(format!("ours: {messages:?}\ntheirs: {theirs:?}\n{document}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n----\n"));
}
