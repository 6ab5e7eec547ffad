//! What this machine says about itself.

use std::{fs, process::Stdio, time::Duration};

use rrm_spec::{Device, DeviceInfo};
use tokio::{process::Command, time::timeout};

/// The machine's name.
pub(crate) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

/// What the daemon is told of a device that so many jobs may share.
pub(crate) fn describe(device: Device, share: u32, gpus: &Gpus) -> DeviceInfo {
    let memory_mib = match device {
        Device::Cpu => fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_of(&text)),
        Device::Cuda(ordinal) => gpus.memory_mib(ordinal),
    };
    DeviceInfo { device, name: device_name(device), memory_mib, share }
}

/// All of the machine's memory, in MiB.
fn memory_of(meminfo: &str) -> Option<u64> {
    let kib: u64 = value_of(meminfo, "MemTotal")?.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024).filter(|mib| *mib > 0)
}

/// What the driver's own program tells of the GPUs' memory; nothing where it is not there.
pub(crate) struct Gpus {
    /// In MiB, in the order of the PCI bus.
    memory_mib: Vec<u64>,
    /// Whether CUDA numbers them in that order, too.
    is_in_order: bool,
}

impl Gpus {
    /// Asks where one of these devices is a GPU.
    pub(crate) async fn ask(devices: &[Device]) -> Self {
        if !devices.iter().any(|device| matches!(device, Device::Cuda(_))) {
            return Self { memory_mib: Vec::new(), is_in_order: false };
        }
        let mut asking = Command::new("nvidia-smi");
        asking
            .args(["--query-gpu=memory.total", "--format=csv,noheader,nounits"])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let text = match timeout(PATIENCE, asking.output()).await {
            Ok(Ok(output)) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
            Ok(Ok(_) | Err(_)) | Err(_) => {
                tracing::warn!("nvidia-smi does not tell the GPUs' memory: jobs that ask for some are not run here");
                String::new()
            }
        };
        let variable = |name| std::env::var(name).ok();
        let is_in_order = variable("CUDA_DEVICE_ORDER").as_deref() == Some("PCI_BUS_ID")
            && variable("CUDA_VISIBLE_DEVICES").is_none();
        Self { memory_mib: memories(&text), is_in_order }
    }

    /// What the GPU with that number has at least: unless CUDA numbers them as the driver does, that is what the smallest has.
    fn memory_mib(&self, ordinal: u32) -> Option<u64> {
        match self.is_in_order {
            true => self.memory_mib.get(ordinal as usize).copied(),
            false => self.memory_mib.iter().min().copied(),
        }
    }
}

/// The driver's program may hang with a sick GPU.
const PATIENCE: Duration = Duration::from_secs(20);

/// One number a line; none where a line is something else, since nobody would know whose the others are.
fn memories(text: &str) -> Vec<u64> {
    let numbers: Option<Vec<u64>> = text.lines().map(|line| line.trim().parse().ok().filter(|mib| *mib > 0)).collect();
    numbers.unwrap_or_default()
}

/// The maker's name for a device; empty where the system does not tell.
fn device_name(device: Device) -> String {
    match device {
        Device::Cpu => fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| value_of(&text, "model name")),
        Device::Cuda(_) => gpu_name(),
    }
    .unwrap_or_default()
}

/// The driver numbers its devices in another order than CUDA may, so only a name that all of them share is known.
fn gpu_name() -> Option<String> {
    let folders = fs::read_dir("/proc/driver/nvidia/gpus").ok()?;
    let texts = folders.flatten().filter_map(|folder| fs::read_to_string(folder.path().join("information")).ok());
    let mut names: Vec<_> = texts.filter_map(|text| value_of(&text, "Model")).collect();
    names.dedup();
    (names.len() == 1).then(|| names.remove(0))
}

/// The value in a line `key : value`.
fn value_of(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_key() {
        let text = "processor\t: 0\nmodel name\t: Fast 9000 @ 2:1\nflags : x";
        assert_eq!(value_of(text, "model name"), Some("Fast 9000 @ 2:1".to_owned()));
        assert_eq!(value_of(text, "Model"), None);
    }

    #[test]
    fn memory_is_read_in_mib() {
        assert_eq!(memory_of("MemTotal:       16384000 kB\nMemFree: 5 kB"), Some(16000));
        assert_eq!(memory_of("MemFree: 5 kB"), None);
        assert_eq!(memories("81559\n 24576\n"), [81559, 24576]);
        assert_eq!(memories("81559\n[N/A]\n"), [0; 0]);
    }

    #[test]
    fn of_gpus_that_cuda_may_number_otherwise_each_has_what_the_smallest_has() {
        let gpus = |is_in_order| Gpus { memory_mib: vec![81559, 24576], is_in_order };
        assert_eq!([0, 1, 2].map(|i| gpus(true).memory_mib(i)), [Some(81559), Some(24576), None]);
        assert_eq!([0, 1].map(|i| gpus(false).memory_mib(i)), [Some(24576); 2]);
        assert_eq!(Gpus { memory_mib: vec![], is_in_order: false }.memory_mib(0), None);
    }
}
