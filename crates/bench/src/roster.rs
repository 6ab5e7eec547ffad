//! Who can be started on this machine.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use crate::{arguments::Library, peer::Peer, plan::Rival};

/// Starts peers, each in a process of its own.
pub struct Roster {
    program: PathBuf,
    python: Option<PathBuf>,
    threads: u32,
}

impl Roster {
    /// Ours and Candle are this very program; PyTorch is there where a `python` that has it is.
    ///
    /// # Errors
    /// When the system does not tell where this program is.
    pub fn new(python: Option<&Path>, threads: u32) -> anyhow::Result<Self> {
        Ok(Self { program: env::current_exe()?, python: python.map(Path::to_owned), threads })
    }

    /// Threads of each peer, unless another number is asked for.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// Whether a library can be started here.
    pub fn has(&self, rival: Rival) -> bool {
        match rival {
            Rival::PyTorch => self.python.is_some(),
            Rival::Candle => true,
        }
    }

    /// This project.
    ///
    /// # Errors
    /// When it does not start.
    pub fn ours(&self) -> anyhow::Result<Peer> {
        self.ours_with(self.threads)
    }

    /// This project with another number of threads.
    ///
    /// # Errors
    /// When it does not start.
    pub fn ours_with(&self, threads: u32) -> anyhow::Result<Peer> {
        self.linked(Library::Ours, threads)
    }

    /// Another library.
    ///
    /// # Errors
    /// When it does not start; PyTorch where there is none.
    pub fn rival(&self, rival: Rival) -> anyhow::Result<Peer> {
        match rival {
            Rival::PyTorch => self.pytorch(),
            Rival::Candle => self.linked(Library::Candle, self.threads),
        }
    }

    fn linked(&self, library: Library, threads: u32) -> anyhow::Result<Peer> {
        let mut command = Command::new(&self.program);
        command.args(["--serve", &library.to_string(), "--threads", &threads.to_string()]);
        // Candle's elementwise operations go by their own pool, its products by rayon's.
        command.env("CANDLE_NUM_THREADS", threads.to_string()).env("RAYON_NUM_THREADS", threads.to_string());
        Peer::start(command)
    }

    fn pytorch(&self) -> anyhow::Result<Peer> {
        let mut command = Command::new(self.python.as_ref().context("no Python with PyTorch here")?);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/pytorch.py"));
        command.args(["--threads", &self.threads.to_string()]);
        Peer::start(command)
    }
}
