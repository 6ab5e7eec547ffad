//! What a training batch of 128 CIFAR-sized images costs: preparing it, and waiting for it where it is prefetched.
#![expect(clippy::print_stdout, reason = "a measurement is for the terminal")]

use std::{fs, sync::Arc, time::Instant};

use rrm_data::{DataError, Split, open, train_batches};
use rrm_spec::{Augmentation, Dataset, DatasetName};

const RECORDS: usize = 10_000;
const BATCH: usize = 128;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    write_cifar(&folder.path().join("cifar-10-batches-bin"))?;
    let start = Instant::now();
    let images = Arc::new(open_cifar(folder.path())?);
    println!("reading {} images: {:.0} ms", images.len(), start.elapsed().as_secs_f64() * 1e3);
    for augmentation in [Augmentation::None, Augmentation::Light] {
        let start = Instant::now();
        let batches = train_batches(&images, augmentation, BATCH, 1, 0).count();
        let each = start.elapsed().as_secs_f64() * 1e3 / batches as f64;
        println!("{augmentation:?}: {each:.3} ms per batch of {BATCH}, shuffling included");
    }
    Ok(())
}

fn open_cifar(data_dir: &std::path::Path) -> Result<rrm_data::Images, DataError> {
    open(&Dataset { name: DatasetName::Cifar10, train_images: None }, Split::Train, data_dir)
}

/// Five files of the official size with arbitrary pixels.
fn write_cifar(folder: &std::path::Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("batches.meta.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n")?;
    let records: Vec<u8> = (0..RECORDS * 3073).map(|i| if i % 3073 == 0 { 7 } else { (i * 31 % 256) as u8 }).collect();
    (1..=5).try_for_each(|i| fs::write(folder.join(format!("data_batch_{i}.bin")), &records))
}
