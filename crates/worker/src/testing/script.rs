//! A shell script in the trainer's place.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use rrm_api::Client;
use rrm_spec::{CheckpointRecord, CheckpointRole, Device, DeviceInfo, Event, Record};
use tempfile::TempDir;

use super::hash;
use crate::{cache::Cache, config::Config, workshop::Workshop};

/// The shell's words for telling an event.
pub(crate) fn tell(event: &Event) -> String {
    format!("echo '{}'\n", serde_json::to_string(event).unwrap())
}

/// The shell's words for writing a checkpoint to the work folder and telling it.
pub(crate) fn save(role: CheckpointRole, content: &str) -> String {
    let (sha256, bytes) = (hash(content.as_bytes()), content.len() as u64);
    let name = if role == CheckpointRole::Final { "final" } else { "resume" };
    let record = CheckpointRecord { epoch: 1, role, path: name.into(), sha256, bytes };
    let write = format!("printf '{content}' > \"$work/part\" && mv \"$work/part\" \"$work/{name}\"\n");
    write + &tell(&Event::Record(Record::Checkpoint(record)))
}

/// A worker's means, with a trainer that runs `script`. It knows its work folder as `$work` and its arguments as `$*`,
/// and has read its job as `$job`.
pub(crate) fn workshop(client: Client, script: &str) -> (TempDir, Arc<Workshop>) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("trainer");
    let head = "#!/bin/sh\nread -r job\nfor word; do [ \"$last\" = --work-dir ] && work=$word; last=$word; done\n";
    fs::write(&program, format!("{head}{script}")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let work_dir = folder.path().join("work");
    let config = Config {
        server: "http://unused".into(),
        token_file: PathBuf::new(),
        tls: None,
        devices: vec![Device::Cpu],
        work_dir: work_dir.clone(),
        data_dir: "/nowhere".into(),
        threads: 3,
        grace: Duration::from_secs(20),
        node: "here".into(),
        cache_bytes: 1000,
        labels: Vec::new(),
        share: 1,
    };
    let cache = Cache::open(work_dir.join("cache"), config.cache_bytes).unwrap();
    (folder, Arc::new(Workshop { config, devices: vec![info(Device::Cpu)], client, cache, program }))
}

fn info(device: Device) -> DeviceInfo {
    DeviceInfo { device, name: "a device".into(), memory_mib: None, share: 1 }
}

/// The same with these devices.
pub(crate) fn workshop_on(devices: &[Device], client: Client, script: &str) -> (TempDir, Arc<Workshop>) {
    let (folder, mut shop) = workshop(client, script);
    let new = Arc::get_mut(&mut shop).expect("it is new");
    new.config.devices = devices.to_vec();
    new.devices = devices.iter().copied().map(info).collect();
    (folder, shop)
}
