//! Clients that are not ours: generated from the proto files, or knowing nothing but what the daemon tells of itself.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::lab::{Lab, text};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A Python with gRPC's stock libraries, if there is one: `RRM_API_PYTHON`, the one that `tests/api/venv.sh` makes, or `python3`.
fn python() -> Option<PathBuf> {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("api-venv").join("bin/python");
    let named = std::env::var_os("RRM_API_PYTHON").map(PathBuf::from);
    let imports = "import grpc_tools, grpc_reflection, grpc_health, grpc_status";
    let found = named.into_iter().chain([made, "python3".into()]).find(|program| {
        Command::new(program).args(["-c", imports]).output().is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        // Not `eprintln!`, which the test harness keeps to itself as long as a test passes.
        let why = "no Python has gRPC's libraries: tests/api/venv.sh makes one, RRM_API_PYTHON names another";
        let mut terminal = std::io::stderr();
        writeln!(terminal, "SKIPPED clients of other languages: {why}").unwrap();
    }
    found
}

/// The Python program of docs/api.md.
fn example() -> String {
    let page = std::fs::read_to_string(repository().join("docs/api.md")).expect("the page is there");
    let code = page.split("```python\n").nth(1).expect("the page has a program");
    code.split("```").next().expect("the program has an end").to_owned()
}

/// Generates a client into the laboratory's folder, as the page says.
fn generate(python: &Path, lab: &Lab) {
    let client = lab.path("client");
    std::fs::create_dir(&client).expect("the test's folder can be written");
    let proto = repository().join("proto");
    let files = std::fs::read_dir(proto.join("rrm/v1")).expect("the proto files are there");
    let mut command = Command::new(python);
    command.args(["-m", "grpc_tools.protoc"]).arg("-I").arg(&proto);
    for option in ["python_out", "grpc_python_out"] {
        command.arg(format!("--{option}={}", client.display()));
    }
    let output =
        command.args(files.map(|file| file.expect("it can be listed").path())).output().expect("Python starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_client_generated_from_the_proto_files_submits_follows_and_reads_and_stock_tools_find_their_way() {
    let lab = Lab::open();
    let Some(python) = python() else { return };
    generate(&python, &lab);
    let path = |name: &str| lab.path(name).to_str().expect("temporary folders have plain names").to_owned();
    for (user, role) in [("bob", "submit"), ("ada", "read")] {
        let file = path(&format!("token-{user}"));
        let added = lab.rrm(&["admin", "token", "add", "--user", user, "--role", role, "--output", &file]);
        assert!(added.status.success(), "{}", text(&added.stderr));
    }
    let _worker = lab.start_worker("worker");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.arg(program).arg(lab.address()).args(arguments).env("PYTHONPATH", lab.path("client"));
        let output = command.output().expect("Python starts");
        assert!(output.status.success(), "{}\n{}", text(&output.stderr), lab.logs());
        text(&output.stdout)
    };
    std::fs::write(lab.path("example.py"), example()).expect("the test's folder can be written");
    let told = run(&path("example.py"), &[&path("token-bob"), "bars"]);
    for line in ["network succeeded", "attacked succeeded", "network: epoch 2, loss", "attacked: robust "] {
        assert!(told.contains(line), "{line} is missing in:\n{told}");
    }
    let stock = repository().join("tests/api/stock.py").display().to_string();
    let held = run(&stock, &[&path("token-bob"), &path("token-ada")]);
    let checks = ["health", "reflection", "call by descriptor", "faults", "thousands of faults", "refusals"];
    assert_eq!(held.lines().collect::<Vec<_>>(), checks);
    // What Python's client submitted is bob's, and he is on record for it.
    let audit = "select distinct user || ' ' || role from audit where kind = 'submission'";
    assert_eq!(lab.column(audit), ["bob submit"]);
}
