//! Networks that others trained: imported, attacked, taught from, and given back to PyTorch.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::lab::{Lab, text};

const CLASSES: u32 = 10;

fn checkpoints() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/checkpoints")
}

/// A file that PyTorch wrote.
fn checkpoint(name: &str) -> String {
    checkpoints().join("data").join(name).display().to_string()
}

/// What PyTorch computed with `bare.pt`.
fn logits_of_pytorch() -> Vec<f64> {
    let text = std::fs::read_to_string(checkpoint("expected.json")).expect("the file is committed");
    let expected: Value = serde_json::from_str(&text).expect("the file is JSON");
    serde_json::from_value(expected["f32"].clone()).expect("ten numbers")
}

/// The image of `tests/checkpoints/networks.py`.
fn image() -> RgbImage {
    let byte = |channel: u32, x: u32, y: u32| ((((channel * 32 + y) * 32 + x) * 37 + 11) % 256) as u8;
    RgbImage::from_fn(32, 32, |x, y| Rgb([0, 1, 2].map(|channel| byte(channel, x, y))))
}

/// The image as the only one of each of ten classes.
fn write_images(data: &Path) {
    for (split, class) in ["train", "test"].into_iter().flat_map(|split| (0..CLASSES).map(move |class| (split, class)))
    {
        let folder = data.join("ten").join(split).join(format!("class{class}"));
        std::fs::create_dir_all(&folder).expect("the test's folder can be made");
        image().save(folder.join("one.png")).expect("a picture can be written");
    }
}

const PLAN: &str = r#"
    name = "imported"

    [[job]]
    name = "attacked"
    kind = "evaluate"
    model = { artifact = "pytorch" }
    dataset = { name = "folder:ten" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 5 }
    batch_size = 4
    seed = 0

    [[job]]
    name = "student"
    kind = "train"
    arch = "resnet18/16"
    dataset = { name = "folder:bars" }
    method = { kind = "rrm", teacher = { artifact = "sha256:HASH" }, representation_loss = "cosine", lambda = 0.005 }
    optimizer = { learning_rate = 0.05, schedule = { kind = "cosine" } }
    epochs = 2
    batch_size = 16
    seed = 1
"#;

/// A Python with PyTorch, if there is one: `RRM_PYTHON`, or `python3`.
fn python() -> Option<Command> {
    let program = std::env::var("RRM_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let check = Command::new(&program).args(["-c", "import torch, numpy, safetensors"]).output();
    if check.is_ok_and(|output| output.status.success()) {
        return Some(Command::new(program));
    }
    // Not `eprintln!`, which the test harness keeps to itself as long as a test passes.
    let why = "has no torch, numpy and safetensors; RRM_PYTHON names another Python";
    let mut terminal = std::io::stderr();
    writeln!(terminal, "SKIPPED PyTorch's word on an export: {program} {why}").unwrap();
    None
}

/// The logits that PyTorch computes with an exported file.
fn loaded_by_pytorch(mut python: Command, arguments: &[&str]) -> Vec<f64> {
    let output = python.arg(checkpoints().join("load.py")).args(arguments).output().expect("Python starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("numbers as JSON")
}

#[track_caller]
fn done(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.rrm(arguments);
    assert!(output.status.success(), "{arguments:?}: {}\n{}", text(&output.stderr), lab.logs());
    text(&output.stdout)
}

#[test]
fn a_network_of_pytorch_is_attacked_teaches_and_goes_back() {
    let lab = Lab::open();
    write_images(&lab.path("data"));
    let file = checkpoint("bare.pt");
    let arguments = ["--arch", "dnn/16", "--normalization", "cifar10-madry", "--name", "pytorch"];
    let hash = done(&lab, &[&["-q", "model", "import", &file][..], &arguments].concat());
    let _worker = lab.start_worker("worker");
    let jobs = lab.submit(&PLAN.replace("sha256:HASH", hash.trim()));
    lab.success(jobs[0]);

    let expected = logits_of_pytorch();
    let likeliest = (0..10).max_by(|&a, &b| expected[a].total_cmp(&expected[b])).expect("there are ten");
    let predictions = lab.column("select distinct cast(prediction as text) from image_outcome");
    assert_eq!(predictions, [likeliest.to_string()], "every image is the same, and PyTorch knows its class");
    let evaluation = &lab.job(jobs[0])["evaluations"][0];
    assert_eq!(evaluation["natural"]["correct"], 1);
    assert_eq!(format!("sha256:{}", evaluation["weights"].as_str().expect("a hash")), hash.trim());
    let named = lab.column("select model from evaluations");
    assert_eq!(named, [format!("pytorch@{}", hash.trim())]);

    lab.success(jobs[1]);
    assert_eq!(lab.column("select teacher from runs where teacher is not null"), [format!("pytorch@{}", hash.trim())]);
    let (exported, student) = (lab.path("pytorch.safetensors"), lab.path("student.safetensors"));
    let path = |path: &Path| path.to_str().expect("temporary folders have plain names").to_owned();
    done(&lab, &["model", "export", "pytorch", "-o", &path(&exported)]);
    done(&lab, &["model", "export", "@student", "-o", &path(&student)]);
    let Some(interpreter) = python() else { return };
    let found = loaded_by_pytorch(interpreter, &["dnn/16", &path(&exported)]);
    assert_eq!(found, expected);
    let interpreter = python().expect("it was there a moment ago");
    assert_eq!(loaded_by_pytorch(interpreter, &["resnet18/16", &path(&student)]).len(), 3);
}

#[test]
fn a_plan_that_names_a_network_that_is_not_there_or_does_not_fit_is_refused_whole() {
    let lab = Lab::open();
    let plan = PLAN.replace("sha256:HASH", "nobody");
    let refused = lab.rrm(&["submit", &lab.plan(&plan)]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("the network pytorch (named by `attacked`)"), "{refused:?}");
    let arguments = ["--arch", "dnn/16", "--normalization", "cifar10-madry", "--name", "pytorch"];
    done(&lab, &[&["model", "import", &checkpoint("bare.pt")][..], &arguments].concat());
    let grey = PLAN.replace("sha256:HASH", "pytorch").replace("folder:ten", "fashion-mnist");
    let refused = text(&lab.rrm(&["submit", &lab.plan(&grey)]).stderr);
    assert!(refused.contains("job.attacked.model.artifact = pytorch: must take 1×32×32 images"), "{refused}");
}
