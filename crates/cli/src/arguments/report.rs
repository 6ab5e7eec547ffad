//! What is said about reports.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::selector::{JobSelector, PlanSelector, ReportSubject};

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

    /// Draw the figure into this file as well, in the format of its ending: svg or png
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
Judged are all evaluations of the network, in whichever plans; of an imported network those of the job's plan. What an evaluation measures for this where its \
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
