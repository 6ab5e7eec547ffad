//! What programs read.

use serde_json::Value;

use crate::fake::Fake;
use crate::{text, train_and_attack};

/// The commands that a help text lists.
fn commands_of(help: &str) -> Vec<String> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| line.starts_with("  "));
    // A line that goes on from the one before is indented further.
    let lines = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every command without commands of its own, such as `worker list`.
fn leaves(fake: &Fake, above: &[&str]) -> Vec<String> {
    let help = fake.rrm(&[above, &["-h"]].concat());
    let commands = commands_of(&text(&help.stdout));
    if commands.is_empty() {
        return vec![above.join(" ")];
    }
    commands.iter().flat_map(|command| leaves(fake, &[above, &[command]].concat())).collect()
}

#[test]
fn every_command_prints_json_documents_of_schema_1() {
    let fake = Fake::with_plan();
    train_and_attack(&fake);
    fake.memory.append_log("epoch 1\n");
    let folder = fake.folder.path().to_str().unwrap().to_owned();
    let (plan, network) = (fake.plan_file(), format!("{folder}/network.safetensors"));
    let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/checkpoints/data/bare.pt");
    let pictures = format!("{folder}/pictures");
    for split in ["train", "test"] {
        for class in ["one", "two"] {
            let class = format!("{pictures}/{split}/{class}");
            std::fs::create_dir_all(&class).unwrap();
            image::RgbImage::new(32, 32).save(format!("{class}/black.png")).unwrap();
        }
    }
    // Each command as a program would call it. What ends with a failure says so in a document on standard error.
    let lines: Vec<Vec<&str>> = vec![
        vec!["submit", &plan],
        vec!["list"],
        vec!["show", "1"],
        vec!["watch", "--timeout", "1"],
        vec!["logs", "1"],
        vec!["wait", "plan:1", "--timeout", "1"],
        vec!["cancel", "999"],
        vec!["hold", "999"],
        vec!["release", "999"],
        vec!["priority", "1", "999"],
        vec!["preempt", "999"],
        vec!["retry", "999"],
        vec!["drain"],
        vec!["undrain"],
        vec!["explain", "1"],
        vec!["worker", "drain", "node1"],
        vec!["worker", "undrain", "node1"],
        vec!["worker", "restore", "node1", "cpu"],
        vec!["report", "1"],
        vec!["report", "suspicion", "2"],
        vec!["recipe", "list"],
        vec!["recipe", "show", "cpu/table1"],
        vec!["export", "images", "2"],
        vec!["export", "adversarial", "2", "-o", &network],
        vec!["top", "--once"],
        vec!["worker", "list"],
        vec!["model", "list"],
        vec!["model", "show", "resnet18"],
        vec!["model", "import", checkpoint, "--arch", "dnn/16", "--output", &network],
        vec!["model", "export", "nobody", "-o", &network],
        vec!["data", "fetch", "cifar10", "--data-dir", &folder, "--mirror", "http://127.0.0.1:9"],
        vec!["data", "check", &pictures],
        vec!["admin", "token", "add", "--user", "ada", "--role", "read"],
        vec!["admin", "token", "list"],
        vec!["admin", "token", "revoke", "--user", "ada"],
        vec!["doctor", "--data-dir", &folder],
        vec!["version"],
    ];
    // Whose output is not JSON by nature: a shell's script.
    let others = ["completion"];
    for leaf in leaves(&fake, &[]) {
        let tried = lines.iter().any(|line| format!("{} ", line.join(" ")).starts_with(&format!("{leaf} ")));
        assert!(tried || others.contains(&leaf.as_str()), "`rrm {leaf}` is not tried here");
    }
    for line in lines {
        let output = fake.rrm(&[&["--json"], &line[..]].concat());
        let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let documents: Vec<Value> = serde_json::Deserializer::from_slice(said)
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap_or_else(|e| panic!("{line:?}: {e}\n{}\n{}", text(&output.stdout), text(&output.stderr)));
        assert!(!documents.is_empty(), "{line:?} says nothing: {output:?}");
        for document in documents {
            assert_eq!(document["schema"], 1, "{line:?}: {document}");
        }
    }
}
