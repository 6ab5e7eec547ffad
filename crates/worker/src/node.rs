//! What this machine says about itself.

use std::fs;

use rrm_spec::Device;

/// The machine's name.
pub(crate) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

/// The maker's name for a device; empty where the system does not tell.
pub(crate) fn device_name(device: Device) -> String {
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
}
