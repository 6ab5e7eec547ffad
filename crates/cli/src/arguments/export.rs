//! What is said about results in files.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::selector::{JobSelector, PlanSelector};

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// What became of every image: outcome, what broke it, and how close the attack came
    Images(ExportImagesArguments),
    /// The adversarial images of an evaluation that kept them
    Adversarial(ExportAdversarialArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
One row per image and radius: job, name, model, attack, norm, epsilon; image (its position in the test set), label, \
prediction (of the natural image), outcome (misclassified, broken or robust); where it was broken the restart, from 0; and of the point \
at which it was least clearly classified correctly: part and part_attack (which of several attacks in turn: the one that broke \
the image, or else the one that came closest), iteration (the first of the restart that broke it, 0 for its start), loss \
(cross-entropy) and margin (the label's logit less the highest other one, negative where misclassified).

Examples:
  rrm export images @evaluation -o images.csv
  rrm export images 12-14 --format jsonl | jq 'select(.outcome == \"broken\") | .image'
  rrm export images --plan last -o images.csv      every evaluation of your newest plan")]
pub(crate) struct ExportImagesArguments {
    /// Evaluations: ids, ranges (12-20) and names (@evaluation)
    #[arg(value_name = "JOB", required_unless_present = "plan")]
    pub(crate) jobs: Vec<JobSelector>,

    /// Every evaluation of this plan: its id, or last. With @NAMES: where they are looked up
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,

    /// How rows are written [default: csv, or json with --json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<RowFormat>,

    /// Write them to this file, which appears when it is complete
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// Comma-separated values under a heading
    Csv,
    /// One JSON object per line
    Jsonl,
    /// One JSON document
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
An evaluation keeps them where its plan has keep_images = true. The file is in the safetensors format: images \
(float32, N×C×H×W, in [0, 1]; the natural image where nothing broke it), labels and outcomes (int64: 0 misclassified as it is, \
1 broken, 2 robust), and of several radii radius (int64: which of them broke it, from 0; -1 = none).

Examples:
  rrm export adversarial @evaluation -o adversarial.safetensors
  python -c 'from safetensors.torch import load_file; print(load_file(\"adversarial.safetensors\")[\"images\"].shape)'")]
pub(crate) struct ExportAdversarialArguments {
    /// The evaluation: its id, or @NAME
    #[arg(value_name = "JOB")]
    pub(crate) job: JobSelector,

    /// The file
    #[arg(long, short, value_name = "FILE.safetensors")]
    pub(crate) output: PathBuf,

    /// The plan in which @NAME is looked up
    #[arg(long, value_name = "PLAN", default_value = "last")]
    pub(crate) plan: PlanSelector,
}
