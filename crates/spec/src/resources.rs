//! What a job asks of the machine that runs it, beside the kind of device.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    ParseIdError, Violation,
    validate::{Checker, join},
};

/// What a job asks for. Without a word it is one whole device of any size, on any worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceRequest {
    /// How many devices of one worker, or which part of one.
    #[serde(default)]
    pub devices: DeviceShare,
    /// Memory that each of these devices has at least, in GiB; absent = any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<u32>,
    /// Labels that the worker has, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
}

/// Most labels of a job or a worker.
const MAX_LABELS: usize = 16;

/// Most memory that can be asked for, in GiB: beyond any device, so that a wrong unit is noticed.
const MAX_MEMORY_GIB: u32 = 10_000;

impl ResourceRequest {
    /// Whether it is what goes without saying.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Every fault, below `path`.
    pub(crate) fn collect(&self, path: &str, found: &mut Vec<Violation>) {
        let mut check = Checker::new(path, found);
        if let Some(memory) = self.memory_gib {
            let fits = (1..=MAX_MEMORY_GIB).contains(&memory);
            check.require(fits, "memory_gib", memory, format!("must be 1 to {MAX_MEMORY_GIB}"));
        }
        found.extend(label_faults(&join(path, "labels"), &self.labels));
    }
}

/// What is wrong with the labels of a job or a worker.
pub fn label_faults(field: &str, labels: &[Label]) -> Vec<Violation> {
    let fault = |value: String, allowed: String| Violation { field: field.to_owned(), value, allowed };
    let twice = |i: &usize| labels[..*i].contains(&labels[*i]);
    let mut found: Vec<_> = (0..labels.len())
        .filter(twice)
        .map(|i| fault(labels[i].to_string(), "must be named once".to_owned()))
        .collect();
    if labels.len() > MAX_LABELS {
        found.push(fault(labels.len().to_string(), format!("must be at most {MAX_LABELS} labels")));
    }
    found
}

/// A number of whole devices, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct DeviceShare {
    /// A whole number of devices is a multiple of 100.
    hundredths: u32,
}

/// Most devices of one job: more than any worker has.
const MAX_DEVICES: u32 = 64;

impl DeviceShare {
    /// So many whole devices; none where that is not 1 to 64.
    pub fn whole(devices: u32) -> Option<Self> {
        (1..=MAX_DEVICES).contains(&devices).then_some(Self { hundredths: devices * 100 })
    }

    /// On how many devices the job is.
    pub fn count(self) -> u32 {
        self.hundredths.div_ceil(100)
    }

    /// How many of the parts into which a device is divided it takes there: all of them where whole devices are asked for.
    pub fn parts_of(self, parts: u32) -> u32 {
        match self.hundredths {
            hundredths @ ..100 => (hundredths * parts).div_ceil(100).max(1),
            _ => parts,
        }
    }

    /// As a number of devices.
    pub fn as_f64(self) -> f64 {
        f64::from(self.hundredths) / 100.0
    }
}

impl Default for DeviceShare {
    fn default() -> Self {
        Self { hundredths: 100 }
    }
}

impl fmt::Display for DeviceShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}

impl TryFrom<f64> for DeviceShare {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        let hundredths = number * 100.0;
        let is_part = (0.01..1.0).contains(&number) && (hundredths - hundredths.round()).abs() < 1e-9;
        let is_whole = (1.0..=f64::from(MAX_DEVICES)).contains(&number) && number.fract() == 0.0;
        match is_part || is_whole {
            true => Ok(Self { hundredths: hundredths.round() as u32 }), // At most 6400.
            false => Err(format!(
                "must be a whole number of devices, 1 to {MAX_DEVICES}, or a part of one, 0.01 to 0.99 in hundredths"
            )),
        }
    }
}

impl From<DeviceShare> for f64 {
    fn from(share: DeviceShare) -> Self {
        share.as_f64()
    }
}

/// What a worker is called by, such as `a100`: 1 to 64 letters, digits and `-_.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseIdError::new(text, "a label of 1 to 64 letters, digits and -_.")),
        }
    }
}

impl TryFrom<String> for Label {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_whole_devices_or_hundredths_of_one() {
        for number in [1.0, 2.0, 64.0, 0.5, 0.01, 0.99, 0.33] {
            assert_eq!(DeviceShare::try_from(number).unwrap().as_f64(), number);
        }
        for number in [0.0, -1.0, 1.5, 65.0, 0.005, 0.333, f64::NAN, f64::INFINITY] {
            assert!(DeviceShare::try_from(number).is_err(), "{number}");
        }
    }

    #[test]
    fn a_part_takes_whole_parts_of_a_device_and_more_rather_than_less() {
        let parts = |number, of| DeviceShare::try_from(number).unwrap().parts_of(of);
        assert_eq!([parts(0.5, 1), parts(0.5, 2), parts(0.5, 3), parts(0.34, 3), parts(0.01, 8)], [1, 1, 2, 2, 1]);
        assert_eq!([parts(1.0, 1), parts(1.0, 4), parts(3.0, 4)], [1, 4, 4]);
    }

    #[test]
    fn numbers_read_from_toml_with_and_without_a_point() {
        let read = |text: &str| toml::from_str::<ResourceRequest>(text).map(|it| it.devices.to_string());
        assert_eq!(read("devices = 2").unwrap(), "2");
        assert_eq!(read("devices = 0.5").unwrap(), "0.5");
        assert!(read("devices = 0").unwrap_err().to_string().contains("must be a whole number"));
    }
}
