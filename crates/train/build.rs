//! Names the code that computes: a hash of the sources of this crate and of all crates of ours that it uses, and of the versions of
//! all others. A commit elsewhere changes nothing, and workers for CPU and for CUDA of the same sources have the same name.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// So many hexadecimal digits of the hash tell builds apart.
const DIGITS: usize = 12;

/// What is compiled into a program; beside them lie what editors and systems leave in folders.
const SOURCES: [&str; 4] = ["rs", "cu", "tsv", "mat"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let uses = Uses::of(&root.join("crates"), "train")?;
    let mut hasher = Sha256::new();
    let mut add = |name: &str, bytes: &[u8]| {
        // Names and lengths first, so that what one part ends with is not what the next begins with.
        hasher.update(format!("{name}\0{}\0", bytes.len()));
        hasher.update(bytes);
    };
    for name in &uses.ours {
        for file in sources(&root.join("crates").join(name))? {
            add(&file.strip_prefix(&root)?.to_string_lossy(), &fs::read(&file)?);
        }
    }
    let read = |name: &str| {
        println!("cargo:rerun-if-changed={}", root.join(name).display());
        fs::read_to_string(root.join(name))
    };
    add("others", linked(&read("Cargo.lock")?, &uses.others).as_bytes());
    add("features", lines_of(&read("Cargo.toml")?, &uses.others).as_bytes());
    add("toolchain", read("rust-toolchain.toml")?.as_bytes());
    let hash: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=RRM_CODE_HASH={}", &hash[..DIGITS]);
    Ok(())
}

/// What a crate of ours links, as its manifest and those of ours list it.
#[derive(Default)]
struct Uses {
    /// Without the `rrm-` before their names; the crate itself among them.
    ours: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Uses {
    fn of(crates: &Path, first: &str) -> Result<Self, Box<dyn Error>> {
        let (mut uses, mut open) = (Self::default(), vec![first.to_owned()]);
        while let Some(name) = open.pop() {
            if !uses.ours.insert(name.clone()) {
                continue;
            }
            let manifest = fs::read_to_string(crates.join(&name).join("Cargo.toml"))?;
            let (_, section) = manifest.split_once("\n[dependencies]\n").ok_or("a manifest lists no dependencies")?;
            for used in section.lines().take_while(|line| !line.starts_with('[')).filter_map(key) {
                match used.strip_prefix("rrm-") {
                    Some(ours) => open.push(ours.to_owned()),
                    None => drop(uses.others.insert(used.to_owned())),
                }
            }
        }
        Ok(uses)
    }
}

/// What a line of a manifest is about; nothing where it is a comment or empty.
fn key(line: &str) -> Option<&str> {
    line.split(['.', ' ', '=']).next().filter(|key| !key.is_empty() && !key.starts_with('#'))
}

/// Its lines about these crates: features can change what is computed.
fn lines_of(manifest: &str, names: &BTreeSet<String>) -> String {
    manifest.lines().filter(|line| key(line).is_some_and(|key| names.contains(key))).collect::<Vec<_>>().join("\n")
}

/// The packages of the lock file that these lead to, names and versions.
fn linked(lock: &str, first: &BTreeSet<String>) -> String {
    let mut packages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let name = package.lines().find_map(|line| line.strip_prefix("name = "));
        packages.entry(name.unwrap_or_default().trim_matches('"')).or_default().push(package);
    }
    let (mut seen, mut open) = (BTreeSet::new(), first.iter().map(String::as_str).collect::<Vec<_>>());
    while let Some(name) = open.pop() {
        if seen.insert(name) {
            // Of several versions all: which one is linked does not matter to a name.
            for package in packages.get(name).into_iter().flatten() {
                let needs = package.lines().filter_map(|line| line.trim().strip_prefix('"'));
                open.extend(needs.filter_map(|line| line.split(['"', ' ']).next()));
            }
        }
    }
    seen.iter().filter_map(|name| packages.get(name)).flatten().copied().collect()
}

/// A crate's manifest and the files below its `src`, in the order of their names.
fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut open) = (vec![folder.join("Cargo.toml")], vec![folder.join("src")]);
    println!("cargo:rerun-if-changed={}", files[0].display());
    println!("cargo:rerun-if-changed={}", open[0].display());
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.is_dir() {
                open.push(path);
            } else if !hidden && extension.is_some_and(|extension| SOURCES.contains(&extension)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
