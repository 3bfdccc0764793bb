//! Over resolvers that fail, `data` is what graphql-js makes of it: nulls where it has them, keys in its order, and an error
//! for each path that it names. Needs Node and `npm ci` in tests/differential; skips, loudly, without.

#[path = "../../../../tests/differential/generate.rs"]
#[expect(dead_code, reason = "shared with tests/differential, which needs more of it")]
mod generate;

use super::{ask, run_with};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// More with `STOA_DIFFERENTIAL=20000`.
const DOCUMENTS: u64 = 600;
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential");

fn graphql_js(documents: &[String]) -> Option<Vec<Value>> {
    let ready = Path::new(FOLDER).join("node_modules/graphql").is_dir();
    if !ready || Command::new("node").arg("--version").output().is_err() {
        eprintln!("SKIPPED: graphql-js is not there. Run `npm ci` in tests/differential (with Node 18 or later).");
        return None;
    }
    let mut node = Command::new("node")
        .arg("execute.mjs")
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = node.stdin.take().unwrap();
    let lines =
        documents.iter().map(|document| json!({ "document": document }).to_string()).collect::<Vec<_>>().join("\n");
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = node.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "node failed");
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn paths(answer: &Value) -> BTreeSet<String> {
    answer["errors"].as_array().into_iter().flatten().map(|error| error["path"].to_string()).collect()
}

#[tokio::test]
async fn the_same_as_graphql_js() {
    let sdl = std::fs::read_to_string(Path::new(FOLDER).join("failing.graphql")).unwrap();
    let schema = apollo_compiler::Schema::parse_and_validate(&sdl, "failing.graphql").unwrap();
    let count = std::env::var("STOA_DIFFERENTIAL").ok().and_then(|count| count.parse().ok()).unwrap_or(DOCUMENTS);
    let documents: Vec<String> = (0..count).map(|seed| generate::query(&schema, seed)).collect();
    let Some(theirs) = graphql_js(&documents) else { return };
    let (run, _) = run_with(|config| config.documents.max_cost = u64::MAX);
    let (mut executed, mut failing) = (0, 0);
    for (document, theirs) in documents.iter().zip(&theirs) {
        let (answer, ours) = ask(&run, json!({ "query": document })).await;
        // By chance, some ask for the same field with different arguments.
        assert_eq!(answer.refused.is_some(), theirs.get("data").is_none(), "{ours}\n{theirs}\n{document}");
        if answer.refused.is_some() {
            continue;
        }
        executed += 1;
        assert_eq!(ours["data"].to_string(), theirs["data"].to_string(), "{ours}\n{theirs}\n{document}");
        failing += usize::from(!paths(&ours).is_empty());
        // graphql-js goes on with the siblings of what has become null, the engine does not: it may name fewer.
        assert!(paths(&ours).is_subset(&paths(theirs)), "{ours}\n{theirs}\n{document}");
        assert_eq!(paths(&ours).is_empty(), paths(theirs).is_empty(), "{document}");
    }
    assert!(executed > 300 && failing > 100, "too few: {failing} of {executed} had errors");
}
