//! Names the code that computes: a hash of the sources of this crate and of all crates of ours that it uses, and of the versions of
//! all others. A commit elsewhere changes nothing, and workers for CPU and for CUDA of the same sources have the same name.

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// So many hexadecimal digits of the hash tell builds apart.
const DIGITS: usize = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let crates = with_those_it_uses(&root.join("crates"), "train")?;
    let mut files = vec![root.join("Cargo.lock")];
    for name in crates {
        let folder = root.join("crates").join(name);
        files.push(folder.join("Cargo.toml"));
        println!("cargo:rerun-if-changed={}", folder.join("src").display());
        sources(&folder.join("src"), &mut files)?;
    }
    println!("cargo:rerun-if-changed=build.rs");
    let mut hasher = Sha256::new();
    for file in files {
        println!("cargo:rerun-if-changed={}", file.display());
        let (name, bytes) = (file.strip_prefix(&root)?, fs::read(&file)?);
        // Names and lengths first, so that what one file ends with is not what the next begins with.
        hasher.update(format!("{}\0{}\0", name.display(), bytes.len()));
        hasher.update(bytes);
    }
    let hash: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo:rustc-env=RRM_CODE_HASH={}", &hash[..DIGITS]);
    Ok(())
}

/// A crate and those of ours that it links, as its manifest and theirs list them.
fn with_those_it_uses(crates: &Path, first: &str) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let (mut found, mut open) = (BTreeSet::new(), vec![first.to_owned()]);
    while let Some(name) = open.pop() {
        if !found.insert(name.clone()) {
            continue;
        }
        let manifest = fs::read_to_string(crates.join(&name).join("Cargo.toml"))?;
        let linked = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
        let linked = linked.take_while(|line| !line.starts_with('['));
        let ours = linked.filter_map(|line| line.strip_prefix("rrm-"));
        open.extend(ours.filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned));
    }
    Ok(found)
}

/// The files below a folder, in the order of their names.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    let mut entries =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() { sources(&path, into)? } else { into.push(path) }
    }
    Ok(())
}
