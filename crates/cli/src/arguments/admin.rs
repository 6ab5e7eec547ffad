//! What is said about tokens.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use rrm_spec::{Role, UserName};

use crate::time::parse_lifetime;

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Say who may call the daemon
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for somebody, and show it once
    Add(TokenAddArguments),
    /// List the tokens that were given out, without the tokens themselves
    #[command(after_help = "\
Examples:
  rrm admin token list
  rrm --json admin token list | jq '.tokens[] | select(.role == \"admin\")'")]
    List,
    /// Take tokens back: calls with them are refused from now on
    Revoke(TokenRevokeArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Roles: read sees everything, submit also submits, cancels and imports, admin also gives out tokens; work is for workers. \
The token is made here and only its hash is sent: the daemon cannot show it again.
Its holder saves it to a file of mode 0600 and names that with --token-file or RRM_TOKEN_FILE.

Examples:
  rrm admin token add --user ada --role submit --expires 90d --output token-ada
  rrm admin token add --user node7 --role work > token-node7
  rrm -q admin token add --user dashboard --role read")]
pub(crate) struct TokenAddArguments {
    /// Whose it is: 1 to 64 letters, digits and -_.@
    #[arg(long, value_name = "NAME")]
    pub(crate) user: UserName,

    /// What it is for: read, submit, admin or work
    #[arg(long, value_name = "ROLE", value_parser = parse_role)]
    pub(crate) role: Role,

    /// Valid for so long (seconds, or such as 12h, 90d, 1d 12h) [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
    pub(crate) expires: Option<Duration>,

    /// Write it to this new file, mode 0600, instead of showing it
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

fn parse_role(text: &str) -> Result<Role, String> {
    let names = Role::ALL.map(Role::name).join(", ");
    Role::from_name(text).ok_or_else(|| format!("`{text}` is no role: use one of {names}"))
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm admin token revoke 3f9a1c20b7d4
  rrm admin token revoke --user ada        all of ada's")]
pub(crate) struct TokenRevokeArguments {
    /// The tokens' ids, as `rrm admin token list` shows them
    #[arg(value_name = "ID", required_unless_present = "user")]
    pub(crate) tokens: Vec<String>,

    /// Every token of this user
    #[arg(long, value_name = "NAME", conflicts_with = "tokens")]
    pub(crate) user: Option<UserName>,
}
