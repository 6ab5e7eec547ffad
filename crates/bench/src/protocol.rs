//! What the driver and its peers say to each other: one JSON object per line, an order down, a reply up.

use std::fmt;

use rrm_spec::Precision;
use serde::{Deserialize, Serialize};

/// From the driver to a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Make this ready; what was ready before is dropped. Answered by [`Reply::Ready`].
    SetUp(Setup),
    /// Do the work so many times. Answered by [`Reply::Milliseconds`].
    Steps(u32),
}

/// From a peer to the driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The first line of every peer.
    Hello(Hello),
    /// The work is ready to be repeated.
    Ready {},
    /// How long each step took.
    Milliseconds(Vec<f64>),
    /// Why the order was not carried out. The peer goes on.
    Failed(String),
}

/// What a peer is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Of the library.
    pub name: String,
    /// Of the library, as it says itself.
    pub version: String,
}

/// The work of a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Such as `resnet18/4`.
    pub arch: String,
    /// `train`, `attack`, `eval` or `rrm:TEACHER`, as in [`rrm_train::bench::Workload`].
    pub workload: String,
    /// Images per step.
    pub batch: u32,
    /// What is computed in.
    pub precision: Precision,
    /// How the library is asked to go about it.
    pub variant: Variant,
}

/// What PyTorch leaves to its user. A library that has no such choices ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Of the images and the weights.
    pub layout: Layout,
    /// Whether the network goes through `torch.compile`.
    pub compile: bool,
}

/// The order of a tensor's numbers in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// PyTorch's default.
    Nchw,
    /// Channels innermost.
    ChannelsLast,
}

impl Variant {
    /// What a user gets who chooses nothing.
    pub const PLAIN: Self = Self { layout: Layout::Nchw, compile: false };
    /// What PyTorch recommends for convolutions.
    pub const CHANNELS_LAST: Self = Self { layout: Layout::ChannelsLast, compile: false };
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.layout {
            Layout::Nchw => "NCHW",
            Layout::ChannelsLast => "channels_last",
        })?;
        if self.compile { f.write_str(", compiled") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_written_as_the_python_peer_reads_them() {
        let setup = Setup {
            arch: "resnet18/4".into(),
            workload: "train".into(),
            batch: 128,
            precision: Precision::Bf16,
            variant: Variant::CHANNELS_LAST,
        };
        let text = serde_json::to_string(&Order::SetUp(setup)).unwrap();
        let expected = r#"{"set_up":{"arch":"resnet18/4","workload":"train","batch":128,"precision":"bf16","variant":{"layout":"channels_last","compile":false}}}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::to_string(&Order::Steps(3)).unwrap(), r#"{"steps":3}"#);
    }

    #[test]
    fn replies_are_read_as_the_python_peer_writes_them() {
        let hello = Hello { name: "PyTorch".into(), version: "2.15.0+cu132".into() };
        let lines = [
            (r#"{"hello": {"name": "PyTorch", "version": "2.15.0+cu132"}}"#, Reply::Hello(hello)),
            (r#"{"ready": {}}"#, Reply::Ready {}),
            (r#"{"milliseconds": [2.5, 3.0]}"#, Reply::Milliseconds(vec![2.5, 3.0])),
            (r#"{"failed": "KeyError: 'vgg12'"}"#, Reply::Failed("KeyError: 'vgg12'".into())),
        ];
        for (line, reply) in lines {
            assert_eq!(serde_json::from_str::<Reply>(line).unwrap(), reply);
        }
    }
}
