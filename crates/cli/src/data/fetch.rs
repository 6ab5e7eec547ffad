//! `rrm data fetch`: a dataset into the data folder.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use rrm_data::{
    Description,
    catalogue::{self, Absent, Catalogue, DebianPackage, RemoteFile},
};
use rrm_spec::DatasetName;
use serde_json::Value;

use super::{
    check,
    debian::{self, Unpacked},
    download::{Download, download},
};
use crate::{
    arguments::FetchArguments,
    exit::{Exit, Failure},
    folders,
    output::{Format, Output},
};

pub(super) fn run(arguments: &FetchArguments, output: Output) -> Result<Exit, Failure> {
    let name = &arguments.name;
    let catalogue = catalogue::sources(name).map_err(|absent| not_fetched(name, absent))?;
    let data_dir = match &arguments.data_dir {
        Some(folder) => folder.clone(),
        None => folders::data()?,
    };
    fs::create_dir_all(&data_dir).map_err(|error| Failure::file("make", &data_dir, &error))?;
    let _lock = lock(&data_dir, output)?;
    let fetch = Fetch { name, catalogue, data_dir: &data_dir, mirror: arguments.mirror.as_deref(), output };
    let (description, came) = fetch.run().map_err(|failure| failure.context(format!("fetch {name}")))?;
    show(&description, came, output)?;
    Ok(Exit::Done)
}

/// What to do where nobody serves the images.
fn not_fetched(name: &DatasetName, absent: Absent) -> Failure {
    let (why, next) = match absent {
        Absent::Own => {
            ("its images are your own", "put them into train/CLASS and test/CLASS of that folder in the data folder")
        }
        Absent::Registration => (
            "ImageNet is given to registered researchers only",
            "put its folders train/WNID and val/WNID, or some of them, into imagenet in the data folder",
        ),
    };
    Failure::new(Exit::Invalid, format!("{name} cannot be fetched: {why}")).next(next)
}

/// Two fetches into the same folder at once would write into each other's files.
fn lock(data_dir: &Path, output: Output) -> Result<File, Failure> {
    let path = data_dir.join(".fetch.lock");
    let file = File::create(&path).map_err(|error| Failure::file("make", &path, &error))?;
    if file.try_lock().is_err() {
        output.note("another rrm data fetch is at work on this folder: waiting for it");
        file.lock().map_err(|error| Failure::file("lock", &path, &error))?;
    }
    Ok(file)
}

/// Where the images came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    BeforeNow,
    FromDebian,
    FromItsAddress,
}

struct Fetch<'a> {
    name: &'a DatasetName,
    catalogue: &'a Catalogue,
    data_dir: &'a Path,
    mirror: Option<&'a str>,
    output: Output,
}

impl Fetch<'_> {
    fn run(&self) -> Result<(Description, Came), Failure> {
        let target = self.target();
        if target.exists() {
            match catalogue::verify(self.name, &target) {
                Ok(description) => return Ok((description, Came::BeforeNow)),
                Err(error) => {
                    self.output.note(&format!("what is there is not complete and sound ({error}): fetching it again"))
                }
            }
        }
        if let Some(description) = self.load_from_debian(debian::unpacked) {
            return Ok((description, Came::FromDebian));
        }
        self.load_from_its_address()?;
        Ok((catalogue::verify(self.name, &target)?, Came::FromItsAddress))
    }

    fn target(&self) -> PathBuf {
        self.data_dir.join(self.catalogue.folder)
    }

    /// `None` where this machine has no way to the package, or only to one whose files are not the right ones.
    fn load_from_debian(
        &self,
        unpack: impl FnOnce(DebianPackage, &Path) -> Result<Unpacked, String>,
    ) -> Option<Description> {
        let package = self.catalogue.debian_package.filter(|_| self.mirror.is_none())?;
        self.output.note(&self.source_note(package));
        let taken = unpack(package, self.data_dir)
            .and_then(|unpacked| self.take_over(package, &unpacked).map_err(|failure| failure.what().to_owned()));
        let refused = |reason: &String| {
            self.output.note(&format!("not from Debian ({reason}): from the official address"));
        };
        taken.inspect_err(refused).ok()
    }

    fn source_note(&self, package: DebianPackage) -> String {
        let (name, package_name) = (self.name, package.name);
        match debian::installed(package) {
            Some(folder) => format!("{name}: from Debian's package {package_name}, installed in {}", folder.display()),
            None => {
                let megabytes = self.catalogue.files.iter().map(|file| file.bytes).sum::<u64>() / 1_000_000;
                format!(
                    "{name}: apt-get loads Debian's package {package_name}, about {megabytes} MB, and shows no progress"
                )
            }
        }
    }

    /// Copies the package's files beside their place, verifies them there and moves them in.
    fn take_over(&self, package: DebianPackage, unpacked: &Unpacked) -> Result<Description, Failure> {
        let partial = self.data_dir.join(format!(".{}.partial", package.name));
        remove_folder(&partial)?;
        fs::create_dir(&partial).map_err(|error| Failure::file("make", &partial, &error))?;
        let taken = self.copy_and_verify(&unpacked.folder, &partial).and_then(|()| self.move_in(&partial));
        remove_folder(&partial)?;
        taken?;
        Ok(catalogue::verify(self.name, &self.target())?)
    }

    fn copy_and_verify(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        for RemoteFile { file_name, .. } in self.catalogue.files {
            let source = from.join(file_name);
            fs::copy(&source, to.join(file_name)).map_err(|error| Failure::file("copy", &source, &error))?;
        }
        catalogue::verify(self.name, to)?;
        Ok(())
    }

    fn move_in(&self, partial: &Path) -> Result<(), Failure> {
        let target = self.target();
        remove_folder(&target)?;
        fs::rename(partial, &target).map_err(|error| Failure::file("make", &target, &error))
    }

    fn load_from_its_address(&self) -> Result<(), Failure> {
        for file in self.catalogue.files {
            let folder = if file.is_archive() { self.data_dir.to_owned() } else { self.target() };
            fs::create_dir_all(&folder).map_err(|error| Failure::file("make", &folder, &error))?;
            let place = folder.join(file.file_name);
            self.load(file, &place)?;
            if file.is_archive() {
                catalogue::unpack(&place, self.data_dir)?;
                fs::remove_file(&place).map_err(|error| Failure::file("remove", &place, &error))?;
            }
        }
        Ok(())
    }

    /// Loads a file unless the right one is there.
    fn load(&self, file: &RemoteFile, place: &Path) -> Result<(), Failure> {
        if place.exists() && catalogue::sha256(place)? == file.sha256 {
            return Ok(());
        }
        let url = match self.mirror {
            Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), file.file_name),
            None => file.url.to_owned(),
        };
        self.output.note(&format!("loading {url}"));
        let bar = self.bar(file.bytes);
        let loaded = download(Download { url: &url, sha256: file.sha256, bytes: file.bytes }, place, &bar);
        bar.finish_and_clear();
        loaded
    }

    fn bar(&self, bytes: u64) -> ProgressBar {
        if !self.output.is_live() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{bar:30} {bytes:>10} of {total_bytes}  {bytes_per_sec}  {eta} left")
            .expect("the template is well-formed");
        ProgressBar::new(bytes).with_style(style)
    }
}

fn remove_folder(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::file("remove", path, &error)),
        _ => Ok(()),
    }
}

fn show(description: &Description, came: Came, output: Output) -> Result<(), Failure> {
    match output.format() {
        Format::Human if came == Came::BeforeNow => {
            output.line(&format!("{}: already there, verified", description.path.display()))
        }
        Format::Json => output.document(document(description, came)),
        Format::Human | Format::Ids => check::show(description, output),
    }
}

fn document(description: &Description, came: Came) -> Value {
    let mut document = check::document(description);
    document["source"] = match came {
        Came::BeforeNow => "already there",
        Came::FromDebian => "debian",
        Came::FromItsAddress => "download",
    }
    .into();
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_with_other_files_is_passed_over_and_leaves_nothing() {
        let (data, package) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = DatasetName::FashionMnist;
        let catalogue = catalogue::sources(&name).unwrap();
        let output = Output::new(Format::Json);
        let fetch = Fetch { name: &name, catalogue, data_dir: data.path(), mirror: None, output };
        // Nothing, then everything with the wrong content.
        for write in [false, true] {
            for file in catalogue.files.iter().filter(|_| write) {
                fs::write(package.path().join(file.file_name), "other").unwrap();
            }
            let unpacked = Unpacked::installed(package.path().to_owned());
            assert!(fetch.load_from_debian(|_, _| Ok(unpacked)).is_none());
            assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
        }
    }
}
