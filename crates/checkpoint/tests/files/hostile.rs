//! Files that lie.

use std::io::{Cursor, Write};

use proptest::prelude::*;
use rrm_checkpoint::import;
use zip::write::SimpleFileOptions;

use crate::{file, narrow_dnn, refused};

/// An archive as PyTorch's with that pickle and those storages.
fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut put = |name: String, content: &[u8]| {
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    };
    put("x/data.pkl".to_owned(), pickle);
    storages.iter().for_each(|(key, content)| put(format!("x/data/{key}"), content));
    zip.finish().unwrap().into_inner()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn int(number: i64) -> Vec<u8> {
    [b"\x8a\x08", &number.to_le_bytes()[..]].concat()
}

fn tuple(numbers: &[i64]) -> Vec<u8> {
    [b"(".to_vec(), numbers.iter().flat_map(|&number| int(number)).collect(), b"t".to_vec()].concat()
}

/// The pickle of `{key: tensor}`, of storage `0` with so many numbers.
fn state_dict(key: &str, elements: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let storage = [
        b"(".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        int(elements),
        b"tQ".to_vec(),
    ]
    .concat();
    [
        b"\x80\x02}".to_vec(),
        text(key),
        b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(),
        storage,
        int(offset),
        tuple(shape),
        tuple(strides),
        b"\x89NtRs.".to_vec(),
    ]
    .concat()
}

#[track_caller]
fn refuses(bytes: &[u8], part: &str) {
    let error = refused(bytes, &narrow_dnn()).to_string();
    assert!(error.contains(part), "{error}");
}

#[test]
fn a_pickle_that_would_run_a_program_runs_nothing() {
    let marker = std::env::temp_dir().join(format!("rrm-checkpoint-{}", std::process::id()));
    let call = format!("touch {}", marker.display());
    let program = [b"\x80\x02cposix\nsystem\n".to_vec(), text(&call), b"\x85R.".to_vec()].concat();
    refuses(&archive(&program, &[]), "it is an object");
    // The same beside a whole network, where it is passed over.
    let sound = state_dict("classifier.bias", 1, 0, &[1], &[1]);
    let beside = [&sound[..sound.len() - 1], &text("hook"), &program[2..program.len() - 1], b"s."].concat();
    refuses(&archive(&beside, &[("0", &[0; 4])]), "differences");
    assert!(!marker.exists());
}

#[test]
fn claimed_sizes_are_not_believed() {
    let one = [("0", &[0u8; 4][..])];
    let huge = i64::MAX;
    // The tensor is never read: its shape is not the network's.
    refuses(&archive(&state_dict("features.0.bias", huge, 0, &[huge, huge], &[0, 0]), &one), "beyond all measure");
    refuses(&archive(&state_dict("features.0.bias", 1, 0, &[huge, huge], &[0, 0]), &one), "instead of [2]");
    refuses(&archive(&state_dict("features.0.bias", -1, 0, &[2], &[1]), &one), "of no known form");
    refuses(&archive(&state_dict("features.0.bias", 1, -1, &[2], &[1]), &one), "none of them negative");
    refuses(&archive(&state_dict("features.0.bias", 1, 0, &[2], &[-1]), &one), "none of them negative");
    refuses(&archive(&state_dict("features.0.bias", 1, 0, &[2, 2], &[1]), &one), "as many as each other");
    // The normaliser's constants are read whatever the network is.
    for (offset, shape, strides) in [(0, [2], [1]), (1, [1], [1]), (huge, [1], [1]), (0, [3], [huge])] {
        let mean = state_dict("mean", 1, offset, &shape, &strides);
        let std = state_dict("std", 1, 0, &[1], &[1]);
        // Both in one dict: the second without its protocol and its own dict.
        let both = [&mean[..mean.len() - 1], &std[3..]].concat();
        refuses(&archive(&both, &one), "beyond its storage of 4 bytes");
        refuses(&archive(&mean, &one), "must both be there");
    }
    refuses(&archive(&state_dict("mean", 1, 0, &[17], &[0]), &one), "both be there");
}

#[test]
fn a_storage_of_another_size_than_claimed_is_refused() {
    let both = |elements| {
        let (mean, std) = (state_dict("mean", elements, 0, &[1], &[1]), state_dict("std", elements, 0, &[1], &[1]));
        [&mean[..mean.len() - 1], &std[3..]].concat()
    };
    refuses(&archive(&both(2), &[("0", &[0; 4])]), "has 4 bytes instead of 8");
    refuses(&archive(&both(1), &[]), "data/0: it is not there");
}

#[test]
fn archives_that_pytorch_never_writes_are_refused() {
    refuses(b"PK\x03\x04 and no archive", "read the zip archive");
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("x/other", SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)).unwrap();
    refuses(&zip.finish().unwrap().into_inner(), "has no data.pkl");
    // A compressed entry, as in a bomb: the method's number in the local and in the central header.
    let mut compressed = archive(&state_dict("mean", 1, 0, &[1], &[1]), &[]);
    for (signature, method) in [(&b"PK\x03\x04"[..], 8), (b"PK\x01\x02", 10)] {
        let at = compressed.windows(4).position(|window| window == signature).unwrap();
        compressed[at + method] = 8;
    }
    refuses(&compressed, "compressed or encrypted");
}

#[test]
fn control_characters_of_a_file_are_in_no_message() {
    let escape = "\x1b[2J";
    let safetensors = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    let mut named = file("brain.safetensors");
    let name = named.windows(15).position(|bytes| bytes == b"features.0.bias").unwrap();
    named[name..name + 15].copy_from_slice(br"\u001b[2J.biase");
    let typed = r#"{"a":{"dtype":"\u001b[2J","shape":[1],"data_offsets":[0,4]}}"#;
    let described =
        r#"{"__metadata__":{"rrm.network":"{\"\\u001b[2J\":1}"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    // {"\x1b[2J": d, "b": d} with d a state dict.
    let sound = state_dict("a", 1, 0, &[1], &[1]);
    let dict = &sound[2..sound.len() - 1];
    let several = [b"\x80\x02}", &text(escape)[..], dict, b"s", &text("b"), dict, b"s."].concat();
    // The key of a storage, of the same length as `0`.
    let mut keyed = state_dict("mean", 1, 0, &[1], &[1]);
    let key = keyed.windows(6).position(|bytes| bytes == text("0")).unwrap() + 5;
    keyed[key] = 0x1b;
    let std = state_dict("std", 1, 0, &[1], &[1]);
    let keyed = [&keyed[..keyed.len() - 1], &std[3..]].concat();
    for (file, part) in [
        (named, "` [2J.biase` [2] does not belong to it"),
        (safetensors(typed), "invalid JSON in header: unknown variant ` [2J`"),
        (safetensors(described), "unknown field ` [2J`"),
        (archive(&several, &[("0", &[0; 4])]), "any of its entries  [2J, b may be it"),
        (archive(&keyed, &[("0", &[0; 4])]), "data/ : it is not there"),
    ] {
        let error = refused(&file, &narrow_dnn()).to_string();
        assert!(error.contains(part), "{error:?}");
        assert!(!error.chars().any(|character| character.is_control() && character != '\n'), "{error:?}");
    }
}

#[test]
fn a_pickle_that_holds_itself_ends() {
    // d = {"model": d}, and a tensor whose parameter is itself.
    refuses(&archive(&[b"\x80\x02}q\x00".to_vec(), text("model"), b"h\x00s.".to_vec()].concat(), &[]), "it has only");
    let call = b"ctorch._utils\n_rebuild_parameter\n]q\x00\x85Rq\x01";
    let looped = [b"\x80\x02}".to_vec(), text("a"), call.to_vec(), b"s.".to_vec()].concat();
    refuses(&archive(&looped, &[]), "it has only (a: an object)");
}

/// The files whose mutations are tried.
const FILES: [&str; 5] = ["bare.pt", "madry_legacy.pt", "strided_legacy.pt", "brain.safetensors", "one_number.pt"];

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    for name in FILES {
        let whole = file(name);
        for length in (0..whole.len()).step_by(397).chain(whole.len() - 30..whole.len()) {
            assert!(import(&whole[..length], &narrow_dnn()).is_err(), "{name} at {length}");
        }
    }
}

proptest! {
    #[test]
    fn changed_bytes_give_an_error_or_a_network_but_never_a_panic(
        name in prop::sample::select(FILES.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        near in any::<bool>(),
    ) {
        let mut bytes = file(name);
        // Half of the time where the structure lies: the beginning, or the end of an archive.
        let (length, window) = (bytes.len(), 3000);
        for (place, byte) in changes {
            let at = if near { place.index(window.min(length)) } else { length - 1 - place.index(window.min(length)) };
            bytes[at] = byte;
        }
        let _ = import(&bytes, &narrow_dnn());
    }

    #[test]
    fn pieces_put_together_anyhow_never_make_it_panic(
        name in prop::sample::select(FILES.to_vec()),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        length in 1..500usize,
    ) {
        let mut bytes = file(name);
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
        bytes.splice(to..to, piece);
        let _ = import(&bytes, &narrow_dnn());
    }
}
