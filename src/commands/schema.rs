//! `stoa schema`: the GraphQL schema as a front end's tools read it; the same text as `schema.graphql`.

use crate::{
    error::{Error, Result},
    graphql,
};
use std::io::{self, ErrorKind, Write};

pub(super) fn run() -> Result<()> {
    match io::stdout().write_all(graphql::builder().finish().sdl_with_options(graphql::sdl_options()).as_bytes()) {
        // The reader has seen enough (`stoa schema | head`).
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(Error::ours),
    }
}
