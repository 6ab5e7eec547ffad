use std::{
    panic,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rrm_spec::Augmentation;

use crate::{
    DataError, ImageRng, Images, Shape, Stream,
    prepare::{Use, prepare},
};

/// Batches that wait for the training step. One would do to overlap the two; a second takes up jitter. With the one in
/// preparation this bounds the memory.
const PREFETCHED: usize = 2;

/// Images for one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Pixels as (N, C, H, W) in [0, 1]: the nearest f32 to k/255.
    pub images: Vec<f32>,
    /// One label per image.
    pub labels: Vec<u32>,
    /// Each image's position in its split.
    pub indices: Vec<u32>,
    /// The size of each image.
    pub shape: Shape,
}

impl Batch {
    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// The order in which epoch `epoch` visits `count` images: Fisher and Yates's shuffle by the stream of (seed, epoch).
pub fn order(count: usize, seed: u64, epoch: u32) -> Vec<u32> {
    let mut rng = ImageRng::new(seed, Stream::Order, &[u64::from(epoch)]);
    let count = u32::try_from(count).expect("splits have fewer than 2^32 images");
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, rng.below(last as u64 + 1) as usize);
    }
    order
}

/// The training batches of one epoch: shuffled, augmented, and prepared ahead on threads of their own.
///
/// The sequence of images, and every pixel of them, depends on (seed, epoch) only; `batch_size` decides where it is
/// cut. The last batch holds what is left.
///
/// # Panics
/// Where `batch_size` is 0.
pub fn train_batches(
    images: &Arc<Images>,
    augmentation: Augmentation,
    batch_size: usize,
    seed: u64,
    epoch: u32,
) -> Batches {
    let order = order(images.len(), seed, epoch);
    Batches::new(images, order, batch_size, Use::Train { augmentation, seed, epoch })
}

/// The first `count` images in their order (all where `count` is `None`), unchanged, in batches, prepared ahead
/// likewise.
///
/// # Panics
/// Where `batch_size` is 0.
pub fn test_batches(images: &Images, count: Option<usize>, batch_size: usize) -> Batches {
    let count = count.unwrap_or(images.len()).min(images.len());
    let count = u32::try_from(count).expect("splits have fewer than 2^32 images");
    Batches::new(images, (0..count).collect(), batch_size, Use::Test)
}

/// Batches in their order, each an error where a picture cannot be read, after which there are no more. Dropping it
/// ends its threads.
#[derive(Debug)]
pub struct Batches {
    /// Absent only while being dropped.
    receiver: Option<Receiver<Result<Batch, DataError>>>,
    thread: Option<JoinHandle<()>>,
    remaining: usize,
}

impl Batches {
    fn new(images: &Images, order: Vec<u32>, batch_size: usize, for_what: Use) -> Self {
        assert!(batch_size > 0, "a batch has at least one image");
        let (sender, receiver) = sync_channel(PREFETCHED);
        let remaining = order.len().div_ceil(batch_size);
        let images = images.clone();
        let thread = thread::spawn(move || {
            for indices in order.chunks(batch_size) {
                let batch = prepare(&images, indices, for_what);
                let failed = batch.is_err();
                // Nobody receives where the epoch was abandoned.
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        Self { receiver: Some(receiver), thread: Some(thread), remaining }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.receiver.as_ref()?.recv().ok();
        match (&batch, self.thread.take()) {
            (Some(prepared), thread) => {
                self.thread = thread;
                self.remaining = if prepared.is_ok() { self.remaining - 1 } else { 0 };
            }
            // An epoch that ends early must not pass for a short one.
            (None, Some(thread)) => {
                if let Err(cause) = thread.join() {
                    panic::resume_unwind(cause);
                }
            }
            (None, None) => {}
        }
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        drop(self.receiver.take()); // The thread's next send fails, and it ends.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The natural images at these positions, in this order.
///
/// # Errors
/// The first of the pictures that cannot be read.
///
/// # Panics
/// When a position is none of the images'.
pub fn natural_batch(images: &Images, indices: &[u32]) -> Result<Batch, DataError> {
    prepare(images, indices, Use::Test)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gradient_images(count: usize) -> Arc<Images> {
        let shape = Shape { channels: 3, height: 6, width: 5 };
        let pixels = (0..count * shape.image_len()).map(|i| (i * 7 % 251) as u8).collect();
        let labels = (0..count as u32).map(|i| i % 3).collect();
        Arc::new(Images::new(shape, pixels, labels, ["a", "b", "c"].map(str::to_owned).to_vec()))
    }

    fn joined(batches: Batches) -> (Vec<f32>, Vec<u32>, Vec<u32>) {
        let (mut images, mut labels, mut indices) = (vec![], vec![], vec![]);
        for batch in batches.map(Result::unwrap) {
            images.extend(batch.images);
            labels.extend(batch.labels);
            indices.extend(batch.indices);
        }
        (images, labels, indices)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn training_images_depend_on_seed_and_epoch_only(seed: u64, epoch: u32, size in 1usize..40) {
            let images = gradient_images(23);
            for augmentation in [Augmentation::Light, Augmentation::Heavy] {
                let reference = joined(train_batches(&images, augmentation, 23, seed, epoch));
                let batches = train_batches(&images, augmentation, size, seed, epoch);
                prop_assert_eq!(batches.len(), 23usize.div_ceil(size));
                prop_assert_eq!(&joined(batches), &reference);
                let other = joined(train_batches(&images, augmentation, size, seed, epoch ^ 1));
                prop_assert_ne!(&other.2, &reference.2);
            }
        }

        #[test]
        fn every_epoch_visits_every_image_once(count in 0usize..200, seed: u64, epoch: u32) {
            let mut order = order(count, seed, epoch);
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..count as u32));
        }
    }

    #[test]
    fn orders_are_uniform_over_permutations() {
        let mut counts = std::collections::HashMap::<Vec<u32>, u32>::new();
        for epoch in 0..6_000 {
            *counts.entry(order(3, 1, epoch)).or_default() += 1;
        }
        // 1000 expected of each of the 6; four standard deviations are 115.
        assert!(counts.len() == 6 && counts.values().all(|count| count.abs_diff(1_000) < 115), "{counts:?}");
    }

    #[test]
    fn unaugmented_training_images_are_the_images() {
        let images = gradient_images(7);
        for batch in train_batches(&images, Augmentation::None, 2, 1, 1).map(Result::unwrap) {
            for (i, &index) in batch.indices.iter().enumerate() {
                let len = batch.shape.image_len();
                let expected: Vec<f32> =
                    images.pixels(index as usize).unwrap().iter().map(|&k| k as f32 / 255.0).collect();
                assert_eq!(&batch.images[i * len..(i + 1) * len], expected);
                assert_eq!(batch.labels[i], images.label(index as usize));
            }
        }
    }

    #[test]
    fn test_batches_are_in_order_and_stop_at_the_count() {
        let images = gradient_images(11);
        let sizes: Vec<usize> = test_batches(&images, Some(8), 3).map(|batch| batch.unwrap().len()).collect();
        assert_eq!(sizes, [3, 3, 2]);
        assert!(joined(test_batches(&images, Some(8), 3)).2.into_iter().eq(0..8));
        assert_eq!(joined(test_batches(&images, None, 4)).2.len(), 11);
        assert_eq!(joined(test_batches(&images, Some(99), 4)).2.len(), 11);
    }

    #[test]
    fn an_abandoned_epoch_ends_its_thread() {
        let images = gradient_images(50);
        let mut batches = train_batches(&images, Augmentation::Light, 1, 1, 1);
        batches.next();
        drop(batches);
        // The thread held the only other reference, and has been joined.
        assert_eq!(Arc::strong_count(&images), 1);
    }
}
