//! From stored images to batches.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    thread,
};

use rrm_spec::Augmentation;

use crate::{
    Batch, DataError, ImageRng, Images, Picture, Rect, Shape, Stream,
    augment::{self, Draws, HeavyDraws, ImageNetDraws},
    images::Source,
    resize::resize,
    test_batches,
};

/// What a batch is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    /// Images as they are.
    Test,
    /// Images as epoch `epoch` changes them.
    Train { augmentation: Augmentation, seed: u64, epoch: u32 },
}

/// Makes a batch of the images `indices`, pictures on as many threads as there are processors.
///
/// # Errors
/// The first, in the batch's order, of the pictures that cannot be read.
pub(crate) fn prepare(images: &Images, indices: &[u32], for_what: Use) -> Result<Batch, DataError> {
    let threads = match images.source() {
        // One thread is faster than any training.
        Source::Memory(_) => 1,
        Source::Pictures(_) => thread::available_parallelism().map_or(1, NonZeroUsize::get),
    };
    prepare_on(threads, images, indices, for_what)
}

/// Decodes every picture on disk once, to find damage; what is in memory has been read already.
///
/// # Errors
/// The first, in the images' order, of the pictures that cannot be read.
pub(crate) fn decode_all(images: &Images) -> Result<(), DataError> {
    match images.source() {
        Source::Memory(_) => Ok(()),
        Source::Pictures(_) => test_batches(images, None, PICTURES).try_for_each(|batch| batch.map(drop)),
    }
}

/// Pictures that are checked together: enough for every thread to have some.
const PICTURES: usize = 64;

fn prepare_on(threads: usize, images: &Images, indices: &[u32], for_what: Use) -> Result<Batch, DataError> {
    let len = images.shape().image_len();
    let mut pixels = vec![0.0; indices.len() * len];
    let work = Mutex::new(indices.iter().zip(pixels.chunks_exact_mut(len)).enumerate());
    let fault = Mutex::new(None);
    let each = || {
        // Images are taken in their order, so that every one before a faulty one is looked at, whoever is faster.
        while let Some((position, (&index, out))) = next(&work).filter(|_| lock(&fault).is_none()) {
            if let Err(error) = image(images, index, for_what, out) {
                keep_first(&mut lock(&fault), position, error);
            }
        }
    };
    thread::scope(|scope| {
        (1..threads.min(indices.len())).for_each(|_| drop(scope.spawn(each)));
        each();
    });
    match fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => {
            let labels = indices.iter().map(|&index| images.label(index as usize)).collect();
            Ok(Batch { images: pixels, labels, indices: indices.to_vec(), shape: images.shape() })
        }
    }
}

fn next<I: Iterator>(work: &Mutex<I>) -> Option<I::Item> {
    lock(work).next()
}

/// What a panicking thread leaves behind is whole; the scope passes the panic on.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep_first(fault: &mut Option<(usize, DataError)>, position: usize, error: DataError) {
    if fault.as_ref().is_none_or(|(first, _)| position < *first) {
        *fault = Some((position, error));
    }
}

/// One image as numbers in [0, 1], or near there with lighting.
fn image(images: &Images, index: u32, for_what: Use, out: &mut [f32]) -> Result<(), DataError> {
    let Use::Train { augmentation, seed, epoch } = for_what else {
        numbers(&images.pixels(index as usize)?, out);
        return Ok(());
    };
    let mut rng = ImageRng::new(seed, Stream::Augmentation, &[u64::from(epoch), u64::from(index)]);
    let (shape, mut changed) = (images.shape(), vec![0; out.len()]);
    match augmentation {
        Augmentation::None => numbers(&images.pixels(index as usize)?, out),
        Augmentation::Light => {
            augment::light(&images.pixels(index as usize)?, shape, Draws::from_rng(&mut rng), &mut changed);
            numbers(&changed, out);
        }
        Augmentation::Heavy => {
            augment::heavy(&images.pixels(index as usize)?, shape, &HeavyDraws::from_rng(&mut rng), &mut changed);
            numbers(&changed, out);
        }
        Augmentation::ImageNet => imagenet(images, index as usize, &mut rng, out)?,
    }
    Ok(())
}

/// Cuts out of the whole picture; of a small image, out of that.
fn imagenet(images: &Images, i: usize, rng: &mut ImageRng, out: &mut [f32]) -> Result<(), DataError> {
    let shape = images.shape();
    let (pixels, draws) = match images.source() {
        Source::Memory(_) => {
            let draws = ImageNetDraws::from_rng(rng, shape.height, shape.width);
            (augment::finished(cut_out(&images.pixels(i)?, shape, draws.crop), shape, &draws), draws)
        }
        Source::Pictures(files) => {
            let picture = Picture::read(&files[i].path)?;
            let draws = ImageNetDraws::from_rng(rng, picture.height(), picture.width());
            (augment::imagenet(&picture, shape, &draws), draws)
        }
    };
    numbers(&pixels, out);
    if shape.channels == 3 {
        let light = augment::lighting(draws.lighting);
        for (plane, light) in out.chunks_exact_mut(shape.height * shape.width).zip(light) {
            plane.iter_mut().for_each(|value| *value += light);
        }
    }
    Ok(())
}

fn cut_out(pixels: &[u8], shape: Shape, crop: Rect) -> Vec<u8> {
    let (Shape { height, width, .. }, whole) = (shape, Rect::whole(shape.height, shape.width));
    let planes = pixels.chunks_exact(height * width);
    planes.flat_map(|plane| resize::<1>(plane, width, crop, (height, width), whole)).collect()
}

fn numbers(pixels: &[u8], out: &mut [f32]) {
    // One division in f32, as torchvision's ToTensor does it.
    out.iter_mut().zip(pixels).for_each(|(out, &value)| *out = f32::from(value) / 255.0);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use image::{Rgb, RgbImage};

    use super::*;
    use crate::images::PictureFile;

    const SHAPE: Shape = Shape { channels: 3, height: 28, width: 28 };

    /// Pictures of different sizes.
    fn pictures(folder: &tempfile::TempDir) -> Images {
        let mut rng = ImageRng::new(1, Stream::Validation, &[]);
        let files = (0..13u32).map(|i| {
            let path = folder.path().join(format!("{i}.png"));
            let mut draw = |_: u8| rng.below(256) as u8;
            RgbImage::from_fn(40 + i, 70 - 2 * i, |_, _| Rgb([0; 3].map(&mut draw))).save(&path).unwrap();
            PictureFile { path, bytes: 0 }
        });
        let files: Vec<PictureFile> = files.collect();
        let labels = (0..files.len() as u32).collect();
        Images::of_pictures(SHAPE, files, labels, (0..13).map(|class| class.to_string()).collect())
    }

    fn uses() -> [Use; 5] {
        let train = |augmentation| Use::Train { augmentation, seed: 5, epoch: 2 };
        let [none, light, heavy, imagenet] =
            [Augmentation::None, Augmentation::Light, Augmentation::Heavy, Augmentation::ImageNet].map(train);
        [Use::Test, none, light, heavy, imagenet]
    }

    #[test]
    fn batches_do_not_depend_on_threads() {
        let folder = tempfile::tempdir().unwrap();
        let images = pictures(&folder);
        let indices = [12, 0, 3, 3, 7, 1, 11];
        for for_what in uses() {
            let alone = prepare_on(1, &images, &indices, for_what).unwrap();
            for threads in [2, 5, 32] {
                assert_eq!(prepare_on(threads, &images, &indices, for_what).unwrap(), alone, "{for_what:?}");
            }
        }
    }

    #[test]
    fn augmentations_differ_and_are_keyed_by_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let images = pictures(&folder);
        let batches = uses().map(|for_what| prepare_on(1, &images, &[4, 4], for_what).unwrap().images);
        assert_eq!(batches[0], batches[1], "none is as for tests");
        for (i, batch) in batches.iter().enumerate() {
            assert_eq!(batch[..SHAPE.image_len()], batch[SHAPE.image_len()..], "{i}");
            assert!(batches[i + 1..].iter().skip(usize::from(i == 0)).all(|other| other != batch), "{i}");
        }
    }

    #[test]
    fn small_images_take_every_augmentation() {
        for channels in [1, 3] {
            let shape = Shape { channels, height: 8, width: 8 };
            let pixels = (0..2 * shape.image_len()).map(|i| (i * 37 % 256) as u8).collect();
            let images = Images::new(shape, pixels, vec![0, 0], vec!["one".to_owned()]);
            for for_what in uses() {
                let batch = prepare(&images, &[1, 0], for_what).unwrap();
                assert!(batch.images.iter().all(|value| (-0.2..=1.2).contains(value)), "{for_what:?}");
            }
        }
    }

    #[test]
    fn the_first_faulty_picture_is_told_whichever_thread_is_faster() {
        let folder = tempfile::tempdir().unwrap();
        let images = pictures(&folder);
        for i in [2, 9] {
            let path: PathBuf = folder.path().join(format!("{i}.png"));
            fs::write(path, "damaged").unwrap();
        }
        let indices: Vec<u32> = (0..13).rev().collect();
        for threads in [1, 2, 13] {
            let message = prepare_on(threads, &images, &indices, Use::Test).unwrap_err().to_string();
            assert!(message.contains("9.png"), "{message}");
        }
        assert!(decode_all(&images).unwrap_err().to_string().contains("2.png"));
        assert!(decode_all(&images.truncated(2)).is_ok());
    }
}
