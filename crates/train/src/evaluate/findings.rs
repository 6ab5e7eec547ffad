//! What an evaluation has found so far, as a file to go on from.
//!
//! A safetensors file with one entry of metadata, `rrm.findings`: the [`Header`] as JSON; `told` and `outcomes`, bytes of JSON: the
//! records of the radii that are complete, and what is known of each image; and one number per image in each of `attacked` (whether
//! the present radius has come to it), `seen.part`, `seen.iteration`, `seen.margin`, `seen.cross_entropy`, `look` (bits of the second
//! look), `change`, `radius` (-1: not broken). `kept` holds the adversarial pixels of the broken images in their order, where they are kept.
//!
//! There is no state of random generators to save: randomness is keyed by seed, part, restart and image.

use std::{collections::HashMap, fs, path::Path};

use rrm_attacks::Seen;
use rrm_data::Images;
use rrm_spec::{ArtifactHash, CheckpointRecord, CheckpointRole, EvaluateSpec, EvaluationRecord, ImageOutcome};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Book;
use crate::{
    TrainError,
    checkpoint::ResumeFault,
    files::{self, Published, artifact_hash, publish_tensors},
    measure::Search,
    second_look::SecondLook,
};

const METADATA_KEY: &str = "rrm.findings";
const FORMAT: u32 = 1;

/// What the findings depend on. Two evaluations of equal identity find the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    spec_sha256: ArtifactHash,
    model_sha256: ArtifactHash,
    pub(super) images_sha256: ArtifactHash,
}

impl Identity {
    pub(super) fn new(spec: &EvaluateSpec, model_sha256: &ArtifactHash, images: &Images) -> Self {
        let json = serde_json::to_vec(spec).expect("a spec has text keys only");
        Self {
            spec_sha256: files::sha256_of(&json),
            model_sha256: model_sha256.clone(),
            images_sha256: artifact_hash(&images.sha256()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    identity: Identity,
    /// Checkpoints so far, this one included.
    written: u32,
    spent_us: u64,
    part: u32,
    next: usize,
    /// Whether adversarial pixels are kept.
    keeps: bool,
}

/// All that an evaluation has found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Findings {
    /// Records of the radii that are complete.
    pub(super) told: Vec<EvaluationRecord>,
    /// How far the present radius has come.
    pub(super) search: Search,
    /// Checkpoints so far.
    pub(super) written: u32,
    /// Time spent on the present radius.
    pub(super) spent_us: u64,
    pub(super) book: Book,
}

impl Findings {
    /// Of images of which only this is known.
    pub(super) fn of(outcomes: Vec<ImageOutcome>) -> Self {
        let book = Book::of(outcomes.len());
        Self { told: Vec::new(), search: Search::of(outcomes), written: 0, spent_us: 0, book }
    }

    /// Takes up what a checkpoint holds.
    pub(super) fn resume(path: &Path, expected: &Identity, images: &Images) -> Result<Self, TrainError> {
        let read = fs::read(path).map_err(ResumeFault::from).and_then(|bytes| read(&bytes, expected, images));
        read.map_err(|fault| TrainError::Resume { path: path.to_owned(), fault })
    }
}

/// The same, to be written down.
pub(super) struct Snapshot<'a> {
    pub(super) told: &'a [EvaluationRecord],
    pub(super) search: &'a Search,
    pub(super) written: u32,
    pub(super) spent_us: u64,
    pub(super) book: &'a Book,
}

impl Snapshot<'_> {
    pub(super) fn save(&self, path: &Path, identity: &Identity) -> Result<CheckpointRecord, TrainError> {
        let header = Header {
            format: FORMAT,
            identity: identity.clone(),
            written: self.written,
            spent_us: self.spent_us,
            part: self.search.part,
            next: self.search.next,
            keeps: self.book.kept.iter().any(Option::is_some),
        };
        let json = serde_json::to_string(&header).expect("a header has text keys only");
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), json)]);
        let columns = self.columns();
        let views = columns.iter().map(|(name, dtype, bytes)| {
            let shape = vec![bytes.len() / (dtype.bitsize() / 8)];
            (*name, TensorView::new(*dtype, shape, bytes).expect("as many bytes as numbers"))
        });
        let Published { sha256, bytes } = publish_tensors(path, views, metadata)?;
        Ok(CheckpointRecord { epoch: self.written, role: CheckpointRole::Resume, path: path.to_owned(), sha256, bytes })
    }

    fn columns(&self) -> Vec<(&'static str, Dtype, Vec<u8>)> {
        let Self { told, search, book, .. } = self;
        let json = |value: serde_json::Result<Vec<u8>>| value.expect("records have text keys only");
        let seen = || search.seen.iter().map(|seen| seen.unwrap_or(Seen::NOTHING));
        let kept = book.kept.iter().flatten().flatten();
        vec![
            ("told", Dtype::U8, json(serde_json::to_vec(told))),
            ("outcomes", Dtype::U8, json(serde_json::to_vec(&search.outcomes))),
            ("attacked", Dtype::U8, search.seen.iter().map(|seen| u8::from(seen.is_some())).collect()),
            ("seen.part", Dtype::U32, seen().flat_map(|seen| seen.part.to_le_bytes()).collect()),
            ("seen.iteration", Dtype::I64, seen().flat_map(|seen| signed(seen.iteration).to_le_bytes()).collect()),
            ("seen.margin", Dtype::F64, seen().flat_map(|seen| seen.margin.to_le_bytes()).collect()),
            ("seen.cross_entropy", Dtype::F64, seen().flat_map(|seen| seen.cross_entropy.to_le_bytes()).collect()),
            ("look", Dtype::U8, book.looks.iter().map(bits).collect()),
            ("change", Dtype::F64, book.looks.iter().flat_map(|look| change(look).to_le_bytes()).collect()),
            ("radius", Dtype::I64, book.radius.iter().flat_map(|radius| signed(*radius).to_le_bytes()).collect()),
            ("kept", Dtype::F32, kept.flat_map(|pixel| pixel.to_le_bytes()).collect()),
        ]
    }
}

fn read(bytes: &[u8], expected: &Identity, images: &Images) -> Result<Findings, ResumeFault> {
    let tensors = SafeTensors::deserialize(bytes)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let json = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY));
    let json = json.ok_or_else(|| not_a_checkpoint(format!("it has no `{METADATA_KEY}`")))?;
    let header: Header = serde_json::from_str(json).map_err(|error| not_a_checkpoint(error.to_string()))?;
    let checks = [
        (header.format == FORMAT, "file format"),
        (header.identity.spec_sha256 == expected.spec_sha256, "spec"),
        (header.identity.model_sha256 == expected.model_sha256, "network"),
        (header.identity.images_sha256 == expected.images_sha256, "set of test images"),
    ];
    if let Some((_, what)) = checks.into_iter().find(|(holds, _)| !holds) {
        return Err(ResumeFault::Foreign { what });
    }
    let columns = Columns { tensors, images: images.len() };
    let seen = columns.seen()?;
    let search = Search { outcomes: columns.json("outcomes")?, seen, part: header.part, next: header.next };
    let is_of = |(i, outcome): (usize, &ImageOutcome)| outcome.image as usize == i && outcome.label == images.label(i);
    if search.outcomes.len() != images.len() || !search.outcomes.iter().enumerate().all(is_of) {
        return Err(not_a_checkpoint(format!("its {} outcomes are not those of the images", search.outcomes.len())));
    }
    let (Header { written, spent_us, keeps, .. }, told) = (header, columns.json("told")?);
    let radius: Vec<Option<u32>> = columns.numbers("radius", i64::from_le_bytes)?.into_iter().map(unsigned).collect();
    let kept = if keeps { columns.kept(&radius, images.shape().image_len())? } else { vec![None; images.len()] };
    Ok(Findings { told, search, written, spent_us, book: Book { looks: columns.looks()?, radius, kept } })
}

/// The tensors of a file, of which most have one number per image.
struct Columns<'a> {
    tensors: SafeTensors<'a>,
    images: usize,
}

impl Columns<'_> {
    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, ResumeFault> {
        let found = serde_json::from_slice(self.tensors.tensor(name)?.data());
        found.map_err(|error| not_a_checkpoint(format!("`{name}`: {error}")))
    }

    fn numbers<T, const N: usize>(&self, name: &str, decode: fn([u8; N]) -> T) -> Result<Vec<T>, ResumeFault> {
        let numbers = decoded(self.tensors.tensor(name)?.data(), decode);
        match numbers.len() == self.images {
            true => Ok(numbers),
            false => Err(not_a_checkpoint(format!("`{name}` has {} numbers of {} images", numbers.len(), self.images))),
        }
    }

    fn seen(&self) -> Result<Vec<Option<Seen>>, ResumeFault> {
        let attacked = self.numbers("attacked", u8::from_le_bytes)?;
        let part = self.numbers("seen.part", u32::from_le_bytes)?;
        let iteration = self.numbers("seen.iteration", i64::from_le_bytes)?;
        let margin = self.numbers("seen.margin", f64::from_le_bytes)?;
        let cross_entropy = self.numbers("seen.cross_entropy", f64::from_le_bytes)?;
        let seen = |i: usize| Seen {
            part: part[i],
            iteration: unsigned(iteration[i]),
            margin: margin[i],
            cross_entropy: cross_entropy[i],
        };
        Ok((0..self.images).map(|i| (attacked[i] == 1).then(|| seen(i))).collect())
    }

    fn looks(&self) -> Result<Vec<Option<SecondLook>>, ResumeFault> {
        let bits = self.numbers("look", u8::from_le_bytes)?;
        let changes = self.numbers("change", f64::from_le_bytes)?;
        Ok(bits.into_iter().zip(changes).map(|(bits, change)| look(bits, change)).collect())
    }

    /// The pixels of the images that were broken, at their positions.
    fn kept(&self, radius: &[Option<u32>], len: usize) -> Result<Vec<Option<Vec<f32>>>, ResumeFault> {
        let pixels = decoded(self.tensors.tensor("kept")?.data(), f32::from_le_bytes);
        let broken = radius.iter().flatten().count();
        if pixels.len() != broken * len {
            return Err(not_a_checkpoint(format!("{} kept pixels of {broken} images", pixels.len())));
        }
        let mut images = pixels.chunks_exact(len).map(<[f32]>::to_vec);
        Ok(radius.iter().map(|radius| radius.and_then(|_| images.next())).collect())
    }
}

fn not_a_checkpoint(why: String) -> ResumeFault {
    ResumeFault::NotACheckpoint { why }
}

fn decoded<T, const N: usize>(bytes: &[u8], decode: fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|bytes| decode(bytes.try_into().expect("chunks are of that length"))).collect()
}

/// Absent is -1.
fn signed(number: Option<u32>) -> i64 {
    number.map_or(-1, i64::from)
}

fn unsigned(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn change(look: &Option<SecondLook>) -> f64 {
    look.map_or(0.0, |look| look.change)
}

fn bits(look: &Option<SecondLook>) -> u8 {
    let Some(SecondLook { change: _, is_finite, is_in_box, is_correct, is_correct_rounded }) = *look else { return 0 };
    let bits = [true, is_finite, is_in_box, is_correct, is_correct_rounded];
    bits.into_iter().zip(0..).map(|(is_set, bit)| u8::from(is_set) << bit).sum()
}

fn look(bits: u8, change: f64) -> Option<SecondLook> {
    let bit = |bit: u32| bits >> bit & 1 == 1;
    let look =
        SecondLook { change, is_finite: bit(1), is_in_box: bit(2), is_correct: bit(3), is_correct_rounded: bit(4) };
    bit(0).then_some(look)
}
