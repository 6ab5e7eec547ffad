//! A synthesize job: a set of robust images, part by part.

use std::{collections::HashMap, fs, num::NonZeroU32, ops::Range, path::Path, sync::Arc};

use candle_core::{DType, Tensor};
use rrm_data::{ImageRng, Images, Split, Stream, read_set, set_bytes};
use rrm_models::{Model, Network};
use rrm_spec::{Accuracy, ArtifactHash, CheckpointRecord, CheckpointRole, EpochRecord, Mode, Record, SynthesizeSpec};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::{
    Environment, TrainError,
    checkpoint::ResumeFault,
    device::Stopwatch,
    error::Halt,
    files::{self, Published, artifact_hash, create_folder, failed, publish},
    monitor::Monitor,
    run::started,
    source::Source,
    step::accuracy,
    synthesis::Descent,
    work,
};

const METADATA_KEY: &str = "rrm.synthesis";
const FORMAT: u32 = 1;
const PIXELS: &str = "pixels";

/// What the images depend on. Two syntheses of equal identity make the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    spec_sha256: ArtifactHash,
    model_sha256: ArtifactHash,
    images_sha256: ArtifactHash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    /// Complete parts.
    part: u32,
    identity: Identity,
}

/// Makes the set part by part; each is told as an epoch, whose loss is the mean distance of its images and whose accuracy is that
/// of the network on them.
pub(crate) fn synthesize(
    spec: &SynthesizeSpec,
    environment: &Environment,
    monitor: &mut Monitor<'_>,
) -> Result<(), Halt> {
    create_folder(&environment.work_dir)?;
    let images = rrm_data::open(&spec.dataset, Split::Train, &environment.data_dir).map_err(TrainError::from)?;
    let source = Source::load(&spec.model, environment)?;
    source.must_take(&images, "network")?;
    source.must_classify(&images, "network")?;
    let json = serde_json::to_vec(spec).expect("a spec has text keys only");
    let images_sha256 = artifact_hash(&images.sha256());
    let identity = Identity { spec_sha256: files::sha256_of(&json), model_sha256: source.sha256, images_sha256 };
    let mut synthesis = Synthesis { spec, images: &images, network: source.network.frozen(), pixels: Vec::new() };
    let done = match &environment.resume {
        Some(path) => synthesis.resume(path, &identity)?,
        None => 0,
    };
    let image_work = work::synthesis(spec);
    monitor.expect(synthesis.done() as u64 * image_work, images.len() as u64 * image_work);
    monitor.start(started(&source.network, done + 1, &identity.images_sha256));
    let parts = spec.parts.get();
    for part in done + 1..=parts {
        monitor.begin(format!("part {part}/{parts}"));
        let made = synthesis.make(part, monitor)?;
        monitor.record(Record::Epoch(made));
        let path = environment.work_dir.join("resume.safetensors");
        monitor.record(Record::Checkpoint(synthesis.save(&path, part, &identity)?));
    }
    let path = environment.work_dir.join("images.safetensors");
    let bytes = set_bytes(&images.with_pixels(synthesis.pixels)).map_err(TrainError::from)?;
    let published = publish(&path, |temporary| fs::write(temporary, bytes).map_err(failed("write", temporary)))?;
    monitor.record(Record::Checkpoint(record(&path, parts, CheckpointRole::Final, published)));
    Ok(())
}

/// The images of a part, as even as they can be.
fn part_of(images: usize, part: u32, parts: u32) -> Range<usize> {
    let bound = |part: u32| images * part as usize / parts as usize;
    bound(part - 1)..bound(part)
}

struct Synthesis<'a> {
    spec: &'a SynthesizeSpec,
    images: &'a Images,
    network: Network,
    /// Those of the images that are made.
    pixels: Vec<u8>,
}

impl Synthesis<'_> {
    fn done(&self) -> usize {
        self.pixels.len() / self.images.shape().image_len()
    }

    fn make(&mut self, part: u32, monitor: &mut Monitor<'_>) -> Result<EpochRecord, Halt> {
        let range = part_of(self.images.len(), part, self.spec.parts.get());
        let (mut loss_sum, mut on_them) = (0.0, Accuracy { correct: 0, total: 0 });
        let device = self.network.device().clone();
        let stopwatch = Stopwatch::start(&device)?;
        let batch_size = self.spec.batch_size.get() as usize;
        for first in range.clone().step_by(batch_size) {
            monitor.proceed()?;
            let batch = first..range.end.min(first + batch_size);
            let count = batch.len() as u64;
            let (distances, accuracy) = self.batch(batch, monitor)?;
            loss_sum += distances.iter().sum::<f64>();
            on_them.correct += accuracy.correct;
            on_them.total += accuracy.total;
            monitor.advance(count, count * work::synthesis(self.spec));
        }
        let nothing = Accuracy { correct: 0, total: 0 };
        Ok(EpochRecord {
            epoch: part,
            train_us: stopwatch.elapsed_us()?,
            validation_us: 0,
            images: on_them.total,
            learning_rate: self.spec.step_size.value(),
            loss: loss_sum / on_them.total.max(1) as f64,
            train: on_them,
            natural: nothing,
            robust: None,
        })
    }

    /// Makes the images of a batch; their distances, and the network's accuracy on them as they are kept.
    fn batch(&mut self, range: Range<usize>, monitor: &Monitor<'_>) -> Result<(Vec<f64>, Accuracy), TrainError> {
        let natural = self.tensor(range.clone())?;
        let targets = self.network.forward(&natural, Mode::Eval)?.representation.detach();
        let start = self.tensor(range.clone().map(|image| self.start(image)))?;
        let descent = Descent { steps: self.spec.steps.get(), step_size: self.spec.step_size.value() };
        let network = monitor.interruptible(&self.network);
        let descended = descent.run(&network, &targets, &start, &mut |_| {})?;
        let pixels = quantized(&descended.images)?;
        let kept = self.to_tensor(&pixels, range.len())?;
        let classes: Vec<u32> = range.map(|image| self.images.label(image)).collect();
        let accuracy = accuracy(&self.network.forward(&kept, Mode::Eval)?.logits, &classes)?;
        self.pixels.extend(pixels);
        Ok((descended.distances, accuracy))
    }

    /// The image that a descent begins at: any, with replacement.
    fn start(&self, image: usize) -> usize {
        let mut rng = ImageRng::new(self.spec.seed, Stream::Synthesis, &[image as u64]);
        rng.below(self.images.len() as u64) as usize
    }

    fn tensor(&self, images: impl Iterator<Item = usize>) -> Result<Tensor, TrainError> {
        let pixels = images.map(|image| self.images.pixels(image)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.to_tensor(&pixels.concat(), pixels.len())?)
    }

    /// As the batches of a training are made: one division in f32.
    fn to_tensor(&self, pixels: &[u8], count: usize) -> candle_core::Result<Tensor> {
        let shape = self.images.shape();
        let numbers: Vec<f32> = pixels.iter().map(|&k| f32::from(k) / 255.0).collect();
        let dims = (count, shape.channels, shape.height, shape.width);
        Tensor::from_vec(numbers, dims, self.network.device())?.to_dtype(self.network.dtype())
    }

    fn save(&self, path: &Path, part: u32, identity: &Identity) -> Result<CheckpointRecord, TrainError> {
        let header = Header { format: FORMAT, part, identity: identity.clone() };
        let json = serde_json::to_string(&header).expect("a header has text keys only");
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), json)]);
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![self.pixels.len()], &self.pixels);
        let view = view.expect("as many bytes as numbers");
        let bytes = safetensors::serialize([(PIXELS, view)], Some(metadata)).expect("one tensor can be written");
        let published = publish(path, |temporary| fs::write(temporary, bytes).map_err(failed("write", temporary)))?;
        Ok(record(path, part, CheckpointRole::Resume, published))
    }

    /// Takes up the images of a checkpoint, and says how many parts they are.
    fn resume(&mut self, path: &Path, expected: &Identity) -> Result<u32, TrainError> {
        let (pixels, part) =
            self.read(path, expected).map_err(|fault| TrainError::Resume { path: path.into(), fault })?;
        self.pixels = pixels;
        Ok(part)
    }

    fn read(&self, path: &Path, expected: &Identity) -> Result<(Vec<u8>, u32), ResumeFault> {
        let bytes = fs::read(path)?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes)?;
        let not_a_checkpoint = |why: String| ResumeFault::NotACheckpoint { why };
        let json = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY));
        let json = json.ok_or_else(|| not_a_checkpoint(format!("it has no `{METADATA_KEY}`")))?;
        let Header { format, part, identity } =
            serde_json::from_str(json).map_err(|error| not_a_checkpoint(error.to_string()))?;
        let checks = [
            (format == FORMAT, "file format"),
            (identity.spec_sha256 == expected.spec_sha256, "spec"),
            (identity.model_sha256 == expected.model_sha256, "network"),
            (identity.images_sha256 == expected.images_sha256, "set of training images"),
            ((1..=self.spec.parts.get()).contains(&part), "number of parts"),
        ];
        if let Some((_, what)) = checks.into_iter().find(|(holds, _)| !holds) {
            return Err(ResumeFault::Foreign { what });
        }
        let pixels = tensors.tensor(PIXELS)?.data().to_vec();
        let images = part_of(self.images.len(), part, self.spec.parts.get()).end;
        if pixels.len() != images * self.images.shape().image_len() {
            return Err(not_a_checkpoint(format!("{} pixels of {images} images", pixels.len())));
        }
        Ok((pixels, part))
    }
}

fn record(path: &Path, epoch: u32, role: CheckpointRole, published: Published) -> CheckpointRecord {
    let Published { sha256, bytes } = published;
    CheckpointRecord { epoch, role, path: path.to_owned(), sha256, bytes }
}

/// To 8 bits, cutting off what is below one of them, as torchvision's `ToPILImage` does when the authors' student reads the images.
fn quantized(images: &Tensor) -> candle_core::Result<Vec<u8>> {
    let numbers: Vec<f32> = images.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
    Ok(numbers.into_iter().map(|x| (x * 255.0) as u8).collect())
}

/// The images that a training is to be made on instead of the dataset's own.
///
/// They must be of the size and classes of `alike`; `first` is how many of them are wanted, where not all.
pub(crate) fn open_set(path: &Path, alike: &Images, first: Option<NonZeroU32>) -> Result<Arc<Images>, TrainError> {
    let images = read_set(path)?;
    let (found, wanted) = ((images.shape(), images.classes()), (alike.shape(), alike.classes()));
    let first = first.map_or(images.len(), |first| first.get() as usize);
    let what = if found != wanted {
        let ((shape, classes), (wanted, of)) = (found, wanted);
        format!("the training set has {classes} classes of images of {shape}, the dataset {of} of {wanted}")
    } else if first > images.len() {
        format!("{first} training images are wanted, the training set has {}", images.len())
    } else {
        return Ok(Arc::new(images.truncated(first)));
    };
    Err(TrainError::Mismatch { what })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rrm_spec::{JobSpec, ModelSource};

    use super::*;
    use crate::{
        Completion,
        interrupt::tests::{passes_of, stopped_in_pass},
        measure::tests::undecided,
        run,
        training::dataset::{self, Recipe},
    };

    #[test]
    fn a_synthesis_that_is_stopped_within_a_batch_ends_at_its_next_pass_and_makes_the_same_images_when_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset::write(folder.path(), "shades", Recipe { images: (4, 2), ..Recipe::EASY });
        let model = folder.path().join("network.safetensors");
        undecided(&rrm_data::open(&dataset, Split::Test, folder.path()).unwrap()).unwrap().save(&model).unwrap();
        let count = |n: u32| NonZeroU32::new(n).unwrap();
        let job = JobSpec::Synthesize(SynthesizeSpec {
            model: ModelSource::Checkpoint(model),
            dataset,
            steps: count(30),
            step_size: "0.1".parse().unwrap(),
            parts: count(2),
            batch_size: count(8),
            seed: 3,
        });
        let made = |work: &str, resume: Option<&str>| {
            let environment = Environment {
                device: candle_core::Device::Cpu,
                data_dir: folder.path().to_owned(),
                work_dir: folder.path().join(work),
                inputs: HashMap::new(),
                artifacts: HashMap::new(),
                resume: resume.map(|name| folder.path().join(name)),
                stop: Arc::default(),
            };
            run(&job, &environment, &mut |_| ()).unwrap()
        };
        let (ended, passes) = passes_of(|| made("whole", None));
        // Of each part one batch.
        assert_eq!((ended, passes), (Completion::Finished, 2 * 31));
        let (ended, passes) = stopped_in_pass(40, || made("stopped", None));
        assert_eq!((ended, passes), (Completion::Stopped, 40));
        assert_eq!(made("after", Some("stopped/resume.safetensors")), Completion::Finished);
        let set = |work: &str| fs::read(folder.path().join(work).join("images.safetensors")).unwrap();
        assert!(set("after") == set("whole"));
    }

    proptest! {
        #[test]
        fn the_parts_are_all_the_images_each_once(images in 0usize..1000, parts in 1u32..50) {
            let ranges: Vec<_> = (1..=parts).map(|part| part_of(images, part, parts)).collect();
            prop_assert!(ranges.iter().flat_map(Clone::clone).eq(0..images));
            let sizes = ranges.iter().map(ExactSizeIterator::len);
            prop_assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
        }
    }

    #[test]
    fn whole_pixels_survive_the_quantisation_and_others_are_cut() {
        let whole: Vec<f32> = (0..=255u8).map(|k| f32::from(k) / 255.0).collect();
        let tensor = Tensor::new(whole.as_slice(), &candle_core::Device::Cpu).unwrap();
        assert!(quantized(&tensor).unwrap().into_iter().eq(0..=255));
        let between = Tensor::new(&[0.5f32 / 255.0, 7.9 / 255.0], &candle_core::Device::Cpu).unwrap();
        assert_eq!(quantized(&between).unwrap(), [0, 7]);
    }
}
