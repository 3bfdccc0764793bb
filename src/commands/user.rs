//! `stoa user`: accounts as whoever runs the server makes and mends them, also while it runs. Invariant: no secret is an
//! argument, which other users of the machine see: passwords are read from standard input, or chosen by a link.

use super::administer;
use crate::{
    app::App,
    config::Config,
    error::{Error, Result},
    identity::administration::{self, NewUser},
    kit::permission::Role,
};
use clap::{Args, Subcommand};
use std::io::{self, Read};

/// Bytes of a password on standard input at most.
const LONGEST: u64 = 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Make an account that belongs to an organization
    Create {
        /// What to sign in with
        email: String,
        /// The person's name
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The short name (slug) of the organization
        #[arg(long, value_name = "SLUG")]
        organization: String,
        /// Found the organization, by this name
        #[arg(long, value_name = "NAME")]
        found: Option<String>,
        /// What they may do: owner, admin, manager, sales_rep, support, member, guest [default: member; of a new
        /// organization: owner]
        #[arg(long, value_parser = role)]
        role: Option<Role>,
        #[command(flatten)]
        password: Password,
    },
    /// End all sessions of a person and take the password away
    Reset {
        /// What they sign in with
        email: String,
        /// Switch two-factor sign-in off as well, for whoever has lost the authenticator and the recovery codes
        #[arg(long)]
        forget_authenticator: bool,
        #[command(flatten)]
        password: Password,
    },
    /// Give a member another role
    Promote {
        /// What they sign in with
        email: String,
        /// The short name (slug) of the organization; needed for members of several
        #[arg(long, value_name = "SLUG")]
        organization: Option<String>,
        /// What they may do: owner, admin, manager, sales_rep, support, member, guest
        #[arg(long, value_parser = role)]
        role: Role,
    },
}

#[derive(Args, Debug)]
pub(super) struct Password {
    /// Read the new password from standard input; otherwise a link is printed with which the person chooses one, once
    /// and within an hour
    #[arg(long)]
    password_stdin: bool,
}

fn role(name: &str) -> Result<Role, String> {
    Role::parse(&name.to_lowercase()).ok_or_else(|| {
        let all: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("a role is one of {}", all.join(", "))
    })
}

impl Password {
    /// One line.
    fn read(&self) -> Result<Option<String>> {
        if !self.password_stdin {
            return Ok(None);
        }
        let mut text = String::new();
        let read = io::stdin().lock().take(LONGEST).read_to_string(&mut text);
        read.map_err(|error| Error::ours(format!("cannot read the password from standard input: {error}")))?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        let password = password.strip_suffix('\r').unwrap_or(password);
        if password.is_empty() || password.contains('\n') {
            return Err(Error::bad_input("Write the password to standard input, in one line."));
        }
        Ok(Some(password.to_owned()))
    }
}

pub(super) async fn run(config: &Config, action: Action) -> Result<()> {
    administer(config, async |app| act(&app, action).await).await
}

/// What was done, in words.
async fn act(app: &App, action: Action) -> Result<String> {
    let by_link = |link: Option<String>| match link {
        Some(link) => format!("; the password is chosen here, once and within an hour:\n{link}"),
        None => String::new(),
    };
    match action {
        Action::Create { email, name, organization, found, role, password } => {
            let role = role.unwrap_or(if found.is_some() { Role::Owner } else { Role::Member });
            let password = password.read()?;
            let done = format!("{email} is {} of {organization}", role.as_str());
            let new = NewUser { email, full_name: name, organization, found, role, password };
            Ok(done + &by_link(administration::create(app, new).await?))
        }
        Action::Reset { email, forget_authenticator, password } => {
            let link = administration::reset(app, &email, password.read()?, forget_authenticator).await?;
            Ok(format!("{email} is signed out everywhere, and the old password is good for nothing{}", by_link(link)))
        }
        Action::Promote { email, organization, role } => {
            administration::promote(app, &email, organization.as_deref(), role).await?;
            Ok(format!("{email} is {} from the next second on", role.as_str()))
        }
    }
}
