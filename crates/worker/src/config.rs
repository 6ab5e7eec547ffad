//! What a serving worker is told: flags over environment over configuration file over defaults.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use rrm_api::{ClientIdentity, ClientTls, Endpoint};
use rrm_spec::{Device, Label, MAX_SHARE, Violation, Violations, label_faults};
use toml::{Table, Value};

use crate::places::Places;

const EXAMPLES: &str = "\
Examples:
  rrm-worker serve
      for the daemon of the same user on this machine, on the processor
  rrm-worker serve --server http://lab1:7600 --token-file token-worker --device cuda:0 --device cuda:1
      for a daemon elsewhere, two jobs at a time
  rrm-worker serve --device cuda:0 --label a100 --share 2
      also for jobs that ask for the label a100, and for two at a time that ask for half a device each
  rrm-worker serve --config /etc/rrm/worker.toml

SIGTERM or SIGINT: trainers stop at their next step and their jobs are queued again without blame; a second one kills
them. The configuration file knows server, token_file, devices, labels, share, work_dir, data_dir, threads, grace_s, node,
cache_gib, tls.authority, tls.domain, tls.client_certificate and tls.client_key; flags win.";

/// Flags of `serve`. All of them may stand in the configuration file too.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The daemon's address [default: what the file `address` in the daemon's folder says: $RRM_STATE_DIR, or ~/.local/state/rrm]
    #[arg(long, env = "RRM_SERVER", value_name = "URL")]
    server: Option<String>,
    /// File with the worker token [default: token-worker in the daemon's folder]
    #[arg(long, env = "RRM_WORKER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Device to run jobs on, one at a time on each: cpu or cuda:N; may be repeated [default: cpu]
    #[arg(long = "device", value_name = "DEVICE")]
    devices: Vec<String>,
    /// What jobs may ask for by name, such as a100; may be repeated
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// How many jobs may share a device, of those that ask for a part of one [default: 1]
    #[arg(long, value_name = "N")]
    share: Option<i64>,
    /// Folder for what is worked on; must not be shared [default: ~/.local/state/rrm-worker]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Folder with the datasets [default: ~/.local/share/rrm]
    #[arg(long, env = "RRM_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads of each trainer's CPU kernels [default: the processors, shared among the devices]
    #[arg(long, value_name = "N")]
    threads: Option<i64>,
    /// Seconds that a trainer gets to stop before it is killed [default: 30]
    #[arg(long, value_name = "SECONDS")]
    grace: Option<i64>,
    /// This machine's name in lists [default: the host name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Fetched checkpoints are kept up to this size, in GiB [default: 20]
    #[arg(long, value_name = "GIB")]
    cache: Option<i64>,
    /// PEM file with the certificate that the daemon's is signed by; needs an https address
    #[arg(long, value_name = "FILE")]
    tls_authority: Option<PathBuf>,
    /// Name in the daemon's certificate [default: the address's host]
    #[arg(long, value_name = "NAME")]
    tls_domain: Option<String>,
    /// PEM file with this worker's certificate, for daemons that ask for one
    #[arg(long, value_name = "FILE")]
    tls_client_certificate: Option<PathBuf>,
    /// PEM file with that certificate's private key
    #[arg(long, value_name = "FILE")]
    tls_client_key: Option<PathBuf>,
    /// TOML file with the same settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Everything that a serving worker needs to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) server: String,
    pub(crate) token_file: PathBuf,
    pub(crate) tls: Option<ClientTls>,
    pub(crate) devices: Vec<Device>,
    pub(crate) work_dir: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) threads: usize,
    pub(crate) grace: Duration,
    pub(crate) node: String,
    pub(crate) cache_bytes: u64,
    pub(crate) labels: Vec<Label>,
    pub(crate) share: u32,
}

/// What the machine is like.
pub(crate) struct Machine {
    pub(crate) places: Places,
    pub(crate) processors: usize,
    pub(crate) name: String,
}

impl Config {
    /// Reads the configuration file, if one is named, and lays the flags over it.
    ///
    /// # Errors
    /// Every fault, by field.
    pub(crate) fn read(args: ServeArgs, machine: &Machine) -> Result<Self, Violations> {
        let file = match &args.config {
            Some(path) => {
                let name = path.display().to_string();
                let text = fs::read_to_string(path)
                    .map_err(|e| Violations::one("config", &name, format!("must be a readable file: {e}")))?;
                text.parse::<Table>().map_err(|e| Violations::one("config", name, format!("must be TOML: {e}")))?
            }
            None => Table::new(),
        };
        let mut config = merge(args, file, machine)?;
        for (field, path) in [("work_dir", &mut config.work_dir), ("data_dir", &mut config.data_dir)] {
            // Trainers name their files by these.
            *path = std::path::absolute(&path)
                .map_err(|e| Violations::one(field, path.display().to_string(), format!("must be a path: {e}")))?;
        }
        Ok(config)
    }
}

fn merge(args: ServeArgs, mut file: Table, machine: &Machine) -> Result<Config, Violations> {
    let mut found = Vec::new();
    let flags = TlsFlags {
        authority: args.tls_authority,
        domain: args.tls_domain,
        client_certificate: args.tls_client_certificate,
        client_key: args.tls_client_key,
    };
    let tls = merge_tls(flags, &mut file, &mut found);
    let places = &machine.places;
    let mut from = File { table: &mut file, path: "", found: &mut found };
    let server = from.text("server", args.server).map_or_else(|| places.server(), Ok);
    let token_file = from.path("token_file", args.token_file).unwrap_or_else(|| places.token_file());
    let devices = from.texts("devices", args.devices);
    let labels = from.texts("labels", args.labels);
    let share = from.whole("share", args.share).unwrap_or(1);
    let work_dir = from.path("work_dir", args.work_dir).unwrap_or_else(|| places.work_dir());
    let data_dir = from.path("data_dir", args.data_dir).unwrap_or_else(|| places.data_dir());
    let threads = from.whole("threads", args.threads);
    let grace = from.whole("grace_s", args.grace).unwrap_or(30);
    let node = from.text("node", args.node).unwrap_or_else(|| machine.name.clone());
    let cache = from.whole("cache_gib", args.cache).unwrap_or(20);
    from.refuse_rest(
        "server, token_file, devices, labels, share, work_dir, data_dir, threads, grace_s, node, cache_gib or tls",
    );

    let devices = parse_devices(devices, &mut found);
    let labels = parse_labels(labels, &mut found);
    let share = within("share", share, 1..=MAX_SHARE.into(), &mut found).max(1) as u32; // At most a hundred.
    let server = server.map(|server| Endpoint::url_of(&server, tls.as_ref()));
    let server = check_server(server, tls.is_some(), &mut found);
    if node.is_empty() || node.len() > 200 {
        found.push(fault("node", &node, "must be a name of 1 to 200 bytes"));
    }
    let shared = machine.processors.div_ceil(devices.len().max(1) * share as usize) as i64;
    let threads = within("threads", threads.unwrap_or(shared), 1..=1024, &mut found) as usize;
    let grace = Duration::from_secs(within("grace_s", grace, 0..=3600, &mut found));
    let cache_bytes = within("cache_gib", cache, 0..=1_000_000, &mut found) << 30;
    Violations::check(found)?;
    Ok(Config {
        server,
        token_file,
        tls,
        devices,
        work_dir,
        data_dir,
        threads,
        grace,
        node,
        cache_bytes,
        labels,
        share,
    })
}

/// What the flags say of encryption.
struct TlsFlags {
    authority: Option<PathBuf>,
    domain: Option<String>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

fn merge_tls(flags: TlsFlags, file: &mut Table, found: &mut Vec<Violation>) -> Option<ClientTls> {
    let mut table = match file.remove("tls") {
        Some(Value::Table(table)) => table,
        Some(other) => {
            found.push(fault("tls", &other, "must be a table"));
            Table::new()
        }
        None => Table::new(),
    };
    let mut from = File { table: &mut table, path: "tls.", found };
    let authority = from.path("authority", flags.authority);
    let domain = from.text("domain", flags.domain);
    let certificate = from.path("client_certificate", flags.client_certificate);
    let key = from.path("client_key", flags.client_key);
    from.refuse_rest("authority, domain, client_certificate or client_key");
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key }),
        (Some(_), None) => {
            found.push(fault("tls.client_key", "", "must be given where tls.client_certificate is"));
            None
        }
        (None, Some(_)) => {
            found.push(fault("tls.client_certificate", "", "must be given where tls.client_key is"));
            None
        }
        (None, None) => None,
    };
    if authority.is_none() && (domain.is_some() || identity.is_some()) {
        found.push(fault("tls.authority", "", "must be given where other settings of tls are"));
    }
    authority.map(|authority| ClientTls { authority, domain, identity })
}

fn fault(field: &str, value: impl ToString, allowed: &str) -> Violation {
    Violation { field: field.to_owned(), value: value.to_string(), allowed: allowed.to_owned() }
}

/// `server` is an address, or the file that has none.
fn check_server(server: Result<String, PathBuf>, encrypted: bool, found: &mut Vec<Violation>) -> String {
    let allowed = match encrypted {
        true => "must be https://HOST:PORT, since tls.authority is given",
        false => "must be http://HOST:PORT, or https://HOST:PORT together with tls.authority",
    };
    let scheme = if encrypted { "https://" } else { "http://" };
    match server {
        Ok(url) if url.starts_with(scheme) && url.len() > scheme.len() => return url,
        Ok(url) => found.push(fault("server", url, allowed)),
        Err(file) => {
            let allowed = format!("must be given: no daemon of this user was found, {} is not there", file.display());
            found.push(fault("server", "", &allowed));
        }
    }
    String::new()
}

fn parse_devices(names: Vec<String>, found: &mut Vec<Violation>) -> Vec<Device> {
    let mut devices = Vec::new();
    for name in names {
        match name.parse::<Device>() {
            Ok(device) if devices.contains(&device) => found.push(fault("devices", name, "must be named once")),
            Ok(device) => devices.push(device),
            Err(why) => found.push(fault("devices", name, &why)),
        }
    }
    if devices.is_empty() {
        devices.push(Device::Cpu);
    }
    devices
}

fn parse_labels(names: Vec<String>, found: &mut Vec<Violation>) -> Vec<Label> {
    let mut labels = Vec::new();
    for name in names {
        match name.parse::<Label>() {
            Ok(label) => labels.push(label),
            Err(_) => found.push(fault("labels", name, "must be labels of 1 to 64 letters, digits and -_.")),
        }
    }
    found.extend(label_faults("labels", &labels));
    labels
}

fn within(field: &str, value: i64, range: std::ops::RangeInclusive<i64>, found: &mut Vec<Violation>) -> u64 {
    if !range.contains(&value) {
        found.push(fault(field, value, &format!("must be {} to {}", range.start(), range.end())));
    }
    // Only values outside of the range are changed, and with those nothing is done.
    u64::try_from(value).unwrap_or_default().min(1 << 24)
}

/// Takes settings out of a table, so that what is left is unknown. A flag wins, but a faulty setting below it is told
/// all the same.
struct File<'a> {
    table: &'a mut Table,
    path: &'a str,
    found: &'a mut Vec<Violation>,
}

impl File<'_> {
    fn take<T>(&mut self, field: &str, allowed: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.table.remove(field)?;
        let taken = read(&value);
        if taken.is_none() {
            self.found.push(fault(&format!("{}{field}", self.path), value, allowed));
        }
        taken
    }

    fn text(&mut self, field: &str, flag: Option<String>) -> Option<String> {
        let text = self.take(field, "must be a text", |value| value.as_str().map(str::to_owned));
        flag.or(text)
    }

    fn path(&mut self, field: &str, flag: Option<PathBuf>) -> Option<PathBuf> {
        let path = self.take(field, "must be a path", |value| value.as_str().map(PathBuf::from));
        flag.or(path)
    }

    fn whole(&mut self, field: &str, flag: Option<i64>) -> Option<i64> {
        let number = self.take(field, "must be a whole number", Value::as_integer);
        flag.or(number)
    }

    fn texts(&mut self, field: &str, flags: Vec<String>) -> Vec<String> {
        let read = |value: &Value| value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        let texts: Option<Vec<_>> = self.take(field, "must be a list of texts such as [\"cpu\"]", read);
        if flags.is_empty() { texts.unwrap_or_default() } else { flags }
    }

    fn refuse_rest(&mut self, known: &str) {
        for (field, value) in std::mem::take(self.table) {
            let allowed = format!("is not known here: expected {known}");
            self.found.push(fault(&format!("{}{field}", self.path), value, &allowed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let places = Places::below("/nowhere/state".into(), "/nowhere/data".into());
        Machine { places, processors: 8, name: "lab2".into() }
    }

    fn merged(args: ServeArgs, file: &str) -> Result<Config, Violations> {
        merge(args, file.parse().unwrap(), &machine())
    }

    #[test]
    fn a_server_is_all_that_must_be_said() {
        let config = merged(ServeArgs::default(), "server = 'http://lab1:7600'").unwrap();
        assert_eq!(config.devices, [Device::Cpu]);
        assert_eq!((config.threads, config.node.as_str()), (8, "lab2"));
        assert_eq!(config.work_dir, PathBuf::from("/nowhere/state/rrm-worker"));
        assert_eq!(config.grace, Duration::from_secs(30));
    }

    #[test]
    fn an_address_may_come_without_its_scheme() {
        let server = |file| merged(ServeArgs::default(), file).unwrap().server;
        assert_eq!(server("server = 'lab1:7600'"), "http://lab1:7600");
        assert_eq!(server("server = 'lab1:7600'\ntls = { authority = 'a.pem' }"), "https://lab1:7600");
    }

    #[test]
    fn what_the_daemon_wrote_down_is_its_address() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rrm")).unwrap();
        fs::write(folder.path().join("rrm/address"), "http://127.0.0.1:7600\n").unwrap();
        let machine = Machine { places: Places::below(folder.path().into(), "/nowhere/data".into()), ..machine() };
        let config = merge(ServeArgs::default(), Table::new(), &machine).unwrap();
        assert_eq!(config.server, "http://127.0.0.1:7600");
    }

    #[test]
    fn where_there_is_no_daemon_the_file_that_was_looked_for_is_named() {
        let faults = merged(ServeArgs::default(), "").unwrap_err().to_string();
        assert!(faults.contains("server: must be given") && faults.contains("/nowhere/state/rrm/address"), "{faults}");
    }

    #[test]
    fn flags_win_over_the_file() {
        let args = ServeArgs { devices: vec!["cuda:1".into()], threads: Some(3), ..Default::default() };
        let config = merged(args, "server = 'http://a:1'\ndevices = ['cpu']\nthreads = 5\ngrace_s = 7").unwrap();
        assert_eq!((config.devices, config.threads), (vec![Device::Cuda(1)], 3));
        assert_eq!(config.grace, Duration::from_secs(7));
    }

    #[test]
    fn processors_are_shared_among_the_devices() {
        let config = merged(ServeArgs::default(), "server = 'http://a:1'\ndevices = ['cuda:0', 'cuda:1', 'cuda:2']");
        assert_eq!(config.unwrap().threads, 3);
    }

    #[test]
    fn a_shared_device_shares_its_processors_and_a_worker_has_labels() {
        let config =
            merged(ServeArgs::default(), "server = 'http://a:1'\nshare = 4\nlabels = ['a100', 'nvlink']").unwrap();
        assert_eq!((config.share, config.threads), (4, 2));
        assert_eq!(config.labels.iter().map(Label::as_str).collect::<Vec<_>>(), ["a100", "nvlink"]);
        let faults =
            merged(ServeArgs::default(), "server = 'http://a:1'\nshare = 0\nlabels = ['a b', 'x', 'x']").unwrap_err();
        let text = faults.to_string();
        assert!(text.contains("share = 0: must be 1 to 100") && text.contains("labels = a b"), "{text}");
        assert!(text.contains("labels = x: must be named once"), "{text}");
    }

    #[test]
    fn every_fault_is_named_at_once_with_value_and_range() {
        let file = r#"
            server = "ftp://lab1"
            devices = ["gpu0", "cpu", "cpu"]
            threads = 0
            grace_s = "soon"
            cache_gib = -1
            thread = 4
            node = ""
            tls = { domain = "lab1", key = "x" }
        "#;
        let faults = merged(ServeArgs::default(), file).unwrap_err();
        let text = faults.to_string();
        for part in [
            "server = ftp://lab1: must be http",
            "devices = gpu0",
            "devices = cpu: must be named once",
            "threads = 0: must be 1 to 1024",
            "grace_s = \"soon\": must be a whole number",
            "cache_gib = -1: must be 0 to 1000000",
            "thread = 4: is not known here",
            "node: must be a name",
            "tls.key = \"x\": is not known here",
            "tls.authority: must be given",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert_eq!(faults.iter().count(), 10, "{text}");
    }

    #[test]
    fn relative_folders_are_those_of_the_start() {
        let args = ServeArgs {
            server: Some("http://a:1".into()),
            work_dir: Some("work".into()),
            data_dir: Some("/data".into()),
            ..Default::default()
        };
        let config = Config::read(args, &machine()).unwrap();
        assert_eq!(config.work_dir, std::env::current_dir().unwrap().join("work"));
        assert_eq!(config.data_dir, PathBuf::from("/data"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let args = ServeArgs { config: Some("/nowhere/worker.toml".into()), ..Default::default() };
        assert!(Config::read(args, &machine()).unwrap_err().to_string().contains("/nowhere/worker.toml"));
    }
}
