use std::io::Write;
use std::path::Path;
use std::process::Command;

use rrm_spec::{AttemptOutcome, CheckpointRole, Device, JobId, JobSpec, JobState, Precision, Record};
use rrm_store::JobFilter;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags};

use crate::bench::{Bench, CHAIN, checkpoint_record, epoch, plan, single, started};

const CPU: Device = Device::Cpu;
const ANY: JobFilter = JobFilter { states: Vec::new(), submission: None, needs: None, before: None, limit: 100 };

#[tokio::test]
async fn jobs_are_listed_newest_first_by_state_plan_and_page() {
    let bench = Bench::new().await;
    let chain = bench.submit(&plan(CHAIN)).await.unwrap();
    bench.submit(&single("other")).await.unwrap();
    let ids = |filter: JobFilter| {
        let store = bench.store.clone();
        async move { store.jobs(&filter).await.unwrap().into_iter().map(|job| job.id.0).collect::<Vec<_>>() }
    };
    assert_eq!(ids(ANY).await, [4, 3, 2, 1]);
    assert_eq!(ids(JobFilter { submission: Some(chain.submission), ..ANY }).await, [3, 2, 1]);
    assert_eq!(ids(JobFilter { states: vec![JobState::Queued], ..ANY }).await, [4, 1]);
    let both = vec![JobState::Queued, JobState::Waiting];
    assert_eq!(ids(JobFilter { states: both, before: chain.jobs.last().map(|job| job.0), limit: 1, ..ANY }).await, [2]);
    let needing = |parent| JobFilter { needs: Some(JobId(parent)), ..ANY };
    assert_eq!(ids(needing(1)).await, [2], "the student learns from the teacher");
    assert_eq!(ids(JobFilter { states: vec![JobState::Failed], ..needing(1) }).await, [0; 0]);
    assert_eq!(ids(needing(4)).await, [0; 0]);
    let of_plan = JobFilter { submission: Some(chain.submission), states: vec![JobState::Waiting], ..ANY };
    assert_eq!(ids(of_plan.clone()).await, [3, 2]);
    assert_eq!(ids(JobFilter { before: Some(JobId(3)), ..of_plan }).await, [2]);
    let named = bench.store.jobs_by_id(&[chain.jobs[2].0, chain.jobs[0].0]).await.unwrap();
    assert_eq!(named.into_iter().map(|job| job.name).collect::<Vec<_>>(), ["teacher", "attack"]);
}

/// A finished chain, whose teacher was interrupted after its second epoch and whose student was diagnosed, and one job that is queued.
async fn history(bench: &Bench) {
    let worker = bench.worker("node", &[CPU]).await;
    bench.submit(&plan(&CHAIN.replace("restarts = 2 }", "restarts = 2 }\n    diagnostics = 3"))).await.unwrap();
    let first = bench.start(worker).await.attempt;
    let kept = checkpoint_record(first, 1, CheckpointRole::Resume);
    bench.keep(&kept.sha256).await;
    bench.report(first, 1, &[started(1), epoch(1), Record::Checkpoint(kept), epoch(2)]).await.unwrap();
    bench.settle(first, 4, AttemptOutcome::Stopped).await.unwrap();
    for _ in 0..3 {
        let lease = bench.start(worker).await;
        assert_eq!(bench.finish(&lease).await, JobState::Succeeded);
    }
    bench.submit(&single("later")).await.unwrap();
    bench.import(&crate::import::network("imported")).await.unwrap();
}

type Row = (String, i64, f64, Option<f64>, Option<String>, Option<i64>, Option<i64>);

#[tokio::test]
async fn a_run_is_one_wide_row() {
    let bench = Bench::new().await;
    history(&bench).await;
    let runs: Vec<Row> = rows(
        &bench,
        "select name, epochs_done, train_s, train_with_teacher_s, teacher, robust_correct, robust_total \
         from runs where plan = 'chain' and kind = 'train' order by job_id",
    );
    let teacher = ("teacher".into(), 3, 6.0, Some(6.0), None, None, None);
    let student = ("student".into(), 3, 6.0, Some(12.0), Some("teacher".into()), Some(1), Some(3));
    assert_eq!(runs, [teacher, student]);
    let (method, arch, accuracy, attempts, parameters): (String, String, f64, i64, i64) =
        rows(&bench, "select method, arch, natural_accuracy, attempts, parameters from runs where job_id = 1")
            .remove(0);
    assert_eq!((method.as_str(), arch.as_str(), accuracy, attempts, parameters), ("natural", "dnn/16", 0.63, 2, 1234));
}

#[tokio::test]
async fn an_evaluation_at_another_temperature_is_not_the_networks_own() {
    let bench = Bench::new().await;
    let attack = CHAIN.split("[[job]]").last().unwrap();
    let softened = attack.replace("name = \"attack\"", "name = \"softened\"\n    temperature = 30.0");
    bench.submit(&plan(&format!("{CHAIN}\n[[job]]{softened}"))).await.unwrap();
    let worker = bench.worker("node", &[Device::Cpu]).await;
    for _ in 0..4 {
        let lease = bench.start(worker).await;
        bench.finish(&lease).await;
    }
    let of_each: Vec<(String, Option<i64>)> =
        rows(&bench, "select name, evaluation_job_id from runs where kind <> 'synthesize' order by job_id");
    let own = |name: &str, evaluation| (name.to_owned(), evaluation);
    let expected = [own("teacher", None), own("student", Some(3)), own("attack", Some(3)), own("softened", Some(4))];
    assert_eq!(of_each, expected);
}

#[tokio::test]
async fn a_run_says_what_was_trained_in_also_where_its_spec_does_not() {
    let bench = Bench::new().await;
    let mut plan = plan(CHAIN);
    let JobSpec::Train(student) = &mut plan.jobs[1].spec else { panic!("the student is trained") };
    student.precision = Precision::Bf16;
    bench.submit(&plan).await.unwrap();
    let precisions: Vec<Option<String>> = column(&bench, "select precision from runs order by job_id");
    assert_eq!(precisions, [Some("f32".into()), Some("bf16".into()), None]);
}

#[tokio::test]
async fn the_view_of_epochs_has_each_once() {
    let bench = Bench::new().await;
    history(&bench).await;
    let epochs: Vec<(i64, i64)> =
        rows(&bench, "select epoch, attempt_id from epoch_current where job_id = 1 order by epoch");
    assert_eq!(epochs, [(1, 1), (2, 2), (3, 2)]);
}

#[tokio::test]
async fn the_view_of_evaluations_has_counts_and_interval() {
    let bench = Bench::new().await;
    history(&bench).await;
    let row: (String, String, String, f64, i64, i64, f64, f64) = rows(
        &bench,
        "select model, attack, epsilon, natural_accuracy, robust_correct, robust_total, robust_low, robust_high \
         from evaluations",
    )
    .remove(0);
    let (low, high) = rrm_spec::Accuracy { correct: 1, total: 3 }.wilson95().unwrap();
    assert_eq!(row, ("student".into(), "APGD-CE 5x2".into(), "8/255".into(), 2.0 / 3.0, 1, 3, low, high));
}

#[tokio::test]
async fn the_view_of_images_names_what_broke_each_and_how_close_it_came() {
    let bench = Bench::new().await;
    history(&bench).await;
    type Image = (i64, String, Option<i64>, Option<String>, Option<i64>, Option<f64>);
    let rows: Vec<Image> = rows(
        &bench,
        "select image, outcome, restart, part_attack, iteration, margin from image_outcomes \
         where model = 'student' and epsilon = '8/255' order by image",
    );
    let attack = || Some("APGD-CE 5x2".to_owned());
    let expected = [
        (0, "robust".to_owned(), None, attack(), None, Some(0.25)),
        (1, "broken".to_owned(), Some(1), attack(), Some(3), Some(-1.0)),
        (2, "misclassified".to_owned(), None, None, None, None),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn the_queue_shows_what_has_not_ended() {
    let bench = Bench::new().await;
    history(&bench).await;
    bench.submit(&plan(&CHAIN.replace("\"chain\"", "\"again\""))).await.unwrap();
    let worker = bench.worker("node", &[CPU]).await;
    bench.start(worker).await;
    let rows: Vec<(i64, String, String, i64, Option<String>)> =
        rows(&bench, "select position, plan, state, open_parents, node from queue order by position");
    let row = |position, plan: &str, state: &str, parents, node: Option<&str>| {
        (position, plan.to_owned(), state.to_owned(), parents, node.map(str::to_owned))
    };
    let expected = [
        row(1, "later", "running", 0, Some("node")),
        row(2, "again", "queued", 0, None),
        row(3, "again", "waiting", 1, None),
        row(4, "again", "waiting", 1, None),
    ];
    assert_eq!(rows, expected);
}

/// What a reader from outside finds, as a dashboard has it: each row as a tuple.
pub(crate) fn rows<T>(bench: &Bench, sql: &str) -> Vec<T>
where
    T: for<'r> TryFrom<&'r rusqlite::Row<'r>, Error = rusqlite::Error>,
{
    let reader = Connection::open_with_flags(database(bench), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = reader.prepare(sql).unwrap_or_else(|e| panic!("{e}:\n{sql}"));
    let rows = statement.query_map((), |row| T::try_from(row)).unwrap();
    rows.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{e}:\n{sql}"))
}

/// The same of one column.
pub(crate) fn column<T: FromSql>(bench: &Bench, sql: &str) -> Vec<T> {
    rows::<(T,)>(bench, sql).into_iter().map(|(value,)| value).collect()
}

fn database(bench: &Bench) -> std::path::PathBuf {
    bench.folder.path().join("rrm.db")
}

/// The examples of the manual, in order.
fn documented_queries() -> Vec<String> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/database.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    manual.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_query_of_the_manual_runs_and_answers() {
    let bench = Bench::new().await;
    history(&bench).await;
    bench.revoked_a_token().await;
    let queries = documented_queries();
    assert!(queries.len() >= 5, "{queries:?}");
    for sql in queries {
        let reader = Connection::open_with_flags(database(&bench), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut statement = reader.prepare(&sql).unwrap_or_else(|e| panic!("{e}:\n{sql}"));
        assert!(statement.exists(()).unwrap_or_else(|e| panic!("{e}:\n{sql}")), "no row:\n{sql}");
    }
}

#[tokio::test]
async fn the_sqlite3_program_can_query_while_jobs_are_recorded() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        // Not `eprintln!`, which the test harness keeps to itself as long as a test passes.
        let name = "view::the_sqlite3_program_can_query_while_jobs_are_recorded";
        writeln!(std::io::stderr(), "SKIPPED {name}: no sqlite3 program is installed").unwrap();
        return;
    }
    let bench = Bench::new().await;
    history(&bench).await;
    let path = database(&bench);
    let asking = tokio::task::spawn_blocking(move || (0..20).map(|_| ask(&path)).collect::<Vec<_>>());
    let mut submitted = 0;
    while !asking.is_finished() {
        bench.submit(&single("busy")).await.unwrap();
        submitted += 1;
    }
    let answers = asking.await.unwrap();
    assert!(answers.windows(2).all(|pair| pair[0] <= pair[1]), "{answers:?}");
    assert!(answers[0] >= 4 && answers[19] <= 4 + submitted, "{answers:?} of {submitted}");
}

/// How many runs the program counts.
fn ask(database: &Path) -> u64 {
    let sql = "select count(*) from runs left join evaluations using (job_id) left join queue using (job_id)";
    let output = Command::new("sqlite3").arg("-readonly").arg(database).arg(sql).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
