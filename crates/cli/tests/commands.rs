//! The commands that need no daemon, as users run them.

use std::{
    fs,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

const PLAN: &str = r#"
    name = "two"
    [defaults.train]
    dataset = { name = "cifar10" }
    arch = "resnet18/4"
    epochs = 2
    batch_size = 64
    optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }

    [[job]]
    name = "control"
    kind = "train"
    method = { kind = "natural" }
    [job.sweep]
    seed = [0, 1]

    [[job]]
    name = "attack"
    kind = "evaluate"
    model = { job = "control" }
    dataset = { name = "cifar10" }
    attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 20, restarts = 5 }
    batch_size = 100
    seed = 0
"#;

/// `rrm` in an empty home, without a daemon.
fn rrm(home: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rrm")).args(arguments).env_clear().env("HOME", home.path()).output().unwrap()
}

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn plan(home: &TempDir, text: &str) -> String {
    let path = home.path().join("plan.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn document(output: &Output) -> Value {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(document["schema"], 1, "{document}");
    document
}

#[test]
fn a_dry_run_shows_the_expanded_plan_and_asks_no_daemon() {
    let home = home();
    let output = rrm(&home, &["submit", "--dry-run", &plan(&home, PLAN)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 5, "{text}");
    for part in ["control[seed=0]", "control[seed=1]", "attack[seed=1]", "APGD-CE 20x5", "resnet18/4"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(stderr(&output).contains("4 jobs, none of them submitted"), "{output:?}");
}

/// The attacks of a page's TOML.
fn attacks_of(page: &str) -> Vec<String> {
    let blocks = page.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(|block| block.split("\nattack = ").skip(1)).map(first_value).collect()
}

/// The first line, and the indented ones that go on with it.
fn first_value(text: &str) -> String {
    let first = text.lines().next().into_iter();
    let lines = first.chain(text.lines().skip(1).take_while(|line| line.starts_with(' ')));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_dry_run_takes_every_attack_of_the_manual_as_it_stands_there() {
    let home = home();
    let attacks = attacks_of(include_str!("../../../docs/attacks.md"));
    assert!(attacks.len() > 15, "{attacks:#?}");
    assert!(attacks.iter().any(|attack| attack.contains("dialect = \"art\"")), "{attacks:#?}");
    let mut text = PLAN.to_owned();
    for (number, attack) in attacks.iter().enumerate() {
        let teacher = if attack.contains("adaptive") { "teacher = { job = \"control\" }\n" } else { "" };
        text += &format!(
            "[[job]]\nname = \"example{number}\"\nkind = \"evaluate\"\nmodel = {{ job = \"control\" }}\n\
             dataset = {{ name = \"cifar10\" }}\nbatch_size = 100\nseed = 0\n{teacher}attack = {attack}\n"
        );
    }
    let output = rrm(&home, &["submit", "--dry-run", &plan(&home, &text)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let jobs = 4 + 2 * attacks.len();
    assert!(stderr(&output).contains(&format!("{jobs} jobs, none of them submitted")), "{output:?}");
}

#[test]
fn a_dry_run_in_json_is_the_plan() {
    let home = home();
    let document = document(&rrm(&home, &["--json", "submit", "--dry-run", &plan(&home, PLAN)]));
    let jobs = document["plan"]["jobs"].as_array().unwrap();
    assert_eq!((jobs.len(), &jobs[0]["spec"]["arch"]), (4, &"resnet18/4".into()));
}

#[test]
fn a_plan_may_come_from_standard_input() {
    let home = home();
    let file = fs::File::open(plan(&home, PLAN)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rrm")).args(["-q", "submit", "--dry-run", "-"]).stdin(file).output();
    assert_eq!(stdout(&output.unwrap()).lines().next(), Some("control[seed=0]"));
}

#[test]
fn every_fault_of_a_plan_is_printed_and_the_exit_code_is_2() {
    let home = home();
    let broken = PLAN.replace("epochs = 2", "epochs = 0\nepoch = 2").replace("resnet18/4", "resnet18/5");
    let broken = broken.replace("\"control\" }", "\"nobody\" }");
    let output = rrm(&home, &["submit", &plan(&home, &broken)]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for part in ["epochs", "epoch ", "resnet18/5", "nobody", "plan.toml", "next:"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert_eq!(stdout(&output), "", "errors are not data");
}

#[test]
fn faults_are_data_for_programs() {
    let home = home();
    let output = rrm(&home, &["--json", "submit", &plan(&home, &PLAN.replace("epochs = 2", "epochs = 0"))]);
    let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!((&error["schema"], &error["error"]["exit_code"]), (&1.into(), &2.into()));
    assert!(error["error"]["violations"][0]["field"].as_str().unwrap().contains("epochs"), "{error}");
}

#[test]
fn a_plan_that_is_not_there_is_not_found() {
    let home = home();
    let output = rrm(&home, &["submit", "no-such-plan.toml"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(stderr(&output).contains("no-such-plan.toml"));
}

#[test]
fn a_plan_that_is_no_text_is_invalid() {
    let home = home();
    let latin1 = home.path().join("latin1.toml");
    fs::write(&latin1, b"name = \"caf\xe9\"").unwrap();
    for path in [latin1.as_path(), home.path()] {
        let path = path.to_str().unwrap();
        let output = rrm(&home, &["submit", path]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains(path) && stderr(&output).contains("next:  name a file of text"), "{output:?}");
    }
}

#[test]
fn a_plan_that_does_not_come_is_waited_for_no_longer_than_allowed() {
    let home = home();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rrm"));
    command.args(["submit", "-", "--timeout", "0.5"]).env_clear().env("HOME", home.path());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    // Its end would be an empty plan, which is invalid.
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(10));
        drop(stdin);
    });
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(!stderr(&output).contains("--request-id"), "nothing was sent: {output:?}");
}

#[test]
fn a_figure_is_not_drawn_into_a_file_of_another_format() {
    let home = home();
    // Said before the daemon is asked, of which there is none.
    for name in ["x.pdf", "x.csv", "x"] {
        let output =
            rrm(&home, &["--server", "http://127.0.0.1:9", "--token-file", &token(&home), "report", "--figure", name]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains(name) && stderr(&output).contains("use svg or png"), "{output:?}");
    }
}

/// A file with a token.
fn token(home: &TempDir) -> String {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let path = home.path().join("token");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
    file.write_all(b"user-0123456789abcdef").unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn without_a_daemon_the_exit_code_is_6_and_the_next_step_is_named() {
    let home = home();
    for arguments in [&["list"][..], &["wait", "1"], &["report"], &["worker", "list"], &["cancel", "1"]] {
        let output = rrm(&home, arguments);
        assert_eq!(output.status.code(), Some(6), "{arguments:?}: {output:?}");
        assert!(stderr(&output).contains("rrmd serve"), "{output:?}");
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    let home = home();
    assert_eq!(rrm(&home, &["frobnicate"]).status.code(), Some(2));
    assert_eq!(rrm(&home, &["data", "fetch", "folder:mine"]).status.code(), Some(2));
    let help = rrm(&home, &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("Exit codes:") && stdout(&help).contains("rrm submit plan.toml"));
}

#[test]
fn wrong_usage_is_a_json_failure_for_programs() {
    let home = home();
    for arguments in [&["--json", "list", "--stat", "failed"][..], &["wait", "--json"], &["--json"]] {
        let output = rrm(&home, arguments);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()), "{arguments:?}");
        let failure: Value = serde_json::from_str(&stderr(&output)).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        assert_eq!((&failure["schema"], &failure["error"]["exit_code"]), (&1.into(), &2.into()), "{failure}");
    }
    let what = stderr(&rrm(&home, &["--json", "list", "--stat", "failed"]));
    assert!(what.contains("--stat"), "{what}");
}

#[test]
fn versions_are_printed_for_people_and_programs() {
    let home = home();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(stdout(&rrm(&home, &["version"])), format!("rrm {version}\n"));
    assert_eq!(document(&rrm(&home, &["--json", "version"]))["version"], version);
}

#[test]
fn options_may_come_from_the_environment() {
    for (value, starts) in [("1", "{"), ("true", "{"), ("0", "rrm"), ("", "rrm")] {
        let output = Command::new(env!("CARGO_BIN_EXE_rrm")).arg("version").env("RRM_JSON", value).output().unwrap();
        assert!(stdout(&output).starts_with(starts), "{value}: {output:?}");
    }
}

#[test]
fn shells_get_scripts_that_know_every_command() {
    let home = home();
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&rrm(&home, &["completion", shell]));
        for command in ["submit", "watch", "report", "completion"] {
            assert!(script.contains(command), "{command} is missing for {shell}");
        }
    }
}

#[test]
fn architectures_are_listed_with_what_they_cost() {
    let home = home();
    let listed = document(&rrm(&home, &["--json", "model", "list"]));
    let resnet18 = listed["architectures"].as_array().unwrap().iter().find(|it| it["arch"] == "resnet18").unwrap();
    assert_eq!((&resnet18["parameters"], &resnet18["multiply_adds"]), (&11_173_962.into(), &555_422_720.into()));
    let table = stdout(&rrm(&home, &["model", "list"]));
    assert!(table.contains("24 554 570") && table.contains("3×224×224"), "{table}");
    assert_eq!(stdout(&rrm(&home, &["-q", "model", "list"])).lines().count(), 9);
}

#[test]
fn an_architecture_is_shown_layer_by_layer() {
    let home = home();
    let text = stdout(&rrm(&home, &["model", "show", "resnet50/16"]));
    let first = text.lines().next().unwrap();
    assert_eq!(
        first,
        "resnet50/16: images of 3×32×32, 10 classes, representation of 32, by an adapter from 128 features"
    );
    for part in ["layer2.0.shortcut.0", "conv 1×1 stride 2", "sum, ReLU", "added_linear"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let preact = stdout(&rrm(&home, &["model", "show", "preactresnet18/16"]));
    for part in ["layer2.0.shortcut.0", "sum", "layer4.1.bn2"] {
        assert!(preact.contains(part), "{part} is missing in {preact}");
    }
    assert!(!preact.contains("sum, ReLU"), "{preact}");
    let plain = stdout(&rrm(&home, &["-q", "model", "show", "resnet50/16", "--adapter", "none", "--classes", "7"]));
    assert!(plain.contains("linear.weight") && !plain.contains("added_linear"), "{plain}");
    let keys = stdout(&rrm(&home, &["model", "show", "vgg11", "--keys", "--channels", "1"]));
    assert!(
        keys.contains("features.1.num_batches_tracked ") && keys.contains("scalar") && keys.contains("64×1×3×3"),
        "{keys}"
    );
    let refused = rrm(&home, &["--json", "model", "show", "dnn", "--classes", "0"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(stderr(&refused).contains("must be 1 to 65536"), "{refused:?}");
    assert_eq!(rrm(&home, &["model", "show", "resnet34"]).status.code(), Some(2));
}

#[test]
fn recipes_are_listed_with_what_they_need() {
    let home = home();
    let document = document(&rrm(&home, &["--json", "recipe", "list"]));
    let recipes = document["recipes"].as_array().unwrap();
    let table3 = recipes.iter().find(|recipe| recipe["name"] == "paper/table3").unwrap();
    assert_eq!((&table3["datasets"][0], &table3["jobs"]), (&"restricted-imagenet".into(), &9.into()));
    assert!(table3["cost"].as_str().unwrap().contains("V100"), "{table3}");
    let names = stdout(&rrm(&home, &["-q", "recipe", "list"]));
    assert_eq!(names.lines().count(), recipes.len());
    let table = stdout(&rrm(&home, &["recipe", "list"]));
    assert!(table.contains("cpu/table1") && table.contains("Figure 5"), "{table}");
}

#[test]
fn a_recipe_is_printed_as_a_plan_that_is_the_same_when_it_is_submitted() {
    let home = home();
    let changes = ["--switch", "kd-loss=paper", "--seeds", "0..2", "--set", "l2-resnet50-rrm-vgg11.epochs=7"];
    let printed = rrm(&home, &[&["recipe", "show", "paper/table2"], &changes[..]].concat());
    assert_eq!(printed.status.code(), Some(0), "{printed:?}");
    let text = stdout(&printed);
    for part in [
        "# Table 2",
        "#   kd-loss: the paper is followed here",
        "--switch rdt-schedule=code",
        "name = \"paper/table2\"",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let from_file = rrm(&home, &["--json", "submit", "--dry-run", &plan(&home, &text)]);
    let from_name =
        rrm(&home, &[&["--json", "submit", "--dry-run", "--recipe", "paper/table2"], &changes[..]].concat());
    assert_eq!(document(&from_file), document(&from_name));
    let shown = document(&rrm(&home, &[&["--json", "recipe", "show", "paper/table2"], &changes[..]].concat()));
    assert_eq!(shown["plan"], document(&from_name)["plan"]);
    let follows = shown["recipe"]["differences"].as_array().unwrap().iter().find(|it| it["name"] == "kd-loss").unwrap();
    assert_eq!((&follows["follows"], &follows["switchable"]), (&"code".into(), &true.into()));
}

#[test]
fn a_recipe_is_submitted_instead_of_a_file_and_never_with_one() {
    let home = home();
    let output = rrm(&home, &["submit", "--recipe", "paper/table1", "--seeds", "0,1", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("linf-resnet50-rrm-vgg11[seed=1]") && text.contains("APGD-CE (ART) 50x10"), "{text}");
    assert!(stderr(&output).contains("paper/table1: 28 jobs, none of them submitted"), "{output:?}");
    for arguments in [
        &["submit", "plan.toml", "--recipe", "paper/table1"][..],
        &["submit"],
        &["submit", "--switch", "kd-loss=code"],
        &["submit", "plan.toml", "--seeds", "0..2"],
        &["submit", "--recipe", "paper/table1", "--seeds", "2..0"],
        &["submit", "--recipe", "paper/table1", "--switch", "kd-loss"],
        &["submit", "--recipe", "paper/table1", "--set", "epochs=1"],
    ] {
        assert_eq!(rrm(&home, arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(rrm(&home, &["submit", "--recipe", "paper/table1"]).status.code(), Some(6), "without a daemon");
}

#[test]
fn what_a_recipe_does_not_have_is_answered_with_what_it_has() {
    let home = home();
    let answer = |arguments: &[&str]| {
        let output = rrm(&home, arguments);
        (output.status.code().unwrap(), stderr(&output))
    };
    let (code, text) = answer(&["recipe", "show", "table1"]);
    assert!(
        code == 3 && text.contains("paper/table1, ") && text.contains("next:  see `rrm recipe list`"),
        "{code}: {text}"
    );
    let (code, text) = answer(&["submit", "--recipe", "paper/table5", "--dry-run"]);
    assert!(code == 3 && text.contains("hyperparameters of RRM"), "{code}: {text}");
    let (code, text) = answer(&["recipe", "show", "paper/table1", "--switch", "kd-loss=code"]);
    assert!(code == 2 && text.contains("no switch `kd-loss`") && text.contains("free-at-delta"), "{code}: {text}");
    let (code, text) = answer(&["recipe", "show", "paper/table1", "--set", "linf-resnet50-sat.epochs=10"]);
    assert!(code == 2 && text.contains("job.linf-resnet50-sat.optimizer.schedule.milestones"), "{code}: {text}");
    let (code, text) = answer(&["recipe", "show", "paper/table1", "--set", "nobody.epochs=10"]);
    assert!(code == 2 && text.contains("linf-vgg11-fast"), "{code}: {text}");
}

/// A file that PyTorch wrote.
fn checkpoint(name: &str) -> String {
    format!("{}/../../tests/checkpoints/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_checkpoint_is_imported_into_a_file_with_everything_that_is_remarkable() {
    let home = home();
    let target = home.path().join("teacher.safetensors");
    let arguments = ["model", "import", &checkpoint("madry_legacy.pt"), "--arch", "dnn/16"];
    let more = ["--normalization", "cifar10-fast", "--temperature", "30", "-o", target.to_str().unwrap()];
    let output = rrm(&home, &[&arguments[..], &more].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    for part in [
        "dnn/16 for images of 3×32×32, 10 classes",
        "- warning: pixels are normalised by cifar10-fast",
        "(cifar10-madry)",
        "- logits are divided by 30, as told: the file does not say",
        "16 tensors are there twice",
        "optimizer, schedule",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    // What was written tells its architecture itself, and is the same again.
    let again = home.path().join("again.safetensors");
    let output = rrm(&home, &["model", "import", target.to_str().unwrap(), "-o", again.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(&target).unwrap(), fs::read(&again).unwrap());
}

#[test]
fn a_checkpoint_that_cannot_be_used_says_why_and_what_to_do() {
    let home = home();
    let target = home.path().join("x.safetensors");
    let refused = |file: &str, arguments: &[&str]| {
        let command = [&["model", "import", file, "-o", target.to_str().unwrap()][..], arguments].concat();
        let output = rrm(&home, &command);
        assert!(!target.exists());
        (output.status.code().unwrap(), stderr(&output))
    };
    let (code, text) = refused(&checkpoint("one_number.pt"), &["--arch", "dnn/16", "--normalization", "identity"]);
    assert!(code == 2 && text.contains("next:  import it with --arch resnet50/16"), "{code}: {text}");
    for temperature in ["0", "1001", "NaN", "hot"] {
        let (code, text) = refused(&checkpoint("bare.pt"), &["--arch", "dnn/16", "--temperature", temperature]);
        assert!(code == 2 && text.contains("--temperature"), "{code}: {text}");
    }
    let (code, text) = refused(&checkpoint("bare.pt"), &["--arch", "dnn/16"]);
    assert!(code == 2 && text.contains("--normalization with one of"), "{code}: {text}");
    let (code, text) = refused(&checkpoint("whole_module.pt"), &["--arch", "dnn/16"]);
    assert!(code == 1 && text.contains("save its state_dict()"), "{code}: {text}");
    assert_eq!(refused("/no/such/file", &["--arch", "dnn"]).0, 3);
}

/// A folder with two classes of one picture each, in both splits.
fn pictures(home: &TempDir) -> String {
    let root = home.path().join("shapes");
    for (split, class) in [("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")] {
        let folder = root.join(split).join(class);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("one.png"), PNG).unwrap();
    }
    root.to_str().unwrap().to_owned()
}

/// A grey 1×1 picture.
const PNG: &[u8] = &[
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 58, 126, 155,
    85, 0, 0, 0, 10, 73, 68, 65, 84, 120, 156, 99, 104, 0, 0, 0, 130, 0, 129, 119, 205, 114, 182, 0, 0, 0, 0, 73, 69,
    78, 68, 174, 66, 96, 130,
];

#[test]
fn a_folder_of_pictures_is_described() {
    let home = home();
    let folder = pictures(&home);
    let document = document(&rrm(&home, &["--json", "data", "check", &folder]));
    assert_eq!((&document["train"], &document["test"]), (&2.into(), &2.into()));
    assert_eq!(document["classes"][1]["name"], "b");
    let text = stdout(&rrm(&home, &["data", "check", &folder]));
    assert!(text.contains("2 training and 2 test images"), "{text}");
}

#[test]
fn a_damaged_picture_is_named() {
    let home = home();
    let folder = pictures(&home);
    fs::write(home.path().join("shapes/train/b/one.png"), &PNG[..40]).unwrap();
    let output = rrm(&home, &["data", "check", &folder]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("train/b/one.png"), "{output:?}");
}

#[test]
fn a_folder_that_is_not_there_is_not_found() {
    let home = home();
    assert_eq!(rrm(&home, &["data", "check", "/no/such/folder"]).status.code(), Some(3));
}

#[test]
fn a_server_without_the_files_is_an_error_that_leaves_nothing_half_done() {
    let home = home();
    // A port that nobody listens on: bound, read and released.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mirror = format!("http://127.0.0.1:{port}");
    let output = rrm(&home, &["data", "fetch", "cifar10", "--mirror", &mirror]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert!(!home.path().join(".local/share/rrm/cifar-10-batches-bin").exists());
}
