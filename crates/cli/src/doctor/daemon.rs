//! The daemon: whether it answers, and what it says.

use rrm_api::{About, ApiError, Caller, Role};
use rrm_spec::WorkerView;

use super::finding::{Finding, Findings};
use crate::{
    arguments::Global,
    daemon::{self, Daemon},
    time,
};

/// Clocks that differ by more make times of day confusing; leases do not depend on them.
const CLOCK_US: i64 = 2_000_000;

/// A token that ends sooner should be replaced.
const EXPIRES_SOON_US: i64 = 7 * 86_400_000_000;

/// The first SQLite without the corruption of write-ahead logs.
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

const GIB: u64 = 1 << 30;

pub(super) async fn look(daemon: &Daemon, global: &Global, findings: &mut Findings) {
    let asked_at = time::now_us();
    let about = match daemon.client.about().await {
        Ok(about) => about,
        Err(error) => return findings.add(refusal(error)),
    };
    let answered_at = time::now_us();
    findings.add(Finding::ok("daemon", format!("version {} answers, and this client is of the same", about.version)));
    findings.add(encryption(daemon.client.url(), global));
    findings.add(token(&about.caller, answered_at));
    findings.add(clock(about.now, asked_at, answered_at));
    findings.add(disk(&about));
    findings.add(sqlite(&about.sqlite_version));
    match about.caller.role {
        Role::Read | Role::Submit | Role::Admin => findings.add(match daemon.client.workers().await {
            Ok(listed) => workers(&listed),
            Err(error) => Finding::of_failure("workers", error),
        }),
        // It may not ask.
        Role::Work => {}
    }
}

fn refusal(error: ApiError) -> Finding {
    match &error {
        ApiError::Version { .. } => Finding::of_failure("version", error),
        ApiError::Unauthenticated => Finding::of_failure("token", error),
        // rustls's words for what the two sides want of each other.
        ApiError::Unavailable { what } if what.contains("CertificateRequired") => {
            let next = "the daemon asks for this client's certificate: give --client-cert and --client-key";
            Finding::problem("encryption", what.as_str(), next)
        }
        ApiError::Unavailable { what } if what.contains("invalid peer certificate") => {
            let next = "name the daemon's authority with --ca-file, and the name in its certificate with --tls-domain";
            Finding::problem("encryption", what.as_str(), next)
        }
        _ => Finding::of_failure("daemon", error),
    }
}

fn encryption(url: &str, global: &Global) -> Finding {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let is_here = ["127.", "localhost", "[::1]"].iter().any(|start| host.starts_with(start));
    match (daemon::tls(global), is_here) {
        (Some(tls), _) => {
            let client = if tls.identity.is_some() { ", and this client shows its own" } else { "" };
            Finding::ok(
                "encryption",
                format!("on; the daemon's certificate is signed by {}{client}", tls.authority.display()),
            )
        }
        (None, true) => Finding::ok("encryption", "off, on this machine alone"),
        (None, false) => {
            let next = "give rrmd --tls-certificate and --tls-key, and clients --ca-file";
            Finding::warning("encryption", format!("off: tokens travel to {host} in clear text"), next)
        }
    }
}

fn token(caller: &Caller, now: i64) -> Finding {
    let Caller { user, role, expires_at } = caller;
    let whose = format!("of {user}, role {role}");
    match *expires_at {
        Some(end) if end - now < EXPIRES_SOON_US => {
            let next = "have an administrator make another with `rrm admin token add`";
            Finding::warning(
                "token",
                format!("{whose}, valid for only {}", time::duration(time::between(now, end))),
                next,
            )
        }
        Some(end) => Finding::ok("token", format!("{whose}, valid until {}", time::local(end))),
        None => Finding::ok("token", whose),
    }
}

/// The answer was made at some moment between the question and its arrival.
fn clock(daemons: i64, asked_at: i64, answered_at: i64) -> Finding {
    let off = (asked_at - daemons).max(daemons - answered_at).max(0);
    match off > CLOCK_US {
        true => {
            let what = format!("the daemon's differs from this machine's by {}", time::duration(time::between(0, off)));
            Finding::warning("clock", what, "let both follow a time server (NTP)")
        }
        false => Finding::ok("clock", "the daemon's agrees with this machine's"),
    }
}

fn disk(about: &About) -> Finding {
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / GIB as f64);
    let what = format!("{} of {} are free to the daemon", gib(about.free_bytes), gib(about.total_bytes));
    let next = "make room on the disk of the daemon's state folder";
    match about.free_bytes {
        ..GIB => Finding::problem("disk", what, next),
        free if free < about.total_bytes / 20 => Finding::warning("disk", what, next),
        _ => Finding::ok("disk", what),
    }
}

fn sqlite(version: &str) -> Finding {
    let numbers: Option<Vec<u32>> = version.split('.').map(|number| number.parse().ok()).collect();
    match numbers.is_some_and(|numbers| numbers.as_slice() >= OLDEST_SQLITE.as_slice()) {
        true => Finding::ok("SQLite", format!("version {version}")),
        false => {
            let what = format!("version {version} can corrupt a database");
            Finding::problem("SQLite", what, "build rrmd with its own SQLite, 3.51.3 or later")
        }
    }
}

fn workers(listed: &[WorkerView]) -> Finding {
    let online: Vec<&WorkerView> = listed.iter().filter(|worker| worker.online).collect();
    if online.is_empty() {
        return Finding::warning("workers", "none is connected: jobs wait", "start one with `rrm-worker serve`");
    }
    let devices: usize = online.iter().map(|worker| worker.devices.len()).sum();
    let nodes: Vec<&str> = online.iter().map(|worker| worker.node.as_str()).collect();
    Finding::ok("workers", format!("{} connected with {devices} devices: {}", online.len(), nodes.join(", ")))
}

#[cfg(test)]
mod tests {
    use rrm_spec::UserName;

    use super::*;

    fn said(finding: &Finding) -> String {
        format!("{finding:?}")
    }

    #[test]
    fn what_is_wrong_with_certificates_is_told_apart_from_a_daemon_that_is_away() {
        let told = |what: &str| said(&refusal(ApiError::Unavailable { what: what.into() }));
        assert!(told("connection error: received fatal alert: CertificateRequired").contains("--client-cert"));
        assert!(told("invalid peer certificate: UnknownIssuer").contains("--ca-file"));
        assert!(told("connection refused").contains("check that rrmd runs"));
    }

    #[test]
    fn a_clock_within_the_time_of_asking_agrees() {
        assert!(said(&clock(1_500_000, 1_000_000, 2_000_000)).contains("Ok"));
        assert!(said(&clock(62_000_000, 1_000_000, 2_000_000)).contains("1 min 00 s"));
        assert!(said(&clock(1_000_000, 61_000_000, 62_000_000)).contains("1 min 00 s"));
    }

    #[test]
    fn a_token_that_ends_soon_is_a_warning() {
        let caller = |expires_at| Caller { user: UserName::lab(), role: Role::Read, expires_at };
        assert!(said(&token(&caller(Some(3_600_000_000)), 0)).contains("valid for only 1 h 00 min"));
        assert!(said(&token(&caller(Some(30 * 86_400_000_000)), 0)).contains("Ok"));
        assert!(said(&token(&caller(None), 0)).contains("of lab, role read"));
    }

    #[test]
    fn little_room_is_a_warning_and_hardly_any_a_problem() {
        let about = |free_bytes| About {
            version: String::new(),
            sqlite_version: String::new(),
            now: 0,
            free_bytes,
            total_bytes: 1000 * GIB,
            caller: Caller { user: UserName::lab(), role: Role::Read, expires_at: None },
        };
        assert!(said(&disk(&about(500 * GIB))).contains("Ok"));
        assert!(said(&disk(&about(49 * GIB))).contains("Warning"));
        assert!(said(&disk(&about(GIB - 1))).contains("Problem"));
    }

    #[test]
    fn an_sqlite_that_corrupts_is_a_problem() {
        for (version, severity) in
            [("3.51.3", "Ok"), ("3.100.0", "Ok"), ("4.0.0", "Ok"), ("3.51.2", "Problem"), ("x", "Problem")]
        {
            assert!(said(&sqlite(version)).contains(severity), "{version}");
        }
    }

    #[test]
    fn clear_text_is_fine_on_this_machine_alone() {
        use clap::Parser;
        let global = crate::arguments::Arguments::try_parse_from(["rrm", "list"]).unwrap().global;
        assert!(said(&encryption("http://127.0.0.1:7600", &global)).contains("Ok"));
        assert!(said(&encryption("http://lab.example:7600", &global)).contains("clear text"));
    }
}
