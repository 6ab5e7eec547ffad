//! The command line, as types. Help texts are written here and nowhere else.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{
    ArgAction, Args, Parser, Subcommand, ValueEnum,
    builder::{FalseyValueParser, TypedValueParser},
};
use clap_complete::Shell;
use rrm_recipes::{Seeds, Setting, Switch};
use rrm_spec::{Arch, DatasetName, JobState, NetworkName, Normalization, RequestId};

use crate::{
    output::Format,
    selector::{JobSelector, NetworkSelector, PlanSelector, ReportSubject},
    time::parse_duration,
};

const AFTER_HELP: &str = "\
Examples:
  rrm data fetch fashion-mnist          load a dataset into the data folder
  rrm submit plan.toml                  submit a plan's jobs; print their ids
  rrm watch --plan last                 follow its progress until it is done
  rrm report last --figure report.svg   show what came out, and draw it

Jobs are named by id (12), by range (12-20) or by name in the last plan (@student).

Exit codes:
  0  done; every job succeeded        5    the time limit ran out
  1  a job failed or was skipped      6    the server does not answer
  2  wrong usage or an invalid plan   7    no valid token
  3  not found                        8    conflict with what is stored
  4  a job was cancelled              130  interrupted (jobs go on)

Data goes to standard output, everything else to standard error. RRM_LOG=debug tells what the connection does.";

/// Trains robust image classifiers and transfers their robustness: submits jobs, follows them, reports results.
#[derive(Debug, Parser)]
#[command(name = "rrm", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The daemon's address, such as http://127.0.0.1:7600 [default: what the daemon of this machine wrote down]
    #[arg(long, global = true, env = "RRM_SERVER", value_name = "URL", hide_env_values = true)]
    pub(crate) server: Option<String>,

    /// File with the users' token [default: token-user in the state folder]
    #[arg(long, global = true, env = "RRM_TOKEN_FILE", value_name = "FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,

    /// File with the certificate (PEM) of the authority that signed the daemon's, for https addresses
    #[arg(long, global = true, env = "RRM_CA_FILE", value_name = "FILE", hide_env_values = true)]
    pub(crate) ca_file: Option<PathBuf>,

    /// Name in the daemon's certificate, where it is not the address's host
    #[arg(
        long,
        global = true,
        env = "RRM_TLS_DOMAIN",
        value_name = "NAME",
        requires = "ca_file",
        hide_env_values = true
    )]
    pub(crate) tls_domain: Option<String>,

    /// The state folder of this machine's daemon [default: $XDG_STATE_HOME/rrm, or ~/.local/state/rrm]
    #[arg(long, global = true, env = "RRM_STATE_DIR", value_name = "FOLDER", hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,

    /// Print one JSON document with "schema": 1 (streams: one per line); times are microseconds since 1970, UTC
    #[arg(long, global = true, env = "RRM_JSON", conflicts_with = "quiet", hide_env_values = true,
        action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// Print ids alone, one per line, and no remarks
    #[arg(long, short, global = true, env = "RRM_QUIET", hide_env_values = true,
        action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,

    /// Give up after this time (seconds, or such as 90s, 5m, 1h 30m) with exit code 5
    #[arg(long, global = true, env = "RRM_TIMEOUT", value_name = "TIME", value_parser = parse_duration, hide_env_values = true)]
    pub(crate) timeout: Option<Duration>,
}

impl Global {
    pub(crate) fn format(&self) -> Format {
        match (self.json, self.quiet) {
            (true, _) => Format::Json,
            (false, true) => Format::Ids,
            (false, false) => Format::Human,
        }
    }
}

/// Whether a command line that cannot be read asks for JSON: flags after the fault count, too.
pub(crate) fn json_asked(mut words: impl Iterator<Item = OsString>, variable: Option<&OsStr>) -> bool {
    let command = clap::Command::new("rrm");
    let truthy = |value| FalseyValueParser::new().parse_ref(&command, None, value).unwrap_or(false);
    words.by_ref().take_while(|word| word != "--").any(|word| word == "--json") || variable.is_some_and(truthy)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Submit a plan's jobs and print their ids
    Submit(SubmitArguments),
    /// List jobs, newest first
    List(ListArguments),
    /// Show everything that is recorded of jobs
    Show(ShowArguments),
    /// Follow jobs live
    Watch(WatchArguments),
    /// Print a job's log
    Logs(LogsArguments),
    /// Wait until jobs have ended; the exit code says how
    Wait(WaitArguments),
    /// Cancel jobs
    Cancel(CancelArguments),
    /// Show a plan's results as a table and as a figure
    Report(ReportArguments),
    /// See how the paper's tables and figures are made
    #[command(subcommand)]
    Recipe(RecipeCommand),
    /// Write what evaluations found of every image, and their adversarial images, to files
    #[command(subcommand)]
    Export(ExportCommand),
    /// See the machines that train
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// See the networks; take in and give out trained ones
    #[command(subcommand)]
    Model(ModelCommand),
    /// Fetch and check images
    #[command(subcommand)]
    Data(DataCommand),
    /// Print a completion script for a shell
    Completion(CompletionArguments),
    /// Print this software's version
    Version,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Either all jobs of a plan are stored or none. Every fault of a plan is named at once, and nothing is \
submitted then.
A submission is repeated while the daemon does not answer; it has one effect however often it is sent.

With --reuse the plan refers to the earlier job wherever one has done the same: same software version, same spec \
(batch sizes of evaluations and syntheses apart), and the same of all that it needs; names and priorities do not matter. What it \
made must still be there, and it must have run on a device that the job asks for. A dataset counts by its name: do not reuse \
after changing its images. What starts from a file is always done again.

Examples:
  rrm submit plan.toml
  rrm submit plan.toml --reuse          only what no job has done before
  rrm submit plan.toml --dry-run        what would be submitted, sweeps expanded
  rrm submit plan.toml --wait           and follow it until it is done
  rrm wait $(rrm -q submit plan.toml)   the same in a script
  generate-plan | rrm submit -
  rrm submit --recipe cpu/table1        one of the paper's tables and figures (rrm recipe list)
  rrm submit --recipe paper/table2 --switch kd-loss=paper --seeds 0..3")]
pub(crate) struct SubmitArguments {
    /// The plan (TOML); - reads standard input
    #[arg(
        value_name = "PLAN.toml",
        required_unless_present = "recipe",
        conflicts_with_all = ["recipe", "switches", "seeds", "settings"]
    )]
    pub(crate) plan: Option<PathBuf>,

    /// A recipe's plan instead of one from a file
    #[arg(long, value_name = "NAME")]
    pub(crate) recipe: Option<String>,

    #[command(flatten)]
    pub(crate) changes: RecipeChanges,

    /// Follow the jobs until they have ended; the exit code says how
    #[arg(long)]
    pub(crate) wait: bool,

    /// Check the plan and print its jobs without asking the daemon
    #[arg(long, conflicts_with_all = ["wait", "request_id"])]
    pub(crate) dry_run: bool,

    /// Do not do again what a job has done: a job whose content key equals a succeeded one's is taken for done
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) reuse: bool,

    /// Name of this submission (8 to 64 letters, digits and hyphens): repeated, it submits nothing new [default: a fresh one]
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<RequestId>,
}

/// What is to be other than in the recipe.
#[derive(Debug, Args)]
pub(crate) struct RecipeChanges {
    /// Where paper and released code differ, follow this one; may be repeated
    #[arg(long = "switch", value_name = "NAME=paper|code")]
    pub(crate) switches: Vec<Switch>,

    /// Repeat every training with each of these seeds: 0..3 (0, 1 and 2), 0..=2 or 0,1,2 [default: the recipe's]
    #[arg(long, value_name = "SEEDS")]
    pub(crate) seeds: Option<Seeds>,

    /// Set a field of a job, or of all trainings of a name with *: linf-resnet50-sat.epochs=120, *.precision=f32; may be repeated
    #[arg(long = "set", value_name = "JOB.FIELD=VALUE")]
    pub(crate) settings: Vec<Setting>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecipeCommand {
    /// List the recipes, with their jobs, data sets and cost
    #[command(after_help = "\
Those of paper/ are at the paper's size, those of cpu/ make the same comparisons on two cores.

Examples:
  rrm recipe list
  rrm --json recipe list | jq '.recipes[] | [.name, .datasets]'")]
    List,
    /// Print a recipe's plan, as TOML that `rrm submit` takes, and where paper and released code differ about it
    Show(RecipeShowArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm recipe show paper/table1
  rrm recipe show paper/table2 --switch kd-loss=paper
  rrm recipe show cpu/table1 --set '*.epochs=2' > mine.toml && rrm submit mine.toml")]
pub(crate) struct RecipeShowArguments {
    /// The recipe
    #[arg(value_name = "NAME")]
    pub(crate) recipe: String,

    #[command(flatten)]
    pub(crate) changes: RecipeChanges,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm list                                the newest 50 jobs
  rrm list --plan last                    the jobs of the newest plan
  rrm list --state failed --limit 0       every failed job
  rrm --json list --state running | jq '.jobs[].name'")]
pub(crate) struct ListArguments {
    /// Only jobs in this state; may be repeated
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    pub(crate) state: Vec<JobState>,

    /// Only jobs of this plan: its id, or last
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,

    /// At most so many; 0 = all
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: u32,
}

fn parse_state(text: &str) -> Result<JobState, String> {
    let names = JobState::ALL.map(JobState::name).join(", ");
    JobState::from_name(text).ok_or_else(|| format!("no job can be `{text}`: use one of {names}"))
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm show 12
  rrm show @student                  the job of that name in the last plan
  rrm --json show 12 | jq .job.epochs")]
pub(crate) struct ShowArguments {
    /// The job: its id, or @NAME
    #[arg(value_name = "JOB")]
    pub(crate) job: JobSelector,

    /// The plan in which @NAME is looked up
    #[arg(long, value_name = "PLAN", default_value = "last")]
    pub(crate) plan: PlanSelector,
}

#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal every running job has a bar; otherwise, one line is printed for each thing that happens.
A plan is followed until it is done, and the exit code says how its jobs ended. Interrupting cancels \
nothing.
A restart of the daemon is waited for, and nothing that happened meanwhile is missed.

Examples:
  rrm watch                    whatever runs, until interrupted
  rrm watch --plan last
  rrm --json watch --plan 3    events and progress as JSON lines")]
pub(crate) struct WatchArguments {
    /// Only this plan: its id, or last
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,

    /// With --json: only events after the one with this number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub(crate) after: i64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm logs 12
  rrm logs @student -f          follow it, over restarts and further attempts, until the job has ended
  rrm logs 12 --attempt 31      of an earlier attempt (rrm show 12 lists them)")]
pub(crate) struct LogsArguments {
    /// The job: its id, or @NAME
    #[arg(value_name = "JOB")]
    pub(crate) job: JobSelector,

    /// Go on until the job has ended
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// The attempt's id [default: the newest]
    #[arg(long, value_name = "ID", conflicts_with = "follow")]
    pub(crate) attempt: Option<i64>,

    /// The plan in which @NAME is looked up
    #[arg(long, value_name = "PLAN", default_value = "last")]
    pub(crate) plan: PlanSelector,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all succeeded, 1 some failed or were skipped, 4 some were cancelled, 5 the --timeout ran out.
Interrupting cancels nothing.

Examples:
  rrm wait 12-20
  rrm wait --plan last --timeout 2h
  rrm wait @student && rrm report last")]
pub(crate) struct WaitArguments {
    /// Jobs: ids, ranges (12-20) and names (@student)
    #[arg(value_name = "JOB", required_unless_present = "plan")]
    pub(crate) jobs: Vec<JobSelector>,

    /// Every job of this plan: its id, or last. With @NAMES: where they are looked up
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What waits is cancelled at once; what runs is told to stop, and ends as cancelled soon after. Jobs that need \
a cancelled one are skipped. What has ended stays as it is; where all that is named has succeeded or failed, the exit code is 8.

Examples:
  rrm cancel 12
  rrm cancel 12-20 @student
  rrm cancel --plan last        every job of the newest plan")]
pub(crate) struct CancelArguments {
    /// Jobs: ids, ranges (12-20) and names (@student)
    #[arg(value_name = "JOB", required_unless_present = "plan")]
    pub(crate) jobs: Vec<JobSelector>,

    /// Every job of this plan: its id, or last. With @NAMES: where they are looked up
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Of a plan: one row per trained network, with natural and robust accuracy and their intervals, epoch time with interval, training \
time without and with teacher, speed-up over adversarial training of the same network. Jobs that have not succeeded show their \
state. Teachers from earlier plans are included.

Of one of the paper's tables: its rows over all seeds, the paper's numbers below ours, paired comparisons of the rows (McNemar's \
exact test on the same images among them), and where each number comes from. Of one of its figures: its points in the same way, or \
the drawing with -o FILE.svg or FILE.png.

table1 means the newest plan named paper/table1 or cpu/table1; --plan has the same rows looked up in another plan.

Examples:
  rrm report                                  of the last plan
  rrm report 3 --format latex > table.tex
  rrm report last --format csv                raw counts and microseconds
  rrm report last --figure report.svg         the table here, the figure there
  rrm report table1                           the paper's Table 1, ours beside the paper's
  rrm report cpu/table1 -o table1.md          the format by the file's ending: txt, md, csv, tex, json
  rrm report fig4 -o fig4.png                 svg or png
  rrm report fig4                             its points as a table
  rrm report table9 --plan 7                  of the plan with this id
  rrm report --layout mine.toml               in the form of your own table or figure
  rrm report suspicion @student               whether its robustness may be one of hidden gradients")]
pub(crate) struct ReportArguments {
    #[command(subcommand)]
    pub(crate) kind: Option<ReportKind>,

    /// A plan (its id, or last), or a table or figure of the paper (table1, cpu/fig4) [default: last]
    #[arg(value_name = "PLAN|RECIPE")]
    pub(crate) subject: Option<ReportSubject>,

    /// The plan whose jobs a table or figure is of: its id, or last [default: the newest plan of that name]
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<PlanSelector>,

    /// A table or figure of your own instead of the paper's: a TOML file with [table] or [figure], as in a recipe's report
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) layout: Option<PathBuf>,

    /// How the report is written [default: text, or json with --json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<TableFormat>,

    /// Write the report into this file instead, in the format of its ending: txt, md, csv, tex, json; a figure also as svg, png
    #[arg(long, short, value_name = "FILE", conflicts_with = "format")]
    pub(crate) output: Option<PathBuf>,

    /// Draw the figure (SVG, or PNG by the ending) into this file as well
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) figure: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportKind {
    /// Say whether a network's robustness may be one of hidden gradients, and why
    Suspicion(SuspicionArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Judged are all evaluations of the network in its own plan and in the job's. What an evaluation measures for this where its \
plan has `diagnostics = N` (on the first N test images): the attack with the logits multiplied by 0.001 to 1000, gradients of zero, \
radii up to one that holds everything, restarts, attacks by another loss and without gradients, batch-norm in train mode, other \
constants of the first layer. Each finding has its numbers; a suspicious one says why it matters, what to do, and who says so.

Examples:
  rrm report suspicion @student
  rrm --json report suspicion 12 | jq '.suspicion.findings[] | select(.level == \"suspicious\")'")]
pub(crate) struct SuspicionArguments {
    /// The job that trained the network or evaluated it: its id, or @NAME
    #[arg(value_name = "JOB")]
    pub(crate) job: JobSelector,

    /// The plan in which @NAME is looked up
    #[arg(long, value_name = "PLAN", default_value = "last")]
    pub(crate) plan: PlanSelector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// Aligned, for terminals
    Text,
    /// For READMEs and issues
    Markdown,
    /// Raw counts and microseconds
    Csv,
    /// A tabular for booktabs
    Latex,
    /// Raw counts and microseconds
    Json,
}

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
  rrm export images --plan last -o images.csv      every evaluation of the newest plan")]
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

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List workers with their devices and what runs there
    #[command(after_help = "\
Examples:
  rrm worker list
  rrm --json worker list | jq '.workers[] | select(.online)'")]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// List the architectures, or the networks that were imported
    List(ModelListArguments),
    /// Show an architecture: its layers with their shapes, parameters and multiply-adds
    Show(ModelShowArguments),
    /// Take in a network that others have trained, so that plans can name it as teacher or evaluate it
    Import(ModelImportArguments),
    /// Write a network as a state dict that PyTorch loads
    Export(ModelExportArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Parameters, multiply-adds and tensors are those of the authors' networks: 10 classes for 32×32 images, 9 for 224×224.

Examples:
  rrm model list
  rrm model list --imported       the networks that `rrm model import` has taken in
  rrm --json model list | jq '.architectures[] | [.arch, .parameters]'")]
pub(crate) struct ModelListArguments {
    /// Only the networks that were imported
    #[arg(long)]
    pub(crate) imported: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Multiply-adds are those of convolutions and linear layers, for one image forward.

Examples:
  rrm model show resnet18
  rrm model show resnet50/8 --adapter none       as MadryLab's, without the authors' adapter
  rrm model show vgg11 --classes 100 --keys      keys and shapes of its state dict")]
pub(crate) struct ModelShowArguments {
    /// The architecture, such as resnet18 or resnet18/4
    #[arg(value_name = "ARCH")]
    pub(crate) arch: Arch,

    /// Classes [default: 10 for 32×32 images, 9 for 224×224]
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,

    /// Colour channels of an image [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) channels: Option<usize>,

    /// Width of the representation, to which an adapter leads where it is not the features'; or none [default: the authors']
    #[arg(long, value_name = "WIDTH")]
    pub(crate) adapter: Option<Adapter>,

    /// Show the keys of the state dict instead of the layers
    #[arg(long)]
    pub(crate) keys: bool,
}

/// To what width an adapter leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapter {
    Width(usize),
    None,
}

impl FromStr for Adapter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            width => {
                width.parse().map(Self::Width).map_err(|_| format!("`{width}` is no width: write a number, or none"))
            }
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Reads PyTorch's zip archives and its files from before 1.6, and safetensors: MadryLab's checkpoints, those of the paper's authors and of \
fast_adversarial, state dicts as RobustBench's. Prefixes of wrappers (module., model., net., attacker.model.) are stripped, \
duplicates and the optimiser's state left out. No code in a file is run. Classes, channels and adapter are taken from the tensors; \
normalisation from the file where it holds one.

Everything that is remarkable is told. A name stands for one network for good.

Examples:
  rrm model import cifar_linf_8.pt --arch resnet50 --name madry-linf
  rrm model import checkpoint.pt.last --arch vgg11 --normalization cifar10-fast --name fast-vgg11
  rrm model import weights.safetensors --arch resnet18 --output teacher.safetensors      a file for { checkpoint = PATH }

A plan then has teacher = { artifact = \"madry-linf\" } or model = { artifact = \"madry-linf\" }.")]
pub(crate) struct ModelImportArguments {
    /// The checkpoint
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Its architecture, such as resnet50 or resnet18/4; only files of this software tell it themselves
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<Arch>,

    /// Refuse a network of another number of classes
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,

    /// The constants by which it normalises pixels [default: the file's]
    #[arg(long, value_name = "NAME")]
    pub(crate) normalization: Option<Normalization>,

    /// What it is to be called [default: the file's name without its last ending]
    #[arg(long, value_name = "NAME", conflicts_with = "output")]
    pub(crate) name: Option<NetworkName>,

    /// Write it to this file instead of sending it to the daemon
    #[arg(long, short, value_name = "FILE.safetensors")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The keys are those of the authors' code (MadryLab's for a resnet50 without adapter), so that load_state_dict(strict=True) takes them; \
clamp and normalisation are not in a state dict, and told.

Examples:
  rrm model export @student -o student.safetensors
  rrm model export madry-linf -o madry.safetensors
  python -c 'from safetensors.torch import load_file; net.load_state_dict(load_file(\"student.safetensors\"))'")]
pub(crate) struct ModelExportArguments {
    /// The network: a train job (its id, or @NAME), an imported network's name, or sha256:HASH
    #[arg(value_name = "NETWORK")]
    pub(crate) network: NetworkSelector,

    /// The file
    #[arg(long, short, value_name = "FILE.safetensors")]
    pub(crate) output: PathBuf,

    /// The plan in which @NAME is looked up
    #[arg(long, value_name = "PLAN", default_value = "last")]
    pub(crate) plan: PlanSelector,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Fetch a dataset into the data folder
    #[command(after_help = "\
Fashion-MNIST comes from Debian's package dataset-fashion-mnist where apt serves it (nothing is installed, \
no root is needed), else from its official address; CIFAR-10, CIFAR-100 and SVHN from their official \
addresses. ImageNet is given to registered researchers only: put its folders (or some) into imagenet/train \
and imagenet/val of the data folder. An interrupted download goes on where it stopped. Everything is verified by SHA-256; what is already there and sound is \
left alone.

Examples:
  rrm data fetch fashion-mnist
  rrm data fetch cifar10 --data-dir /scratch/data
  rrm data fetch cifar10 --mirror http://files.lab.example/datasets")]
    Fetch(FetchArguments),
    /// Read every image of a folder and say what it holds
    #[command(after_help = "\
Knows CIFAR-10 and CIFAR-100 (binary and python layouts), SVHN, Fashion-MNIST, the classes of \
Restricted-ImageNet in an ImageNet folder, and folders with train/CLASS/* and test/CLASS/*.
A damaged file is named with the place of the damage.

Examples:
  rrm data check ~/.local/share/rrm/fashion-mnist
  rrm data check my-images")]
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// cifar10, cifar100, svhn or fashion-mnist
    #[arg(value_name = "NAME")]
    pub(crate) name: DatasetName,

    /// The data folder [default: $XDG_DATA_HOME/rrm, or ~/.local/share/rrm]
    #[arg(long, env = "RRM_DATA_DIR", value_name = "FOLDER", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Load the files from this address instead of the official one and of Debian's; they are verified all the same
    #[arg(long, env = "RRM_MIRROR", value_name = "URL", hide_env_values = true)]
    pub(crate) mirror: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The folder
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm completion bash > ~/.local/share/bash-completion/completions/rrm
  rrm completion zsh > ~/.zfunc/_rrm
  rrm completion fish > ~/.config/fish/completions/rrm.fish")]
pub(crate) struct CompletionArguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests;
