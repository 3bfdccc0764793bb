//! Builds again when a migration is added: macros that embed folders do not notice new files.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
