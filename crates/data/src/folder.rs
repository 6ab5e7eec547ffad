//! A folder of the user's own pictures: `train/CLASS/*` and `test/CLASS/*`, PNG or JPEG.

use std::{
    collections::BTreeSet,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

use crate::{DataError, Images, Picture, Shape, Split};

/// How the names of pictures end, in lower case. Files of other names are passed over, as torchvision's `ImageFolder` does.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Whether the folder looks like one of this layout.
pub(crate) fn recognizes(folder: &Path) -> bool {
    Split::ALL.iter().any(|split| folder.join(split.to_string()).is_dir())
}

/// Reads a split. Labels are the positions of the classes' names in byte order; both splits must have the same.
///
/// # Errors
/// [`DataError::Folder`] with all that is wrong with the classes and with this split's pictures.
pub(crate) fn read(folder: &Path, split: Split) -> Result<Images, DataError> {
    let mut faults = Vec::new();
    let classes = classes(folder, &mut faults);
    let (mut files, mut labels) = (Vec::new(), Vec::new());
    for (label, class) in (0u32..).zip(&classes) {
        let pictures = pictures(&folder.join(split.to_string()).join(class), &mut faults);
        labels.extend(pictures.iter().map(|_| label));
        files.extend(pictures);
    }
    let pixels = decode_all(&files, &mut faults);
    match faults.is_empty() {
        true => Ok(Images::new(Shape::square(3), pixels, labels, classes)),
        false => Err(DataError::Folder { folder: folder.to_owned(), faults }),
    }
}

/// How many files of both splits are passed over.
///
/// # Errors
/// Where a folder cannot be read.
pub(crate) fn passed_over(folder: &Path) -> Result<usize, DataError> {
    let mut count = 0;
    for split in Split::ALL {
        for entry in visible_entries(&folder.join(split.to_string()))? {
            count += match entry.is_dir() {
                true => visible_entries(&entry)?.iter().filter(|path| !path.is_dir() && !is_picture(path)).count(),
                false => 1,
            };
        }
    }
    Ok(count)
}

/// The names of the classes that both splits have, in byte order.
fn classes(folder: &Path, faults: &mut Vec<DataError>) -> Vec<String> {
    let [train, test] = Split::ALL.map(|split| folder.join(split.to_string()));
    let [names, others] = [&train, &test].map(|split_folder| class_names(split_folder, faults));
    // What cannot be read has been told, and says nothing of classes.
    let (Some(names), Some(others)) = (names, others) else { return Vec::new() };
    let pairs = [(&train, &others, &names, &test), (&test, &names, &others, &train)];
    for (split_folder, wanted, found, other_split) in pairs {
        faults.extend(wanted.difference(found).map(|class| {
            let expected = format!("the same classes as in {}", other_split.display());
            DataError::contents(split_folder, expected, format!("no folder {class}"))
        }));
    }
    let all: Vec<&str> = names.union(&others).map(String::as_str).collect();
    if all.len() < 2 {
        let found = all.first().map_or_else(|| "none".to_owned(), |class| format!("only {class}"));
        faults.push(DataError::contents(train, "a folder for each of at least two classes", found));
    }
    names.intersection(&others).cloned().collect()
}

/// The names of a split's folders; none where it cannot be read.
fn class_names(split_folder: &Path, faults: &mut Vec<DataError>) -> Option<BTreeSet<String>> {
    let entries = visible_entries(split_folder).map_err(|error| faults.push(error)).ok()?;
    let mut names = BTreeSet::new();
    for entry in entries.into_iter().filter(|entry| entry.is_dir()) {
        match entry.file_name().and_then(|name| name.to_str()) {
            Some(name) => _ = names.insert(name.to_owned()),
            None => faults.push(DataError::contents(&entry, "a class name in UTF-8", "other bytes")),
        }
    }
    Some(names)
}

/// The pictures of a class, sorted by name.
fn pictures(class_folder: &Path, faults: &mut Vec<DataError>) -> Vec<PathBuf> {
    let entries = match visible_entries(class_folder) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(error);
            return Vec::new();
        }
    };
    let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.is_dir());
    faults.extend(folders.iter().map(|folder| DataError::contents(folder, "a picture", "a folder")));
    let pictures: Vec<PathBuf> = files.into_iter().filter(|file| is_picture(file)).collect();
    if pictures.is_empty() {
        let expected = format!("pictures whose names end in {}", ENDINGS.map(|ending| format!(".{ending}")).join(", "));
        faults.push(DataError::contents(class_folder, expected, "none"));
    }
    pictures
}

fn is_picture(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// What a folder holds, sorted by name, without hidden entries (file managers leave some).
pub(crate) fn visible_entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let entry = entry.map_err(DataError::io(folder))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Pixels of all files in their order, decoded on all processors; of those at fault nothing is to be read.
fn decode_all(files: &[PathBuf], faults: &mut Vec<DataError>) -> Vec<u8> {
    let len = Shape::square(3).image_len();
    let mut pixels = vec![0; files.len() * len];
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = files.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> = files
            .chunks(share)
            .zip(pixels.chunks_mut(share * len))
            .map(|(files, pixels)| scope.spawn(move || decode_each(files, pixels)))
            .collect();
        // In the files' order, whichever thread was faster.
        workers.into_iter().for_each(|worker| faults.extend(worker.join().expect("decoding returns its errors")));
    });
    pixels
}

/// Returns what is wrong with any of the files.
fn decode_each(files: &[PathBuf], pixels: &mut [u8]) -> Vec<DataError> {
    let each = files.iter().zip(pixels.chunks_exact_mut(Shape::square(3).image_len()));
    each.filter_map(|(file, pixels)| decode(file, pixels).err()).collect()
}

/// Decodes a picture to channel-major 32×32 RGB, as torchvision's `Resize((32, 32))` has it.
fn decode(path: &Path, pixels: &mut [u8]) -> Result<(), DataError> {
    pixels.copy_from_slice(&Picture::read(path)?.squeezed(Shape::square(3)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn picture(side: u32, colour: [u8; 3]) -> RgbImage {
        RgbImage::from_pixel(side, side, Rgb(colour))
    }

    fn save(folder: &Path, name: &str, picture: &RgbImage) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture.save(path).unwrap();
    }

    fn pets() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut corner = picture(32, [10, 20, 30]);
        corner.put_pixel(31, 0, Rgb([1, 2, 3])); // Right end of the first row.
        save(folder.path(), "train/dog/2.png", &picture(32, [0, 0, 255]));
        save(folder.path(), "train/dog/1.png", &picture(64, [0, 255, 0]));
        save(folder.path(), "train/cat/9.png", &corner);
        save(folder.path(), "test/cat/a.jpg", &picture(40, [100, 100, 100]));
        save(folder.path(), "test/dog/a.png", &picture(32, [7, 8, 9]));
        fs::write(folder.path().join("train/.DS_Store"), "hidden").unwrap();
        folder
    }

    #[test]
    fn classes_and_files_come_in_the_order_of_their_names() {
        let folder = pets();
        let train = read(folder.path(), Split::Train).unwrap();
        assert_eq!(train.class_names(), ["cat", "dog"]);
        assert_eq!((train.label(0), train.label(1), train.label(2)), (0, 1, 1));
        assert_eq!(
            (train.pixels(0).unwrap()[31], train.pixels(0).unwrap()[1024 + 31], train.pixels(0).unwrap()[2048 + 31]),
            (1, 2, 3)
        );
        assert_eq!((train.pixels(0).unwrap()[0], train.pixels(0).unwrap()[32]), (10, 10));
        assert_eq!((train.pixels(1).unwrap()[1024], train.pixels(2).unwrap()[2048]), (255, 255));
        let test = read(folder.path(), Split::Test).unwrap();
        assert!(
            test.pixels(0).unwrap().iter().all(|value| value.abs_diff(100) <= 2),
            "JPEG keeps grey nearly as it was"
        );
    }

    #[test]
    fn a_class_in_one_split_only_is_refused() {
        let folder = pets();
        fs::create_dir(folder.path().join("test/fox")).unwrap();
        let message = read(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("no folder fox"), "{message}");
    }

    #[test]
    fn files_that_are_no_pictures_by_their_names_are_passed_over_and_counted() {
        let folder = pets();
        let plain = read(folder.path(), Split::Train).unwrap();
        assert_eq!(passed_over(folder.path()).unwrap(), 0, "hidden files are not worth a word");
        for stray in ["train/cat/README.txt", "train/notes.txt", "test/Thumbs.db", "test/dog/labels", "train/dog/png"] {
            fs::write(folder.path().join(stray), "hello").unwrap();
        }
        assert_eq!(read(folder.path(), Split::Train).unwrap(), plain);
        assert_eq!(passed_over(folder.path()).unwrap(), 5);
    }

    #[test]
    fn endings_are_those_of_pictures_in_any_case() {
        let folder = pets();
        for (name, other) in [("test/cat/a.jpg", "test/cat/a.JPEG"), ("test/dog/a.png", "test/dog/a.Png")] {
            fs::rename(folder.path().join(name), folder.path().join(other)).unwrap();
        }
        assert_eq!(read(folder.path(), Split::Test).unwrap().len(), 2);
    }

    #[test]
    fn foreign_and_truncated_pictures_are_refused_by_name() {
        let folder = pets();
        let foreign = folder.path().join("train/cat/notes.png");
        fs::write(&foreign, "hello").unwrap();
        let message = read(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("notes.png at byte 0: expected a PNG or JPEG picture"), "{message}");
        let whole = fs::read(folder.path().join("train/dog/1.png")).unwrap();
        fs::remove_file(foreign).unwrap();
        fs::write(folder.path().join("train/dog/1.png"), &whole[..whole.len() / 2]).unwrap();
        let message = read(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("1.png at byte"), "{message}");
    }

    #[test]
    fn all_that_is_wrong_with_a_folder_is_told_at_once() {
        let folder = pets();
        fs::write(folder.path().join("train/cat/a.png"), "hello").unwrap();
        fs::write(folder.path().join("train/dog/2.png"), "damaged").unwrap();
        fs::create_dir(folder.path().join("train/dog/puppies")).unwrap();
        fs::create_dir(folder.path().join("train/fox")).unwrap();
        fs::create_dir(folder.path().join("test/owl")).unwrap();
        let error = read(folder.path(), Split::Train).unwrap_err();
        let message = error.to_string();
        let expected =
            ["5 faults", "cat/a.png at", "dog/2.png at", "puppies: expected a picture, found a folder", "fox", "owl"];
        assert!(expected.iter().all(|text| message.contains(text)), "{message}");
        assert!(error.is_of_own_folder() && !message.contains("fetch"), "{message}");
    }

    #[test]
    fn a_class_without_pictures_is_refused() {
        let folder = pets();
        fs::remove_file(folder.path().join("test/cat/a.jpg")).unwrap();
        fs::write(folder.path().join("test/cat/a.webp"), "a picture, but none that is read").unwrap();
        let message = read(folder.path(), Split::Test).unwrap_err().to_string();
        assert!(
            message.contains("cat: expected pictures whose names end in .png, .jpg, .jpeg, found none"),
            "{message}"
        );
    }

    #[test]
    fn one_class_alone_cannot_be_told_apart() {
        let folder = pets();
        for split in Split::ALL {
            fs::remove_dir_all(folder.path().join(split.to_string()).join("cat")).unwrap();
        }
        let message = read(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("at least two classes, found only dog"), "{message}");
        fs::remove_dir_all(folder.path().join("test/dog")).unwrap();
        fs::remove_dir_all(folder.path().join("train/dog")).unwrap();
        let message = read(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("at least two classes, found none"), "{message}");
    }

    #[test]
    fn a_split_that_is_missing_is_told_once() {
        let folder = pets();
        fs::remove_dir_all(folder.path().join("test")).unwrap();
        let DataError::Folder { faults, .. } = read(folder.path(), Split::Train).unwrap_err() else {
            panic!("the folder is at fault")
        };
        assert!(matches!(faults.as_slice(), [DataError::Io { path, .. }] if path.ends_with("test")), "{faults:?}");
    }

    #[test]
    fn a_jpeg_that_is_cut_off_anywhere_is_refused() {
        let folder = pets();
        let path = folder.path().join("test/cat/a.jpg");
        let mut rng = crate::ImageRng::new(1, crate::Stream::Validation, &[]);
        RgbImage::from_fn(40, 40, |_, _| Rgb([0; 3].map(|_: u8| rng.below(256) as u8))).save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        assert!(read(folder.path(), Split::Test).is_ok());
        for length in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..length]).unwrap();
            let message = read(folder.path(), Split::Test).unwrap_err().to_string();
            assert!(message.contains("a.jpg at byte"), "{length} of {}: {message}", whole.len());
        }
    }
}
