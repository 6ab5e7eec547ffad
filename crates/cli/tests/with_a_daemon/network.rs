//! Networks from files.

use crate::fake::Fake;
use crate::text;

#[test]
fn a_network_is_imported_once_under_its_name_and_listed() {
    let fake = Fake::start();
    let file = format!("{}/../../tests/checkpoints/data/madry.pt", env!("CARGO_MANIFEST_DIR"));
    let import = |file: &str, name: &str| fake.rrm(&["model", "import", file, "--arch", "dnn/16", "--name", name]);
    let output = import(&file, "madry");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains(r#"{ artifact = "madry" }"#), "{output:?}");
    let (import_of_it, content) = fake.memory.imports.lock().unwrap()[0].clone();
    assert_eq!((import_of_it.name.as_str(), import_of_it.bytes), ("madry", content.len() as u64));
    assert!(import_of_it.origin.starts_with("madry.pt sha256:"), "{}", import_of_it.origin);
    let listed = fake.json(&["model", "list", "--imported"]);
    assert_eq!(listed["imports"][0]["network"]["arch"], "dnn/16");
    // The same name for another network.
    let other = file.replace("madry.pt", "authors_legacy.pt");
    let arguments =
        ["model", "import", &other, "--arch", "dnn/16", "--name", "madry", "--normalization", "cifar10-fast"];
    let refused = fake.rrm(&arguments);
    assert_eq!(refused.status.code(), Some(8), "{refused:?}");
    assert!(text(&refused.stderr).contains("choose another --name"), "{refused:?}");
    let unknown = fake.rrm(&["model", "export", "nobody", "-o", "x.safetensors"]);
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");
}
