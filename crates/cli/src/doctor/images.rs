//! The data folder.

use std::{fs, path::Path};

use super::finding::{Finding, Findings};

pub(super) fn look(folder: &Path, findings: &mut Findings) {
    let named = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (!name.starts_with('.') && entry.path().is_dir()).then_some(name)
    };
    let mut sets: Vec<String> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().filter_map(named).collect(),
        Err(_) => Vec::new(),
    };
    sets.sort();
    findings.add(match sets.is_empty() {
        false => Finding::ok("data folder", format!("{}: {}", folder.display(), sets.join(", "))),
        true => Finding::warning(
            "data folder",
            format!("{} holds no images", folder.display()),
            "where this machine trains, fetch some with `rrm data fetch fashion-mnist`, or name the folder with --data-dir",
        ),
    });
}
