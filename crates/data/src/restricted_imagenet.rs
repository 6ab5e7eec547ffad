//! Restricted-ImageNet (Tsipras et al. 2019): nine super-classes out of 203 classes of an ImageNet folder,
//! `train/WNID/*` and `val/WNID/*`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{DataError, Images, Shape, Split, folder::visible_entries, images::PictureFile};

/// Where ImageNet is looked for.
pub(crate) const FOLDER: &str = "imagenet";

/// Side of an image as networks see it.
pub(crate) const SIDE: usize = 224;

/// Names of the labels. The released code has them as dog, cat, frog and so on, too, but counts 117 dogs and 14
/// monkeys; its ranges hold 118 and 18 classes (digest §4.2).
pub(crate) const CLASS_NAMES: [&str; 9] = ["dog", "cat", "frog", "turtle", "bird", "monkey", "fish", "crab", "insect"];

/// WordNet id, label and ImageNet's name of each class, sorted by the first.
const TABLE: &str = include_str!("restricted_imagenet.tsv");

/// WordNet ids and their labels.
fn table() -> impl Iterator<Item = (&'static str, u32)> {
    TABLE.lines().map(|line| {
        let mut fields = line.split('\t');
        let wnid = fields.next().expect("the table's lines begin with an id");
        let label = fields.next().and_then(|label| label.parse().ok()).expect("followed by a label");
        (wnid, label)
    })
}

fn split_folder(folder: &Path, split: Split) -> PathBuf {
    folder.join(match split {
        Split::Train => "train",
        Split::Test => "val",
    })
}

/// Whether the folder looks like one of this layout.
pub(crate) fn recognizes(folder: &Path) -> bool {
    Split::ALL.iter().any(|&split| {
        let folder = split_folder(folder, split);
        table().any(|(wnid, _)| folder.join(wnid).is_dir())
    })
}

/// Lists a split's pictures, of whichever of the 203 folders are there; others are passed over. Nothing is decoded yet.
///
/// Pictures come in the order of a hash of their names, so that the first N are a sample of all classes, and the same
/// one for everybody.
pub(crate) fn read(folder: &Path, split: Split) -> Result<Images, DataError> {
    let folder = split_folder(folder, split);
    let mut found = Vec::new();
    for (wnid, label) in table() {
        let class = folder.join(wnid);
        if class.is_dir() {
            for path in visible_entries(&class)? {
                found.push((order_key(wnid, &path), picture(path)?, label));
            }
        }
    }
    if found.is_empty() {
        let expected = "pictures in folders named n02085620, n02085782 and so on, of ImageNet's dogs, cats, frogs, turtles, birds, monkeys, \
                        fishes, crabs and insects";
        return Err(DataError::contents(folder, expected, "none"));
    }
    found.sort_by_key(|(key, ..)| *key);
    let (pictures, labels) = found.into_iter().map(|(_, picture, label)| (picture, label)).unzip();
    let shape = Shape { channels: 3, height: SIDE, width: SIDE };
    Ok(Images::of_pictures(shape, pictures, labels, CLASS_NAMES.map(str::to_owned).to_vec()))
}

fn order_key(wnid: &str, path: &Path) -> [u8; 32] {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    Sha256::new().chain_update(wnid).chain_update("/").chain_update(name).finalize().into()
}

fn picture(path: PathBuf) -> Result<PictureFile, DataError> {
    let metadata = fs::metadata(&path).map_err(DataError::io(&path))?;
    if !metadata.is_file() {
        return Err(DataError::contents(path, "a picture", "a folder"));
    }
    Ok(PictureFile { path, bytes: metadata.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_paper_s_classes() {
        let mut counts = [0; 9];
        table().for_each(|(_, label)| counts[label as usize] += 1);
        // Ranges of the released code, counted (digest §4.2).
        assert_eq!(counts, [118, 5, 3, 5, 21, 18, 9, 4, 20]);
        let wnids: Vec<&str> = table().map(|(wnid, _)| wnid).collect();
        assert!(wnids.is_sorted() && wnids.len() == 203);
        let label = |wanted| table().find(|(wnid, _)| *wnid == wanted).map(|(_, label)| label);
        // The ends of some ranges; dragonfly is in, damselfly is out, and so is the Madagascar cat.
        assert_eq!([label("n02113978"), label("n02268443"), label("n02494079")], [Some(0), Some(8), Some(5)]);
        assert_eq!([label("n02268853"), label("n02497673")], [None, None]);
    }

    fn save(folder: &Path, name: &str, colour: [u8; 3]) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(300, 260, image::Rgb(colour)).save(path).unwrap();
    }

    #[test]
    fn any_subset_of_the_folders_will_do() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "train/n02085620/a.png", [9, 0, 0]);
        save(folder.path(), "train/n02268443/b.png", [0, 7, 0]);
        save(folder.path(), "train/n01440764/tench.png", [0, 0, 0]);
        save(folder.path(), "val/n01641577/c.png", [0, 0, 5]);
        assert!(recognizes(folder.path()));
        let train = read(folder.path(), Split::Train).unwrap();
        assert_eq!(train.class_counts(), [1, 0, 0, 0, 0, 0, 0, 0, 1]);
        for i in 0..2 {
            let colour = if train.label(i) == 0 { (9, 0) } else { (0, 7) };
            let pixels = train.pixels(i).unwrap();
            assert_eq!((pixels[0], pixels[SIDE * SIDE]), colour);
        }
        let test = read(folder.path(), Split::Test).unwrap();
        assert_eq!((test.len(), test.label(0), test.class_names()[2].as_str()), (1, 2, "frog"));
    }

    #[test]
    fn the_first_images_are_a_sample_that_does_not_depend_on_the_other_folders() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..6 {
            save(folder.path(), &format!("train/n02085620/{i}.png"), [i; 3]);
            save(folder.path(), &format!("train/n02268443/{i}.png"), [i; 3]);
        }
        let order = |images: &Images, label| -> Vec<u8> {
            let own = (0..images.len()).filter(|&i| images.label(i) == label);
            own.map(|i| images.pixels(i).unwrap()[0]).collect()
        };
        let all = read(folder.path(), Split::Train).unwrap();
        let labels: Vec<u32> = (0..all.len()).map(|i| all.label(i)).collect();
        assert!(!labels.is_sorted(), "classes are mixed: {labels:?}");
        let dogs = order(&all, 0);
        fs::remove_dir_all(folder.path().join("train/n02268443")).unwrap();
        assert_eq!(order(&read(folder.path(), Split::Train).unwrap(), 0), dogs);
    }

    #[test]
    fn a_folder_without_such_classes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "train/n01440764/tench.png", [0; 3]);
        let message = read(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(
            message.contains("train: expected pictures in folders named n02085620") && message.contains("found none"),
            "{message}"
        );
        fs::create_dir_all(folder.path().join("train/n02085620/deeper")).unwrap();
        let message = read(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("deeper: expected a picture, found a folder"), "{message}");
    }
}
