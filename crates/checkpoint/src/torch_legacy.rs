//! PyTorch's form before 1.6: five pickles, then the storages one after the other.
//!
//! | | what |
//! |---|---|
//! | pickle | a magic number |
//! | pickle | the form's version, 1001 |
//! | pickle | about the machine: whether it is little-endian |
//! | pickle | the object |
//! | pickle | the keys of the storages, in the order of the file |
//! | for each key | how many numbers, as 64 bits; then the numbers |

use std::collections::HashMap;
use std::ops::Range;

use rrm_pickle::{Kind, Pickle, parse_first};

use crate::tensor::Storage;
use crate::torch::{StateDict, StorageId, state_dict, storage_id};
use crate::{CheckpointError, Dtype};

/// What a file begins with: protocol 2, and the ten bytes of 0x1950a86a20f9469cfc6c as a pickled number.
pub(crate) const BEGINNING: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// The only version there ever was.
const VERSION: i64 = 1001;

/// Reads the network's state dict.
pub(crate) fn read(bytes: &[u8]) -> Result<StateDict, CheckpointError> {
    let mut at = BEGINNING.len();
    let version = next(bytes, &mut at, "of the version")?.root().integer();
    if version != Some(VERSION) {
        let what = format!("expected {VERSION}, found {version:?}");
        return Err(CheckpointError::malformed("the pickle of the version", what));
    }
    let machine = next(bytes, &mut at, "about the machine")?;
    if !matches!(machine.root().entry("little_endian").map(|value| value.kind()), Some(Kind::Bool(true))) {
        return Err(CheckpointError::malformed("the pickle about the machine", "only little-endian files are read"));
    }
    let object = next(bytes, &mut at, "of the object")?;
    let keys = next(bytes, &mut at, "of the storages' keys")?;
    let spans = spans(bytes, at, &keys, &storages(&object)?)?;
    state_dict(object.root(), &|id| locate(id, &spans))
}

fn next<'a>(bytes: &'a [u8], at: &mut usize, what: &str) -> Result<Pickle<'a>, CheckpointError> {
    let fault = |fault| CheckpointError::Pickle { part: format!("{what} (from byte {at} of the file)"), fault };
    let (pickle, length) = parse_first(&bytes[*at..]).map_err(fault)?;
    *at += length;
    Ok(pickle)
}

/// Every storage that the object names, used or not: without their types nobody knows how long they are.
fn storages<'a>(object: &Pickle<'a>) -> Result<HashMap<&'a str, (Dtype, usize)>, CheckpointError> {
    let mut found = HashMap::new();
    for id in object.values().filter_map(storage_id) {
        let told = (id.dtype, id.elements);
        if *found.entry(id.key).or_insert(told) != told {
            let part = format!("the storage {}", id.key);
            return Err(CheckpointError::malformed(part, "its type or size is told in two ways"));
        }
    }
    Ok(found)
}

/// Where each storage's numbers lie.
fn spans(
    bytes: &[u8],
    mut at: usize,
    keys: &Pickle<'_>,
    told: &HashMap<&str, (Dtype, usize)>,
) -> Result<HashMap<String, Range<usize>>, CheckpointError> {
    let malformed = |key: &str, what: String| CheckpointError::malformed(format!("the storage {key}"), what);
    let root = keys.root();
    let keys = root.list().ok_or_else(|| {
        CheckpointError::malformed(
            "the pickle of the storages' keys",
            format!("expected a list, found {}", root.describe()),
        )
    })?;
    let mut spans = HashMap::new();
    for key in keys {
        let key = key.text().ok_or_else(|| malformed("", "its key is no text".to_owned()))?;
        let &(dtype, elements) = told.get(key).ok_or_else(|| malformed(key, "nothing tells its type".to_owned()))?;
        let count = bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|count| u64::from_le_bytes(*count));
        let count = count.ok_or_else(|| malformed(key, "the file ends before it".to_owned()))?;
        if count != elements as u64 {
            return Err(malformed(key, format!("it holds {count} numbers instead of {elements}")));
        }
        let begin = at + 8;
        let end = elements.checked_mul(dtype.bytes()).and_then(|length| begin.checked_add(length));
        let end = end
            .filter(|&end| end <= bytes.len())
            .ok_or_else(|| malformed(key, format!("the file ends within its {elements} numbers of {dtype}")))?;
        spans.insert(key.to_owned(), begin..end);
        at = end;
    }
    Ok(spans)
}

fn locate(id: &StorageId<'_>, spans: &HashMap<String, Range<usize>>) -> Result<(Storage, usize), CheckpointError> {
    let malformed = |what: &str| CheckpointError::malformed(format!("the storage {}", id.key), what);
    let span = spans.get(id.key).ok_or_else(|| malformed("it is not in the file"))?;
    match id.view {
        None => Ok((Storage::Span(span.clone()), 0)),
        Some((first, count)) if first.checked_add(count).is_some_and(|end| end <= id.elements) => {
            Ok((Storage::Span(span.clone()), first))
        }
        Some(_) => Err(malformed("a part of it is beyond its end")),
    }
}
