//! A folder of the user's own pictures: `train/CLASS/*` and `test/CLASS/*`, PNG or JPEG.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

use crate::{DataError, Images, Picture, Shape, Split};

/// Whether the folder looks like one of this layout.
pub(crate) fn recognizes(folder: &Path) -> bool {
    Split::ALL.iter().any(|split| folder.join(split.to_string()).is_dir())
}

/// Reads a split. Labels are the positions of the classes' names in byte order; both splits must have the same.
pub(crate) fn read(folder: &Path, split: Split) -> Result<Images, DataError> {
    let classes = classes(folder)?;
    let split_folder = folder.join(split.to_string());
    let (mut files, mut labels) = (Vec::new(), Vec::new());
    for (label, class) in (0u32..).zip(&classes) {
        let pictures = visible_entries(&split_folder.join(class))?;
        labels.extend(pictures.iter().map(|_| label));
        files.extend(pictures);
    }
    if files.is_empty() {
        return Err(DataError::contents(split_folder, "pictures in the folders of classes", "none"));
    }
    Ok(Images::new(Shape::square(3), decode_all(&files)?, labels, classes))
}

/// The classes' names, in byte order.
fn classes(folder: &Path) -> Result<Vec<String>, DataError> {
    let [train, test] = Split::ALL.map(|split| folder.join(split.to_string()));
    let (names, others) = (class_names(&train)?, class_names(&test)?);
    if let Some(class) = names.iter().find(|name| !others.contains(name)) {
        return Err(DataError::contents(
            test,
            format!("the same classes as in {}", train.display()),
            format!("no folder {class}"),
        ));
    }
    if let Some(class) = others.iter().find(|name| !names.contains(name)) {
        return Err(DataError::contents(
            train,
            format!("the same classes as in {}", test.display()),
            format!("no folder {class}"),
        ));
    }
    if names.is_empty() {
        return Err(DataError::contents(train, "a folder for each class", "none"));
    }
    Ok(names)
}

fn class_names(split_folder: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for entry in visible_entries(split_folder)? {
        if !entry.is_dir() {
            return Err(DataError::contents(&entry, "a folder named for its class", "a file"));
        }
        match entry.file_name().and_then(|name| name.to_str()) {
            Some(name) => names.push(name.to_owned()),
            None => return Err(DataError::contents(&entry, "a class name in UTF-8", "other bytes")),
        }
    }
    Ok(names)
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

/// Pixels of all files in their order, decoded on all processors.
fn decode_all(files: &[PathBuf]) -> Result<Vec<u8>, DataError> {
    let len = Shape::square(3).image_len();
    let mut pixels = vec![0; files.len() * len];
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = files.len().div_ceil(threads);
    thread::scope(|scope| {
        let workers: Vec<_> = files
            .chunks(share)
            .zip(pixels.chunks_mut(share * len))
            .map(|(files, pixels)| scope.spawn(move || decode_each(files, pixels)))
            .collect();
        // The first file at fault is told, whichever thread was faster.
        workers.into_iter().try_for_each(|worker| worker.join().expect("decoding returns its errors"))
    })?;
    Ok(pixels)
}

fn decode_each(files: &[PathBuf], pixels: &mut [u8]) -> Result<(), DataError> {
    for (file, pixels) in files.iter().zip(pixels.chunks_exact_mut(Shape::square(3).image_len())) {
        decode(file, pixels)?;
    }
    Ok(())
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
    fn foreign_and_truncated_pictures_are_refused_by_name() {
        let folder = pets();
        let foreign = folder.path().join("train/cat/notes.txt");
        fs::write(&foreign, "hello").unwrap();
        let message = read(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("notes.txt at byte 0: expected a PNG or JPEG picture"), "{message}");
        let whole = fs::read(folder.path().join("train/dog/1.png")).unwrap();
        fs::remove_file(foreign).unwrap();
        fs::write(folder.path().join("train/dog/1.png"), &whole[..whole.len() / 2]).unwrap();
        let message = read(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("1.png at byte"), "{message}");
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
