//! Where collections come from: official addresses, hashes, unpacking and verification. Nothing here uses the network.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Component, Path, PathBuf},
};

use flate2::read::{GzDecoder, MultiGzDecoder};
use rrm_spec::DatasetName;
use sha2::{Digest, Sha256};

use crate::{DataError, Description, Split, check, cifar_binary, cifar_python, fashion_mnist, svhn};

/// A file as its publisher serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// The official address.
    pub url: &'static str,
    /// The address's last part.
    pub file_name: &'static str,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: &'static str,
    /// Its size.
    pub bytes: u64,
}

impl RemoteFile {
    /// Whether it is to be [unpacked](unpack) into the data directory; other files are to lie in the catalogue's folder.
    pub fn is_archive(&self) -> bool {
        self.file_name.ends_with(".tar.gz")
    }
}

/// A package of Debian that holds the same files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebianPackage {
    /// Its name.
    pub name: &'static str,
    /// Where the files lie in the unpacked package.
    pub folder: &'static str,
}

/// What makes up a collection, and where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// Its folder in the data directory.
    pub folder: &'static str,
    /// All files that are needed.
    pub files: &'static [RemoteFile],
    /// Where apt may serve it.
    pub debian_package: Option<DebianPackage>,
}

/// CIFAR-10 (Krizhevsky 2009) in the binary layout.
pub static CIFAR10: Catalogue = Catalogue {
    folder: cifar_binary::CIFAR10.folder,
    files: &[RemoteFile {
        url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        file_name: "cifar-10-binary.tar.gz",
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        bytes: 170_052_171,
    }],
    debian_package: None,
};

/// CIFAR-10 in the python layout.
pub static CIFAR10_PYTHON: Catalogue = Catalogue {
    folder: cifar_python::CIFAR10.folder,
    files: &[RemoteFile {
        url: "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        file_name: "cifar-10-python.tar.gz",
        sha256: "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        bytes: 170_498_071,
    }],
    debian_package: None,
};

/// CIFAR-100 (Krizhevsky 2009) in the binary layout.
pub static CIFAR100: Catalogue = Catalogue {
    folder: cifar_binary::CIFAR100.folder,
    files: &[RemoteFile {
        url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        file_name: "cifar-100-binary.tar.gz",
        sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        bytes: 168_513_733,
    }],
    debian_package: None,
};

/// CIFAR-100 in the python layout.
pub static CIFAR100_PYTHON: Catalogue = Catalogue {
    folder: cifar_python::CIFAR100.folder,
    files: &[RemoteFile {
        url: "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        file_name: "cifar-100-python.tar.gz",
        sha256: "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        bytes: 169_001_437,
    }],
    debian_package: None,
};

/// SVHN (Netzer et al. 2011), the cropped digits without the extra ones.
pub static SVHN: Catalogue = Catalogue {
    folder: svhn::FOLDER,
    files: &[
        RemoteFile {
            url: "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
            file_name: "train_32x32.mat",
            sha256: "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            bytes: 182_040_794,
        },
        RemoteFile {
            url: "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
            file_name: "test_32x32.mat",
            sha256: "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            bytes: 64_275_384,
        },
    ],
    debian_package: None,
};

/// Fashion-MNIST (Xiao, Rasul, Vollgraf 2017). Debian's files hold the same bytes under other gzip headers.
pub static FASHION_MNIST: Catalogue = Catalogue {
    folder: fashion_mnist::FOLDER,
    files: &[
        RemoteFile {
            url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
            file_name: "train-images-idx3-ubyte.gz",
            sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            bytes: 26_421_880,
        },
        RemoteFile {
            url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
            file_name: "train-labels-idx1-ubyte.gz",
            sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            bytes: 29_515,
        },
        RemoteFile {
            url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
            file_name: "t10k-images-idx3-ubyte.gz",
            sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            bytes: 4_422_102,
        },
        RemoteFile {
            url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
            file_name: "t10k-labels-idx1-ubyte.gz",
            sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            bytes: 5_148,
        },
    ],
    debian_package: Some(DebianPackage { name: "dataset-fashion-mnist", folder: "usr/share/datasets/fashion-mnist" }),
};

/// SHA-256 of Fashion-MNIST's uncompressed files: what the official and Debian's have in common.
const FASHION_MNIST_CONTENTS: [(&str, &str); 4] = [
    ("train-images-idx3-ubyte.gz", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    ("train-labels-idx1-ubyte.gz", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ("t10k-images-idx3-ubyte.gz", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    ("t10k-labels-idx1-ubyte.gz", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
];

/// Why a collection has no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is the user's own.
    Own,
    /// Its publisher wants a registration.
    Registration,
}

/// The entry of a collection.
///
/// # Errors
/// Why there is none.
pub fn sources(name: &DatasetName) -> Result<&'static Catalogue, Absent> {
    match name {
        DatasetName::Cifar10 => Ok(&CIFAR10),
        DatasetName::Cifar100 => Ok(&CIFAR100),
        DatasetName::Svhn => Ok(&SVHN),
        DatasetName::FashionMnist => Ok(&FASHION_MNIST),
        DatasetName::RestrictedImageNet => Err(Absent::Registration),
        DatasetName::Folder(_) => Err(Absent::Own),
    }
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// Where the file cannot be read.
pub fn sha256(file: &Path) -> Result<String, DataError> {
    hash(File::open(file).map_err(DataError::io(file))?).map_err(DataError::io(file))
}

fn hash(mut stream: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Reads a fetched collection whole and compares it with the official one.
///
/// Numbers of images and classes always are; Fashion-MNIST's content is by SHA-256 too. The others' is not: their files
/// were when they came.
///
/// # Errors
/// Where a file is not what it should be, or is sound but another collection's.
pub fn verify(name: &DatasetName, folder: &Path) -> Result<Description, DataError> {
    let description = check(folder)?;
    let expected = match name {
        DatasetName::Cifar10 | DatasetName::Cifar100 => Some((50_000, 10_000)),
        DatasetName::Svhn => Some((73_257, 26_032)),
        DatasetName::FashionMnist => Some((60_000, 10_000)),
        DatasetName::RestrictedImageNet | DatasetName::Folder(_) => None,
    };
    let found = (description.count(Split::Train), description.count(Split::Test));
    if let Some(expected) = expected.filter(|&expected| expected != found) {
        let text = |(train, test)| format!("{train} training and {test} test images");
        return Err(DataError::contents(folder, text(expected), text(found)));
    }
    if *name == DatasetName::FashionMnist {
        verify_contents(folder, &FASHION_MNIST_CONTENTS)?;
    }
    Ok(description)
}

fn verify_contents(folder: &Path, contents: &[(&str, &str)]) -> Result<(), DataError> {
    for (file, expected) in contents {
        let path = folder.join(file);
        let stream = MultiGzDecoder::new(BufReader::new(File::open(&path).map_err(DataError::io(&path))?));
        let found = hash(stream).map_err(DataError::io(&path))?;
        if found != *expected {
            let what = "uncompressed content with SHA-256";
            return Err(DataError::contents(path, format!("{what} {expected}"), found));
        }
    }
    Ok(())
}

/// Unpacks a `.tar.gz` of plain files and folders.
///
/// It is unpacked beside its place and renamed at the end, so that a folder of a collection is whole or absent. What an
/// interrupted try left behind is removed; a folder of the same name is replaced.
///
/// # Errors
/// Where the archive is damaged, cannot be written, or holds links, devices or paths that lead out of `into`.
pub fn unpack(archive: &Path, into: &Path) -> Result<(), DataError> {
    fs::create_dir_all(into).map_err(DataError::io(into))?;
    let partial = into.join(partial_name(archive));
    remove(&partial)?;
    fs::create_dir(&partial).map_err(DataError::io(&partial))?;
    let unpacked = unpack_entries(archive, &partial).and_then(|()| move_entries(&partial, into));
    remove(&partial)?;
    unpacked
}

fn partial_name(archive: &Path) -> PathBuf {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!(".{name}.partial"))
}

fn unpack_entries(archive: &Path, into: &Path) -> Result<(), DataError> {
    let file = File::open(archive).map_err(DataError::io(archive))?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    for entry in tar.entries().map_err(DataError::io(archive))? {
        let mut entry = entry.map_err(DataError::io(archive))?;
        let path = entry.path().map_err(DataError::io(archive))?.into_owned();
        let (offset, kind) = (entry.raw_header_position(), entry.header().entry_type());
        let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || !(kind.is_file() || kind.is_dir()) {
            let found = format!("{} ({kind:?})", path.display());
            return Err(DataError::malformed(archive, offset, "a plain file or folder below the archive's top", found));
        }
        let target = into.join(&path);
        if kind.is_dir() {
            fs::create_dir_all(&target).map_err(DataError::io(&target))?;
        } else {
            // Written by hand: nothing of the archive but names and bytes is taken over, no owner, no mode, no time.
            let parent = target.parent().unwrap_or(into);
            fs::create_dir_all(parent).map_err(DataError::io(parent))?;
            let mut file = File::create(&target).map_err(DataError::io(&target))?;
            io::copy(&mut entry, &mut file).map_err(DataError::io(archive))?;
            file.sync_all().map_err(DataError::io(&target))?;
        }
    }
    Ok(())
}

fn move_entries(from: &Path, into: &Path) -> Result<(), DataError> {
    for entry in fs::read_dir(from).map_err(DataError::io(from))? {
        let entry = entry.map_err(DataError::io(from))?;
        let target = into.join(entry.file_name());
        remove(&target)?;
        fs::rename(entry.path(), &target).map_err(DataError::io(&target))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), DataError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DataError::io(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use tar::{Builder, EntryType, Header};

    use super::*;

    /// A .tar.gz with one entry of that name, kind and content.
    fn archive(folder: &Path, name: &str, kind: EntryType, content: &[u8]) -> PathBuf {
        let path = folder.join("archive.tar.gz");
        let mut tar = Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::fast()));
        let mut header = Header::new_old();
        // Not `set_path`, which refuses hostile names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o777);
        if kind == EntryType::Symlink {
            header.set_link_name("/etc").unwrap();
        }
        header.set_cksum();
        tar.append(&header, content).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn an_archive_replaces_what_an_earlier_one_left() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        fs::create_dir_all(data.join("images")).unwrap();
        fs::write(data.join("images/stale"), "old").unwrap();
        fs::create_dir_all(data.join(".archive.tar.gz.partial/images")).unwrap();
        let archive = archive(temp.path(), "images/a.bin", EntryType::Regular, b"abc");
        unpack(&archive, &data).unwrap();
        assert_eq!(fs::read(data.join("images/a.bin")).unwrap(), b"abc");
        assert!(!data.join("images/stale").exists() && !data.join(".archive.tar.gz.partial").exists());
    }

    #[test]
    fn an_archive_cannot_reach_out_of_the_folder() {
        for (name, kind) in [
            ("../escaped", EntryType::Regular),
            ("images/../../escaped", EntryType::Regular),
            ("/tmp/rrm-escaped", EntryType::Regular),
            ("link", EntryType::Symlink),
            ("device", EntryType::Char),
        ] {
            let temp = tempfile::tempdir().unwrap();
            let data = temp.path().join("data");
            let archive = archive(temp.path(), name, kind, b"");
            let message = unpack(&archive, &data).unwrap_err().to_string();
            assert!(message.contains("below the archive's top"), "{name}: {message}");
            assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "{name}");
            assert!(!temp.path().join("escaped").exists());
        }
    }

    #[test]
    fn a_truncated_archive_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let noise: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let archive = archive(temp.path(), "images/a.bin", EntryType::Regular, &noise);
        let bytes = fs::read(&archive).unwrap();
        fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
        let data = temp.path().join("data");
        assert!(unpack(&archive, &data).is_err());
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    }

    #[test]
    fn hashes_are_sha256_in_hexadecimal() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("abc"), "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&temp.path().join("abc")).unwrap(), expected);
    }

    #[test]
    fn every_address_ends_in_its_file_and_every_hash_is_one() {
        for catalogue in [&CIFAR10, &CIFAR10_PYTHON, &CIFAR100, &CIFAR100_PYTHON, &SVHN, &FASHION_MNIST] {
            for file in catalogue.files {
                assert!(file.url.ends_with(&format!("/{}", file.file_name)), "{}", file.url);
                assert_eq!(hex::decode(file.sha256).unwrap().len(), 32);
            }
        }
    }
}
