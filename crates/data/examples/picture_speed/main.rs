//! Pictures of an ImageNet folder, decoded and augmented per second, in turns with torchvision's data loader: `cargo
//! run --release -p rrm-data --example picture_speed -- FOLDER PYTHON`. PYTHON needs torchvision; without it only ours
//! is measured.
//!
//! Ours uses as many threads as there are processors, the loader as many worker processes.
#![expect(clippy::print_stdout, reason = "a measurement is for the terminal")]

use std::{
    env,
    error::Error,
    io::{BufRead, BufReader, Write},
    num::NonZeroUsize,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
    time::Instant,
};

use rrm_data::{Images, Split, open, train_batches};
use rrm_spec::{Augmentation, Dataset, DatasetName};
use tempfile::TempDir;

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/picture_speed/peer.py");
const ROUNDS: usize = 7;
const BATCH: usize = 64;
/// Pictures of one turn, about some seconds of them.
const PICTURES: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().ok_or("usage: picture_speed FOLDER [PYTHON]")?;
    let (_data, images) = open_folder(Path::new(&folder))?;
    let images = Arc::new(images);
    let epochs = PICTURES.div_ceil(images.len());
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    println!("{} pictures, {epochs} times in a turn, {threads} threads", images.len());
    let mut peer = arguments.next().map(|python| Peer::start(&python, &folder, epochs, threads)).transpose()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (own, other) = (turn(&images, epochs)?, peer.as_mut().map(Peer::turn).transpose()?);
        // The first turn warms caches up.
        if round > 0 {
            ours.push(own);
            theirs.extend(other);
        }
    }
    println!("ours: {}", told(&mut ours));
    if !theirs.is_empty() {
        println!("torchvision: {}", told(&mut theirs));
        println!("ratio of the medians: {:.2}", median(&ours) / median(&theirs));
    }
    Ok(())
}

/// The folder as a data directory has it, by a link that must outlive the images.
fn open_folder(folder: &Path) -> Result<(TempDir, Images), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    symlink(folder.canonicalize()?, data.path().join("imagenet"))?;
    let dataset = Dataset { name: DatasetName::RestrictedImageNet, train_images: None };
    let images = open(&dataset, Split::Train, data.path())?;
    Ok((data, images))
}

/// Images per second over some epochs.
fn turn(images: &Arc<Images>, epochs: usize) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let mut count = 0;
    for epoch in 0..epochs as u32 {
        for batch in train_batches(images, Augmentation::ImageNet, BATCH, 1, epoch) {
            count += batch?.len();
        }
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// The loader in a process of its own, which does a turn for each line.
struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &str, folder: &str, epochs: usize, workers: usize) -> Result<Self, Box<dyn Error>> {
        let numbers = [epochs, workers, BATCH].map(|number| number.to_string());
        let mut command = Command::new(python);
        command.args([PEER, folder]).args(numbers).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self { child, stdin, stdout })
    }

    fn turn(&mut self) -> Result<f64, Box<dyn Error>> {
        writeln!(self.stdin, "turn")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sorts the speeds.
fn told(speeds: &mut [f64]) -> String {
    speeds.sort_by(f64::total_cmp);
    let (lowest, highest) = (speeds[0], speeds[speeds.len() - 1]);
    format!("{:.0} pictures/s ({lowest:.0} to {highest:.0})", median(speeds))
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}
