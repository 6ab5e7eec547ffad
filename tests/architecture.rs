//! The crate graph is the architecture: what ARCHITECTURE.md says must be absent is absent.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Which crates of ours each crate may use: the arrows of ARCHITECTURE.md.
const ARROWS: [(&str, &[&str]); 20] = [
    ("spec", &[]),
    ("kernels", &[]),
    ("losses", &[]),
    ("pickle", &[]),
    ("anatomy", &["spec"]),
    ("checkpoint", &["spec", "anatomy", "checkpoint", "pickle"]),
    ("data", &["spec", "pickle"]),
    ("models", &["spec", "kernels"]),
    ("attacks", &["spec", "data", "models", "losses"]),
    ("train", &["spec", "data", "kernels", "models", "losses", "attacks"]),
    ("bench", &["spec", "kernels", "train"]),
    ("api", &["spec"]),
    ("store", &["spec"]),
    ("recipes", &["spec"]),
    ("report", &["spec", "recipes"]),
    ("dashboard", &["spec", "store", "report"]),
    ("load", &["spec", "api"]),
    ("scheduler", &["spec", "api", "store", "dashboard"]),
    ("worker", &["spec", "api", "kernels", "train"]),
    ("cli", &["spec", "anatomy", "checkpoint", "api", "data", "recipes", "report"]),
];

const SERVING: [&str; 3] = ["tokio", "tonic", "rusqlite"];
const TENSORS: [&str; 2] = ["candle-core", "candle-nn"];

struct Graph {
    metadata: Metadata,
    edges: HashMap<PackageId, Vec<PackageId>>,
}

impl Graph {
    /// Dependencies that a build with default features links.
    fn read() -> Self {
        let manifest = root().join("Cargo.toml");
        // Of this platform alone: a build has fetched no dependency of another one.
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let options = ["--locked", "--offline", "--filter-platform", &platform];
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .other_options(options.map(str::to_owned).to_vec())
            .exec()
            .expect("cargo metadata describes the workspace");
        let resolve = metadata.resolve.as_ref().expect("metadata was asked for with dependencies");
        let edges = resolve.nodes.iter().map(|node| {
            let normal =
                node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
            (node.id.clone(), normal.map(|dep| dep.pkg.clone()).collect())
        });
        let edges = edges.collect();
        Self { metadata, edges }
    }

    fn id(&self, name: &str) -> &PackageId {
        let package = self.metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == name);
        &package.unwrap_or_else(|| panic!("{name} is a crate of the workspace")).id
    }

    fn direct(&self, name: &str) -> BTreeSet<String> {
        self.edges[self.id(name)].iter().map(|id| self.metadata[id].name.to_string()).collect()
    }

    fn linked(&self, name: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.id(name)];
        while let Some(id) = open.pop() {
            for next in &self.edges[id] {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen.into_iter().map(|id| self.metadata[id].name.to_string()).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[track_caller]
fn links_none_of(graph: &Graph, krate: &str, forbidden: &[&str]) {
    let linked = graph.linked(&format!("rrm-{krate}"));
    let found: Vec<_> = forbidden.iter().filter(|name| linked.contains(**name)).collect();
    assert!(found.is_empty(), "rrm-{krate} links {found:?}");
}

#[test]
fn crates_use_each_other_only_along_the_arrows() {
    let graph = Graph::read();
    let allowed: BTreeMap<String, BTreeSet<String>> = ARROWS
        .iter()
        .map(|(name, uses)| (format!("rrm-{name}"), uses.iter().map(|used| format!("rrm-{used}")).collect()))
        .collect();
    let members: BTreeSet<_> =
        graph.metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    assert_eq!(members, allowed.keys().cloned().collect());
    for (name, allowed) in &allowed {
        let ours: BTreeSet<_> = graph.direct(name).into_iter().filter(|used| used.starts_with("rrm-")).collect();
        assert!(ours.is_subset(allowed), "{name} uses {:?}", ours.difference(allowed).collect::<Vec<_>>());
    }
}

#[test]
fn the_vocabulary_links_no_runtime_at_all() {
    let graph = Graph::read();
    links_none_of(&graph, "spec", &["tokio", "tonic", "rusqlite", "prost", "candle-core", "rayon"]);
}

#[test]
fn what_schedules_links_no_tensors() {
    let graph = Graph::read();
    for krate in ["api", "store", "report", "dashboard", "load", "scheduler", "cli", "data", "anatomy", "pickle"] {
        links_none_of(&graph, krate, &TENSORS);
    }
}

#[test]
fn what_trains_links_no_runtime_no_wire_and_no_database() {
    let graph = Graph::read();
    for krate in ["kernels", "losses", "data", "models", "attacks", "train", "bench"] {
        links_none_of(&graph, krate, &SERVING);
        links_none_of(&graph, krate, &["prost"]);
    }
}

#[test]
fn only_api_names_the_wire_format_and_only_store_the_database() {
    let graph = Graph::read();
    for (name, _) in ARROWS {
        let direct = graph.direct(&format!("rrm-{name}"));
        assert!(
            name == "api"
                || !["prost", "prost-types", "tonic-prost", "tonic-types"].iter().any(|dep| direct.contains(*dep)),
            "rrm-{name} names prost"
        );
        assert!(
            name == "store" || !["rusqlite", "libsqlite3-sys"].iter().any(|dep| direct.contains(*dep)),
            "rrm-{name} names SQL"
        );
    }
}

/// Every file below a folder, by its path from there.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let below = entries.flat_map(|entry| {
        let path = entry.expect("a directory entry can be read").path();
        if path.is_dir() { files_below(&path) } else { vec![path] }
    });
    below.collect()
}

#[test]
fn in_the_worker_only_the_child_names_the_trainer() {
    let sources = root().join("crates/worker/src");
    let files = files_below(&sources);
    assert!(files.contains(&sources.join("attempt/trainer.rs")), "subfolders are searched, too: {files:?}");
    let naming: BTreeSet<_> = files
        .iter()
        .filter(|path| std::fs::read_to_string(path).expect("sources are text").contains("rrm_train"))
        .map(|path| path.strip_prefix(&sources).expect("it lies below").display().to_string())
        .collect();
    let allowed: BTreeSet<String> = ["exec.rs", "bench.rs"].into_iter().map(String::from).collect();
    assert!(naming.is_subset(&allowed), "{naming:?}");
    assert!(naming.contains("exec.rs"), "the child runs the trainer");
}
