//! What the daemon is told at its start: flags over a file over defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rrm_api::ServerTls;
use rrm_dashboard::Audience;
use rrm_store::OpenJobs;
use serde::Deserialize;

use crate::Terms;
use crate::daemon::DEFAULT_OPEN_JOBS;

/// Loopback: who wants others to reach the daemon says so, and thinks of TLS.
const DEFAULT_LISTEN: &str = "127.0.0.1:7600";
const DEFAULT_TTL_MS: u64 = 30_000;
const DEFAULT_BACKOFF_MS: u64 = 10_000;
const DEFAULT_KEEP_DAYS: u64 = 30;
const OPEN_JOBS: std::ops::RangeInclusive<u64> = 1..=1_000_000_000;

/// Everything that the daemon needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it keeps everything.
    pub state_dir: PathBuf,
    /// Where it listens; port 0 = a free one.
    pub listen: SocketAddr,
    /// Where the pages are, and for whom; absent = nowhere.
    pub http: Option<Http>,
    /// How long a worker may be silent.
    pub terms: Terms,
    /// Pause before a job's first new try after an error of the machine.
    pub retry_backoff: Duration,
    /// For how long logs, and checkpoints of jobs that did not succeed, are kept after their job's end.
    pub keep: Duration,
    /// How many jobs may be open.
    pub open_jobs: OpenJobs,
    /// Encryption.
    pub tls: Option<ServerTls>,
}

/// Where the pages and `/metrics` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// Port 0 = a free one.
    pub listen: SocketAddr,
    /// Whom they answer.
    pub audience: Audience,
}

/// Flags of `rrmd serve`. They win over the environment, which wins over the file, which wins over the defaults.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeFlags {
    /// Folder of database, artifacts, logs and tokens [default: $XDG_STATE_HOME/rrm or ~/.local/state/rrm]
    #[arg(long, env = "RRM_STATE_DIR", value_name = "DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one, see the file `address` [default: 127.0.0.1:7600]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address and port of the pages and of /metrics, such as 127.0.0.1:7601; whoever reaches them can read all results and logs, other
    /// users of this machine included. Empty = no pages [default: empty]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<String>,
    /// Lets the pages listen beyond this machine: there is no token and no encryption, so put a proxy with both before them
    #[arg(long)]
    pub http_open: bool,
    /// Configuration file in TOML, with the same names as the flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A worker silent for so long is taken for lost [default: 30000]
    #[arg(long, value_name = "MS")]
    pub lease_ttl_ms: Option<u64>,
    /// Pause before a job is tried again after an error of the machine; doubles every time [default: 10000]
    #[arg(long, value_name = "MS")]
    pub retry_backoff_ms: Option<u64>,
    /// Logs, and checkpoints of jobs that did not succeed, are deleted so long after the job's end [default: 30]
    #[arg(long, value_name = "DAYS")]
    pub keep_days: Option<u64>,
    /// A plan with which more jobs would be open is refused [default: 1000000]
    #[arg(long, value_name = "JOBS")]
    pub max_open_jobs: Option<u64>,
    /// The same for the jobs of one user [default: 100000]
    #[arg(long, value_name = "JOBS")]
    pub max_open_jobs_per_user: Option<u64>,
    /// PEM file with the daemon's certificate; turns encryption on
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// PEM file with the authorities that sign clients' certificates; who has none is not let in, whatever token is shown
    #[arg(long, value_name = "FILE")]
    pub tls_client_authority: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    state_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    http: Option<String>,
    #[serde(default)]
    http_open: bool,
    lease_ttl_ms: Option<u64>,
    retry_backoff_ms: Option<u64>,
    keep_days: Option<u64>,
    max_open_jobs: Option<u64>,
    max_open_jobs_per_user: Option<u64>,
    tls: Option<TlsFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    certificate: PathBuf,
    key: PathBuf,
    client_authority: Option<PathBuf>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, or says something unknown.
    #[error("configuration file {}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A value is out of range.
    #[error("{field} = {value}: must be {allowed}")]
    Range {
        /// The flag, with underscores.
        field: &'static str,
        /// What was given.
        value: u64,
        /// What would be right.
        allowed: &'static str,
    },
    /// The address of the pages is none.
    #[error("http = {value:?}: must be an address and a port, such as 127.0.0.1:7601, or empty for no pages")]
    NoAddress {
        /// What was given.
        value: String,
    },
    /// The pages would be open to others without anybody having said so.
    #[error(
        "http = {listen}: must be an address of this machine alone, such as 127.0.0.1:{}, since the pages ask for no token; to have \
         others read all results and logs, say so with --http-open (http_open = true)",
        listen.port()
    )]
    Open {
        /// What was given.
        listen: SocketAddr,
    },
    /// Clients' certificates are to be checked, but nothing is encrypted.
    #[error("--tls-client-authority needs --tls-certificate and --tls-key, or [tls] in the configuration file")]
    NoTls,
    /// Neither `--state-dir` nor a home directory.
    #[error("no state directory: give --state-dir, or set RRM_STATE_DIR, XDG_STATE_HOME or HOME")]
    NoStateDir,
}

impl Config {
    /// Puts flags, file and defaults together.
    ///
    /// # Errors
    /// [`ConfigError`] for whatever cannot be used; nothing has been touched then.
    pub fn resolve(flags: ServeFlags) -> Result<Self, ConfigError> {
        let file = match &flags.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        let ttl_ms = flags.lease_ttl_ms.or(file.lease_ttl_ms).unwrap_or(DEFAULT_TTL_MS);
        let backoff_ms = flags.retry_backoff_ms.or(file.retry_backoff_ms).unwrap_or(DEFAULT_BACKOFF_MS);
        let keep_days = flags.keep_days.or(file.keep_days).unwrap_or(DEFAULT_KEEP_DAYS);
        in_range("lease_ttl_ms", ttl_ms, 100..=3_600_000, "100 to 3600000 (an hour)")?;
        in_range("retry_backoff_ms", backoff_ms, 0..=600_000, "0 to 600000 (ten minutes)")?;
        in_range("keep_days", keep_days, 0..=36_500, "0 to 36500 (a hundred years)")?;
        let http = flags.http.or(file.http).unwrap_or_default();
        let http = http_at(http.trim(), flags.http_open || file.http_open)?;
        let most = flags.max_open_jobs.or(file.max_open_jobs).unwrap_or(DEFAULT_OPEN_JOBS.most);
        let of_user = flags.max_open_jobs_per_user.or(file.max_open_jobs_per_user);
        let most_per_user = of_user.unwrap_or(DEFAULT_OPEN_JOBS.most_per_user);
        in_range("max_open_jobs", most, OPEN_JOBS, "1 to 1000000000")?;
        in_range("max_open_jobs_per_user", most_per_user, OPEN_JOBS, "1 to 1000000000")?;
        let default_listen = || DEFAULT_LISTEN.parse().expect("the default is an address");
        Ok(Self {
            state_dir: flags.state_dir.or(file.state_dir).or_else(default_state_dir).ok_or(ConfigError::NoStateDir)?,
            listen: flags.listen.or(file.listen).unwrap_or_else(default_listen),
            http,
            terms: Terms::new(Duration::from_millis(ttl_ms)),
            retry_backoff: Duration::from_millis(backoff_ms),
            keep: Duration::from_secs(keep_days * 24 * 3600),
            open_jobs: OpenJobs { most, most_per_user },
            tls: tls(flags.tls_certificate, flags.tls_key, flags.tls_client_authority, file.tls)?,
        })
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source| ConfigError::Malformed { path: path.to_owned(), source })
    }
}

fn in_range(
    field: &'static str,
    value: u64,
    range: std::ops::RangeInclusive<u64>,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    if range.contains(&value) { Ok(()) } else { Err(ConfigError::Range { field, value, allowed }) }
}

fn http_at(address: &str, is_open: bool) -> Result<Option<Http>, ConfigError> {
    if address.is_empty() {
        return Ok(None);
    }
    let listen: SocketAddr = address.parse().map_err(|_| ConfigError::NoAddress { value: address.to_owned() })?;
    match (is_open, listen.ip().is_loopback()) {
        (true, _) => Ok(Some(Http { listen, audience: Audience::Everyone })),
        (false, true) => Ok(Some(Http { listen, audience: Audience::ThisMachine })),
        (false, false) => Err(ConfigError::Open { listen }),
    }
}

fn tls(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_authority: Option<PathBuf>,
    file: Option<TlsFile>,
) -> Result<Option<ServerTls>, ConfigError> {
    let files = match (certificate, key, file) {
        (Some(certificate), Some(key), file) => Some((certificate, key, file.and_then(|file| file.client_authority))),
        (_, _, Some(TlsFile { certificate, key, client_authority })) => Some((certificate, key, client_authority)),
        (_, _, None) => None,
    };
    match files {
        Some((certificate, key, from_file)) => {
            Ok(Some(ServerTls { certificate, key, client_authority: client_authority.or(from_file) }))
        }
        None if client_authority.is_some() => Err(ConfigError::NoTls),
        None => Ok(None),
    }
}

/// The folder that was named, or where a daemon of this user keeps its state; `None` where neither is known.
pub fn state_dir_or_default(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(default_state_dir)
}

/// XDG Base Directory Specification; a relative path there is to be ignored.
fn default_state_dir() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state"))).map(|state| state.join("rrm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(config: Option<PathBuf>) -> ServeFlags {
        ServeFlags { state_dir: Some("/var/lib/rrm".into()), config, ..ServeFlags::default() }
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rrmd.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn without_flags_and_file_it_is_reachable_from_this_machine_alone() {
        let config = Config::resolve(flags(None)).unwrap();
        assert!(config.listen.ip().is_loopback() && config.tls.is_none());
        assert_eq!(config.terms, Terms::new(Duration::from_secs(30)));
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let text = "listen = \"10.0.0.1:1\"\nlease_ttl_ms = 500\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\nclient_authority = \"ca.pem\"\n";
        let (_folder, path) = file(text);
        let given = ServeFlags { lease_ttl_ms: Some(700), ..flags(Some(path)) };
        let config = Config::resolve(given).unwrap();
        assert_eq!(config.listen, "10.0.0.1:1".parse().unwrap());
        assert_eq!(config.terms, Terms::new(Duration::from_millis(700)));
        assert_eq!(
            config.tls,
            Some(ServerTls {
                certificate: "c.pem".into(),
                key: "k.pem".into(),
                client_authority: Some("ca.pem".into())
            })
        );
    }

    #[test]
    fn pages_are_off_unless_asked_for_and_open_to_others_only_when_that_is_said() {
        let http = |address: &str, http_open| {
            Config::resolve(ServeFlags { http: Some(address.into()), http_open, ..flags(None) })
                .map(|config| config.http)
        };
        assert_eq!(Config::resolve(flags(None)).unwrap().http, None);
        assert_eq!(http("", false).unwrap(), None);
        assert_eq!(http("127.0.0.1:7601", false).unwrap().unwrap().audience, Audience::ThisMachine);
        let refused = http("0.0.0.0:7601", false).unwrap_err().to_string();
        assert!(refused.contains("0.0.0.0:7601") && refused.contains("--http-open"), "{refused}");
        assert_eq!(http("0.0.0.0:7601", true).unwrap().unwrap().audience, Audience::Everyone);
        assert!(http("7601", false).unwrap_err().to_string().contains("\"7601\""));
        let (_folder, path) = file("http = \"[::1]:7601\"\n");
        assert!(Config::resolve(flags(Some(path.clone()))).unwrap().http.is_some());
        let off = ServeFlags { http: Some(String::new()), ..flags(Some(path)) };
        assert_eq!(Config::resolve(off).unwrap().http, None, "an empty flag turns off what the file turned on");
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        let (_folder, path) = file("lease_ttl = 500\n");
        assert!(matches!(Config::resolve(flags(Some(path))), Err(ConfigError::Malformed { .. })));
        let given = ServeFlags { tls_client_authority: Some("ca.pem".into()), ..flags(None) };
        assert!(matches!(Config::resolve(given), Err(ConfigError::NoTls)));
        let given = ServeFlags { max_open_jobs: Some(0), ..flags(None) };
        assert!(Config::resolve(given).unwrap_err().to_string().contains("max_open_jobs = 0"));
        let given = ServeFlags { lease_ttl_ms: Some(0), ..flags(None) };
        assert!(Config::resolve(given).unwrap_err().to_string().contains("lease_ttl_ms = 0"));
        assert!(matches!(Config::resolve(flags(Some("/no/such/file".into()))), Err(ConfigError::Unreadable { .. })));
    }
}
