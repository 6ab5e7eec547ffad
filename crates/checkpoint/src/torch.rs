//! PyTorch's objects in a pickle: tensors, and the state dict among everything else.
//!
//! One value may stand in a million places of a small file. So what is looked through is looked through once, and of what has an
//! expected length no more is read.

use std::collections::HashMap;

use rrm_pickle::{Id, Kind, Object, Value};

use crate::printable::printable;
use crate::tensor::{MOST_DIMENSIONS, Storage, Stored};
use crate::{CheckpointError, Dtype};

/// Entries of a checkpoint that may be its network's state dict, the likeliest first (digest §1.4).
const STATE_DICTS: [&str; 6] = ["model", "state_dict", "model_state_dict", "net", "network", "params"];

/// Parameters wrap tensors, and subclasses of tensors wrap these.
const DEEPEST: usize = 4;

/// No call that matters has more arguments, and no storage's id more parts.
const MOST_ARGUMENTS: usize = 16;

/// Names listed in a message.
const LISTED: usize = 20;

/// What a state dict says under a name.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) value: Content,
}

/// A tensor, or why it is none.
pub(crate) enum Content {
    Tensor(Stored),
    Other(&'static str),
}

/// A storage as a pickle tells it.
pub(crate) struct StorageId<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) key: &'a str,
    /// How many numbers it holds.
    pub(crate) elements: usize,
    /// Of very old files: the part that is meant, as first number and count.
    pub(crate) view: Option<(usize, usize)>,
}

/// The network's state dict, and the names of what was passed over.
pub(crate) struct StateDict {
    pub(crate) entries: Vec<Named>,
    pub(crate) passed_over: Vec<String>,
}

/// What stands for a storage in its file.
pub(crate) type Locate<'l> = dyn Fn(&StorageId<'_>) -> Result<(Storage, usize), CheckpointError> + 'l;

/// Finds the network's state dict: the value itself, or one of its entries.
pub(crate) fn state_dict(root: Value<'_, '_>, locate: &Locate<'_>) -> Result<StateDict, CheckpointError> {
    let Some(entries) = root.entries() else { return Err(no_state_dict(root)) };
    let entries: Vec<(&str, Value<'_, '_>)> = entries.filter_map(|(key, value)| Some((key.text()?, value))).collect();
    let mut seen: HashMap<Id, bool> = HashMap::new();
    let mut is_candidate = |value: Value<'_, '_>| *seen.entry(value.id()).or_insert_with(|| holds_tensors(value));
    let candidates: Vec<_> = entries.iter().filter(|(_, value)| is_candidate(*value)).collect();
    let known = STATE_DICTS.iter().find_map(|name| candidates.iter().find(|(key, _)| key == name));
    let (chosen, value) = match (known, candidates.as_slice()) {
        (Some(chosen), _) => **chosen,
        // Only now: MadryLab's files have a tensor beside the state dict, the accuracy.
        (None, _) if holds_tensors(root) => {
            return Ok(StateDict { entries: named(root, locate)?, passed_over: Vec::new() });
        }
        (None, [chosen]) => **chosen,
        (None, []) => return Err(no_state_dict(root)),
        (None, several) => {
            let names: Vec<String> = several.iter().take(LISTED).map(|(key, _)| printable(key)).collect();
            let what = format!("any of its entries {} may be it", names.join(", "));
            return Err(CheckpointError::NoStateDict { what });
        }
    };
    let passed_over = entries.iter().map(|(key, _)| *key).filter(|key| *key != chosen);
    Ok(StateDict { passed_over: passed_over.map(printable).collect(), entries: named(value, locate)? })
}

fn no_state_dict(root: Value<'_, '_>) -> CheckpointError {
    let keys: Vec<String> = root
        .entries()
        .into_iter()
        .flatten()
        .take(LISTED)
        .map(|(key, value)| {
            format!("{}: {}", key.text().map_or_else(|| key.describe().to_owned(), printable), value.describe())
        })
        .collect();
    let what = match (module_class(root), keys.is_empty()) {
        (Some(class), _) => {
            format!("it is a whole module of class {class}, whose code is not run: save its state_dict()")
        }
        (None, true) => format!("it is {}", root.describe()),
        (None, false) => format!("it has only ({})", keys.join(", ")),
    };
    CheckpointError::NoStateDict { what }
}

/// The class of an object with a state, in the file or under one of the likeliest entries.
fn module_class(root: Value<'_, '_>) -> Option<String> {
    let class = |value: Value<'_, '_>| match value.kind() {
        Kind::Object(Object { function, state: Some(_), .. }) => {
            let (module, name) = value.at(*function).global()?;
            Some(printable(&format!("{module}.{name}")))
        }
        _ => None,
    };
    class(root).or_else(|| STATE_DICTS.iter().find_map(|name| root.entry(name).and_then(class)))
}

fn holds_tensors(value: Value<'_, '_>) -> bool {
    value.entries().is_some_and(|mut entries| entries.any(|(key, value)| key.text().is_some() && is_tensor(value)))
}

fn is_tensor(value: Value<'_, '_>) -> bool {
    rebuilt(value).is_some()
}

/// The arguments of the call that rebuilds a dense tensor: storage, offset, sizes, strides.
fn rebuilt<'p, 'a>(value: Value<'p, 'a>) -> Option<Vec<Value<'p, 'a>>> {
    let mut value = value;
    for _ in 0..DEEPEST {
        let Kind::Object(Object { function, arguments, .. }) = value.kind() else { return None };
        let arguments = value.at(*arguments).beginning(MOST_ARGUMENTS)?;
        value = match value.at(*function).global()? {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => return Some(arguments),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => *arguments.first()?,
            ("torch.nn.parameter", "Parameter" | "Buffer") => *arguments.first()?,
            // Function, class, arguments, state of a tensor with attributes.
            ("torch._tensor", "_rebuild_from_type_v2") => {
                let [function, _, arguments, ..] = arguments[..] else { return None };
                match function.global()? {
                    ("torch._utils", "_rebuild_tensor_v2") => return arguments.beginning(MOST_ARGUMENTS),
                    _ => *arguments.beginning(1)?.first()?,
                }
            }
            _ => return None,
        };
    }
    None
}

fn named(dict: Value<'_, '_>, locate: &Locate<'_>) -> Result<Vec<Named>, CheckpointError> {
    let mut named = Vec::new();
    for (key, value) in dict.entries().into_iter().flatten() {
        let Some(name) = key.text() else { continue };
        let name = printable(name);
        let content = match rebuilt(value) {
            Some(arguments) => Content::Tensor(tensor(&name, &arguments, locate)?),
            None => Content::Other(value.describe()),
        };
        named.push(Named { name, value: content });
    }
    Ok(named)
}

fn tensor(name: &str, arguments: &[Value<'_, '_>], locate: &Locate<'_>) -> Result<Stored, CheckpointError> {
    let malformed = |what: &str| CheckpointError::malformed(format!("the tensor `{name}`"), what);
    let [storage, offset, sizes, strides, ..] = arguments else {
        return Err(malformed("it lacks storage, offset, sizes or strides"));
    };
    let (shape, strides) = (lengths(*sizes), lengths(*strides));
    let offset = offset.integer().and_then(|offset| usize::try_from(offset).ok());
    let (Some(shape), Some(strides), Some(offset)) = (shape, strides, offset) else {
        return Err(malformed("its sizes, strides and offset must be whole numbers, none of them negative"));
    };
    if shape.len() != strides.len() || shape.len() > MOST_DIMENSIONS {
        return Err(malformed("its sizes and strides must be as many as each other, and at most 8"));
    }
    let id = storage_id(*storage).ok_or_else(|| malformed("its storage is of no known form"))?;
    let (storage, first) = locate(&id)?;
    let offset = offset.checked_add(first).ok_or_else(|| malformed("its offset is beyond all measure"))?;
    Ok(Stored { dtype: id.dtype, shape, strides, offset, storage })
}

fn lengths(value: Value<'_, '_>) -> Option<Vec<usize>> {
    // One more than allowed, so that it is seen.
    let most = MOST_DIMENSIONS + 1;
    let lengths = |items: Vec<Value<'_, '_>>| {
        items.into_iter().map(|item| item.integer().and_then(|length| usize::try_from(length).ok())).collect()
    };
    match value.kind() {
        // `torch.Size((2, 3))`.
        Kind::Object(Object { arguments, .. }) => lengths(value.at(*arguments).beginning(1)?.first()?.beginning(most)?),
        _ => lengths(value.beginning(most)?),
    }
}

/// A storage's persistent id: `("storage", class, key, device, numbers)`, in old files with a view at its end.
pub(crate) fn storage_id<'a>(value: Value<'_, 'a>) -> Option<StorageId<'a>> {
    let Kind::Persistent(id) = value.kind() else { return None };
    let parts = value.at(*id).beginning(MOST_ARGUMENTS)?;
    let [kind, class, key, _device, elements, ref view @ ..] = parts[..] else { return None };
    let (_, class) = class.global()?;
    let number = |value: Value<'_, '_>| value.integer().and_then(|number| usize::try_from(number).ok());
    let view = match view.first().map(|view| view.beginning(MOST_ARGUMENTS)) {
        Some(Some(view)) => match view[..] {
            [_key, first, count] => Some((number(first)?, number(count)?)),
            _ => return None,
        },
        Some(None) | None => None,
    };
    let is_storage = kind.text() == Some("storage");
    Some(StorageId { dtype: Dtype::of_storage(class)?, key: key.text()?, elements: number(elements)?, view })
        .filter(|_| is_storage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pickle: &[u8]) -> String {
        let pickle = rrm_pickle::parse(pickle).unwrap();
        state_dict(pickle.root(), &|_| panic!("it has no tensor")).err().expect("it is no state dict").to_string()
    }

    #[test]
    fn a_dict_that_stands_under_a_hundred_thousand_names_is_looked_through_once() {
        // {"b": d, "a": d, "a": d, ...} with d = {"a": 1, "a": 1, ...}: otherwise this test would take minutes.
        let inner = [b"}q\x01(".to_vec(), b"U\x01aK\x01".repeat(100_000), b"u".to_vec()].concat();
        let outer = [b"}(U\x01b".to_vec(), inner, b"U\x01ah\x01".repeat(100_000), b"u.".to_vec()].concat();
        assert!(refused(&outer).contains("it has only (b: a dict"));
    }
}
