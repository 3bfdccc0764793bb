//! Builds again when what is embedded changes: macros that embed folders do not notice new files.
//! Invariant: nothing else makes Cargo run this again.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=functions");
    // A path that is not there would make every build start over; so until the page has been built, its sources are
    // watched, among which the build puts it.
    let watched = if Path::new("web/dist").exists() { "web/dist" } else { "web" };
    println!("cargo:rerun-if-changed={watched}");
}
