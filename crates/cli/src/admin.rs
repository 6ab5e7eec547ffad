//! `rrm admin token`: who may call the daemon.

use rrm_api::Token;
use rrm_spec::{Grant, GrantView, TokenHash};
use serde_json::{Value, json};

use crate::{
    arguments::{AdminCommand, TokenAddArguments, TokenCommand, TokenRevokeArguments},
    columns::{Cell, Columns, Side},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output, Tone},
    time,
};

/// Fewer digits of a hash might be another token's tomorrow.
const SHORTEST_ID: usize = 8;

pub(crate) async fn run(command: &AdminCommand, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let AdminCommand::Token(command) = command;
    match command {
        TokenCommand::Add(arguments) => add(arguments, daemon, output).await,
        TokenCommand::List => list(daemon, output).await,
        TokenCommand::Revoke(arguments) => revoke(arguments, daemon, output).await,
    }
}

async fn add(arguments: &TokenAddArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let token = Token::fresh().map_err(|error| Failure::new(Exit::Failed, format!("make a token: {error}")))?;
    let lifetime = arguments.expires.map(|length| i64::try_from(length.as_micros()).unwrap_or(i64::MAX));
    let expires_at = lifetime.map(|length| time::now_us().saturating_add(length));
    let grant = Grant { sha256: token.sha256(), user: arguments.user.clone(), role: arguments.role, expires_at };
    // The file first: a token that is valid but was never saved would be nobody's.
    if let Some(path) = &arguments.output {
        token.save(path).map_err(|error| {
            Failure::new(Exit::Failed, error.to_string()).next("name a file that does not exist yet")
        })?;
    }
    let added = daemon.client.add_token(grant.clone()).await;
    if let (Err(_), Some(path)) = (&added, &arguments.output) {
        // It is worth nothing; where it cannot be removed, it harms nobody.
        let _ = std::fs::remove_file(path);
    }
    added.map_err(|error| Failure::from(error).context("add a token"))?;
    show_added(&token, &grant, arguments, output)?;
    Ok(Exit::Done)
}

fn show_added(token: &Token, grant: &Grant, arguments: &TokenAddArguments, output: Output) -> Result<(), Failure> {
    let shown = match &arguments.output {
        Some(_) => None,
        None => Some(token.reveal()),
    };
    match (output.format(), shown) {
        (Format::Json, shown) => {
            let mut document = described(grant, time::now_us());
            document["token"] = shown.into();
            document["file"] = arguments.output.as_ref().map(|path| path.display().to_string()).into();
            output.document(document)
        }
        (Format::Ids | Format::Human, Some(token)) => {
            output.note(&format!("{}'s token for {}; it is not shown again:", grant.user, grant.role));
            output.line(token)
        }
        (Format::Ids, None) => output.line(&grant.sha256.short()),
        (Format::Human, None) => output.line(&format!("{} may {}", grant.user, grant.role)),
    }
}

async fn list(daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let tokens = granted(daemon).await?;
    match output.format() {
        Format::Json => {
            let tokens: Vec<Value> = tokens.iter().map(|view| described(&view.grant, view.created_at)).collect();
            output.document(json!({ "tokens": tokens }))?;
        }
        Format::Ids => tokens.iter().try_for_each(|view| output.line(&view.grant.sha256.short()))?,
        Format::Human if tokens.is_empty() => {
            output.note("no token was given out beside the two in the daemon's state folder");
        }
        Format::Human => output.text(&table(&tokens, time::now_us(), output))?,
    }
    Ok(Exit::Done)
}

async fn granted(daemon: &Daemon) -> Result<Vec<GrantView>, Failure> {
    daemon.client.tokens().await.map_err(|error| Failure::from(error).context("list tokens"))
}

fn described(grant: &Grant, created_at: i64) -> Value {
    let Grant { sha256, user, role, expires_at } = grant;
    json!({"id": sha256.short(), "sha256": sha256, "user": user, "role": role, "created_at": created_at, "expires_at": expires_at})
}

fn table(tokens: &[GrantView], now_us: i64, output: Output) -> String {
    let mut columns = Columns::new([
        ("id", Side::Left),
        ("user", Side::Left),
        ("role", Side::Left),
        ("added", Side::Left),
        ("expires", Side::Left),
    ]);
    for GrantView { grant, created_at } in tokens {
        let expires = match grant.expires_at {
            None => Cell::toned("never", Tone::Faint),
            Some(end) if end <= now_us => Cell::toned("has expired", Tone::Bad),
            Some(end) => time::local(end).into(),
        };
        columns.push([
            grant.sha256.short().into(),
            grant.user.as_str().into(),
            grant.role.name().into(),
            time::local(*created_at).into(),
            expires,
        ]);
    }
    columns.render(output)
}

async fn revoke(arguments: &TokenRevokeArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let tokens = chosen(arguments, &granted(daemon).await?)?;
    for token in &tokens {
        let revoked = daemon.client.revoke_token(*token).await;
        revoked.map_err(|error| Failure::from(error).context(format!("revoke token {}", token.short())))?;
    }
    let ids: Vec<String> = tokens.iter().map(|token| token.short()).collect();
    match output.format() {
        Format::Json => output.document(json!({ "revoked": ids }))?,
        Format::Ids => ids.iter().try_for_each(|id| output.line(id))?,
        Format::Human => ids.iter().try_for_each(|id| output.line(&format!("{id}  revoked")))?,
    }
    Ok(Exit::Done)
}

/// Which tokens are meant. All are known before any is revoked.
fn chosen(arguments: &TokenRevokeArguments, granted: &[GrantView]) -> Result<Vec<TokenHash>, Failure> {
    let next = "`rrm admin token list` shows the ids and users";
    if let Some(user) = &arguments.user {
        let theirs: Vec<_> = granted.iter().filter(|view| view.grant.user == *user).map(|it| it.grant.sha256).collect();
        return match theirs.is_empty() {
            true => Err(Failure::new(Exit::NotFound, format!("{user} has no token")).next(next)),
            false => Ok(theirs),
        };
    }
    let find = |id: &String| {
        let long_enough = id.len() >= SHORTEST_ID;
        let found = granted.iter().find(|view| long_enough && view.grant.sha256.to_string().starts_with(id.as_str()));
        let unknown = || Failure::new(Exit::NotFound, format!("there is no token {id}")).next(next);
        found.map(|view| view.grant.sha256).ok_or_else(unknown)
    };
    arguments.tokens.iter().map(find).collect()
}
