//! The pages and metrics of a real daemon: in a browser, in Prometheus, and the database in Datasette. What is not installed is
//! skipped, and says so; `deploy/build/pages-tools.sh` installs it.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::browser::{Browser, Look};
use crate::lab::{Lab, MAIN_JOB, text};
use crate::process::{Process, binary, eventually};

const DESK: Look = Look { width: 1100, height: 820, scheme: "light" };
const NIGHT: Look = Look { scheme: "dark", ..DESK };
const PHONE: Look = Look { width: 360, height: 740, scheme: "light" };

/// A robust teacher.
const TEACHER: &str = r#"
    name = "bars"
    [defaults.train]
    dataset = { name = "folder:bars" }
    augmentation = "none"
    epochs = 12
    batch_size = 6
    seed = 1
    optimizer = { learning_rate = 0.01, weight_decay = 5e-4, schedule = { kind = "cosine" } }
    [[job]]
    name = "teacher"
    kind = "train"
    arch = "vgg11/16"
    [job.method]
    kind = "adversarial-training"
    attack_mode = "train"
    attack = { kind = "pgd", threat = { norm = "linf", epsilon = "4/255" }, steps = 2, step_size = "3/255", start = "uniform", selection = "last" }
"#;

/// The teacher, students of it with three values of lambda, and an evaluation of each.
fn plan() -> String {
    let mut plan = TEACHER.to_owned();
    for lambda in ["0.001", "0.005", "0.05"] {
        plan += &format!(
            "\n[[job]]\nname = \"student {lambda}\"\nkind = \"train\"\narch = \"vgg11/16\"\n\
             method = {{ kind = \"rrm\", teacher = {{ job = \"teacher\" }}, representation_loss = \"cosine\", lambda = {lambda} }}\n"
        );
    }
    for name in ["teacher", "student 0.001", "student 0.005", "student 0.05"] {
        plan += &format!(
            "\n[[job]]\nname = \"attack on {name}\"\nkind = \"evaluate\"\nmodel = {{ job = \"{name}\" }}\n\
             dataset = {{ name = \"folder:bars\" }}\nbatch_size = 8\nseed = 0\n\
             attack = {{ kind = \"apgd\", threat = {{ norm = \"linf\", epsilon = \"8/255\" }}, iterations = 5, restarts = 2 }}\n"
        );
    }
    plan
}

fn get(url: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let mut answer = ureq::Agent::new_with_config(config).get(url).call().unwrap_or_else(|e| panic!("{url}: {e}"));
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_else(|e| panic!("{url}: {e}")))
}

#[track_caller]
fn page(lab: &Lab, path: &str) -> String {
    let (status, body) = get(&lab.page(path));
    assert_eq!(status, 200, "{path}: {body}\n{}", lab.logs());
    body
}

#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn skipped(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}; deploy/build/pages-tools.sh installs it");
}

/// A laboratory in which a plan has been carried out.
fn finished(plan: &str) -> (Lab, Vec<i64>) {
    let lab = Lab::open();
    let _worker = lab.start_worker("worker");
    let jobs = lab.submit(plan);
    jobs.iter().for_each(|job| lab.success(*job));
    (lab, jobs)
}

/// Every kind of page; the comparison, of the first jobs, comes last.
fn paths(jobs: &[i64]) -> Vec<String> {
    let first = jobs.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(",");
    let fixed = ["/", "/jobs", "/jobs?state=succeeded&text=student", "/plans", "/plans/1", "/workers", "/reports/1"];
    let mut paths: Vec<String> = fixed.map(str::to_owned).into();
    let [.., before, last] = jobs else { panic!("the plan has several jobs: {jobs:?}") };
    paths.extend([format!("/jobs/{}", jobs[1]), format!("/jobs/{last}?against={before}")]);
    paths.push(format!("/compare?jobs={first}"));
    paths
}

#[test]
fn every_page_of_a_finished_plan_shows_what_the_command_line_says() {
    let (lab, jobs) = finished(MAIN_JOB);
    for path in paths(&jobs) {
        page(&lab, &path);
    }
    let job = page(&lab, &format!("/jobs/{}", jobs[1]));
    let shown = lab.job(jobs[1]);
    let loss = shown["epochs"][2]["loss"].as_f64().expect("a loss is a number");
    assert!(job.contains(&format!("{loss:.4}")) && job.contains("3/3 epochs"), "{job}");
    assert!(job.contains(shown["checkpoints"][0]["sha256"].as_str().expect("weights are kept")), "{job}");
    let report = lab.rrm(&["report", "1", "--format", "csv"]);
    assert_eq!(page(&lab, "/reports/1.csv"), text(&report.stdout));
    let log = page(&lab, &format!("/jobs/{}/log", jobs[1]));
    let said = lab.rrm(&["logs", &jobs[1].to_string()]);
    assert_eq!(log, text(&said.stdout));
    assert_eq!(page(&lab, "/healthz"), "ok\n");
}

/// Names and labels of all samples.
fn samples(metrics: &str) -> BTreeSet<&str> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

/// Words of a text that begin like a metric of ours.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("rrm_")).collect()
}

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_metric_that_a_dashboard_or_a_rule_names_is_measured() {
    let lab = Lab::open();
    let _worker = lab.start_worker("worker");
    let metrics = eventually("a call was measured", || {
        let metrics = page(&lab, "/metrics");
        // A page may have counted the workers before the call that it tells of.
        (metrics.contains("method=\"Workers/Register\"") && metrics.contains("rrm_workers 1")).then_some(metrics)
    });
    let measured = samples(&metrics);
    assert!(!metrics.contains("method=\"other\""), "{metrics}");
    for file in ["grafana/daemon.json", "prometheus/rules.yml"] {
        let content = read(&deploy(file));
        let named = metrics_in(&content);
        assert!(named.len() >= 4, "{file}: {named:?}");
        assert!(named.is_subset(&measured), "{file}: {:?}", named.difference(&measured));
    }
    let manual = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pages.md"));
    let families: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(metrics_in(&manual), families, "the manual names each metric, and no other");
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_and_the_rules() {
    if Command::new("promtool").arg("--version").output().is_err() {
        return skipped("promtool", "it is not installed");
    }
    let lab = Lab::open();
    let metrics = page(&lab, "/metrics");
    let mut child = check("metrics").stdin(Stdio::piped()).spawn().expect("promtool starts");
    child.stdin.take().expect("it is piped").write_all(metrics.as_bytes()).expect("promtool reads");
    let said = child.wait_with_output().expect("promtool ends");
    assert!(said.status.success() && said.stdout.is_empty() && said.stderr.is_empty(), "{said:?}\n{metrics}");
    for (what, file) in [("rules", "prometheus/rules.yml"), ("config", "prometheus/prometheus.yml")] {
        let said = check(what).arg(deploy(file)).output().expect("promtool starts");
        assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
    }
}

fn check(what: &str) -> Command {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", what]).stdout(Stdio::piped()).stderr(Stdio::piped());
    promtool
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it listens").port()
}

#[test]
fn prometheus_scrapes_the_daemon_and_answers_a_query() {
    if Command::new("prometheus").arg("--version").output().is_err() {
        return skipped("Prometheus", "it is not installed");
    }
    let lab = Lab::open();
    let jobs = lab.submit(MAIN_JOB);
    assert_eq!(jobs.len(), 3);
    let target = lab.page("");
    let config = read(&deploy("prometheus/prometheus.yml"))
        .replace("127.0.0.1:7601", target.trim_start_matches("http://"))
        .replace("scrape_interval: 15s", "scrape_interval: 1s")
        .replace("rules.yml", deploy("prometheus/rules.yml").to_str().expect("a plain path"));
    let path = lab.path("prometheus.yml");
    std::fs::write(&path, config).expect("it can be written");
    let port = free_port();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", path.display()));
    command.arg(format!("--storage.tsdb.path={}", lab.path("tsdb").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _prometheus = Process::spawn(&mut command, lab.path("prometheus.log"));
    let query = |query: &str| {
        let url = format!("http://127.0.0.1:{port}/api/v1/query?query={query}");
        let mut answer = ureq::get(&url).call().ok()?;
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    };
    let waiting = eventually("Prometheus knows the waiting jobs", || query("rrm_jobs%7Bstate=%22waiting%22%7D"));
    assert_eq!(waiting, "2");
    assert_eq!(query("up%7Bjob=%22rrm%22%7D").as_deref(), Some("1"));
    let commits = query("rrm_store_commit_seconds_count").expect("it came with the same scrape");
    assert!(commits.parse::<f64>().is_ok_and(|count| count >= 1.0), "{commits}");
}

/// On the path, or where `deploy/build/pages-tools.sh` puts it.
fn datasette() -> Option<PathBuf> {
    let beside = binary("rrm").parent()?.parent()?.join("pages-tools/bin/datasette");
    let names = [PathBuf::from("datasette"), beside];
    names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())
}

/// Views that the manual promises.
fn documented_views() -> Vec<String> {
    let manual = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/database.md"));
    let views = manual.lines().filter_map(|line| line.strip_prefix("## `")?.split('`').next().map(str::to_owned));
    let views: Vec<String> = views.collect();
    assert!(views.len() >= 10, "{views:?}");
    views
}

#[test]
fn datasette_serves_every_documented_view() {
    let Some(program) = datasette() else { return skipped("Datasette", "it is not installed") };
    let (lab, _) = finished(MAIN_JOB);
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]).arg(lab.path("state/rrm.db"));
    let _datasette = Process::spawn(&mut command, lab.path("datasette.log"));
    let ask = |path: &str| {
        let mut answer = ureq::get(&format!("http://127.0.0.1:{port}{path}")).call().ok()?;
        serde_json::from_str::<Value>(&answer.body_mut().read_to_string().ok()?).ok()
    };
    eventually("Datasette answers", || ask("/-/versions.json"));
    let mut rows = 0;
    for view in documented_views() {
        let answer = ask(&format!("/rrm/{view}.json?_size=3")).unwrap_or_else(|| panic!("{view}: {}", lab.logs()));
        assert!(answer["columns"].as_array().is_some_and(|columns| columns.len() > 2), "{view}: {answer}");
        rows += answer["rows"].as_array().map_or(0, Vec::len);
    }
    assert!(rows >= 12, "the views of a finished plan have rows: {rows}");
}

/// Where pictures go: into the manual where it is asked for, otherwise nowhere that lasts.
fn gallery(lab: &Lab) -> PathBuf {
    std::env::var_os("RRM_SCREENSHOTS").map_or_else(|| lab.path("pictures"), PathBuf::from)
}

#[test]
fn a_browser_shows_every_page_in_light_and_dark_and_on_a_phone() {
    let (lab, jobs) = finished(&plan());
    let Some(mut browser) = Browser::start(&lab.path("profile")) else {
        return skipped("Chromium", "it is not installed");
    };
    let gallery = gallery(&lab);
    std::fs::create_dir_all(&gallery).expect("a folder can be made");
    for path in paths(&jobs) {
        for look in [DESK, NIGHT, PHONE] {
            browser.open(&lab.page(&path), look);
            if !path.starts_with("/reports") {
                eventually(&format!("{path} is live"), || {
                    (browser.evaluate("document.getElementById('live').textContent") == "live").then_some(())
                });
            }
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{path} {look:?}");
            let is_dark = browser.evaluate("matchMedia('(prefers-color-scheme: dark)').matches");
            let page = browser.evaluate("getComputedStyle(document.body).backgroundColor");
            assert_eq!(page == "rgb(20, 24, 28)", is_dark == true, "{path}: {page}");
            let width = browser.evaluate("document.documentElement.scrollWidth");
            assert_eq!(width, look.width, "{path} is as wide as the window {look:?}");
            assert!(browser.picture().starts_with(b"\x89PNG"), "{path}");
        }
    }
    let compare = paths(&jobs).pop().expect("the last one");
    for (name, path, look) in [
        ("overview.png", "/", DESK),
        ("job.png", &*format!("/jobs/{}", jobs[0]), Look { height: 960, ..DESK }),
        ("compare.png", &*compare, Look { height: 1150, ..NIGHT }),
        ("plan-phone.png", "/plans/1", PHONE),
    ] {
        browser.open(&lab.page(path), look);
        let picture = browser.picture();
        assert!((5_000..150_000).contains(&picture.len()), "{name}: {} bytes", picture.len());
        std::fs::write(gallery.join(name), picture).expect("a picture can be written");
    }
}

#[test]
fn a_page_follows_a_job_to_its_end_and_obeys_the_keyboard() {
    let lab = Lab::open();
    let jobs = lab.submit(TEACHER);
    let Some(mut browser) = Browser::start(&lab.path("profile")) else {
        return skipped("Chromium", "it is not installed");
    };
    browser.open(&lab.page(&format!("/jobs/{}", jobs[0])), DESK);
    let queued = browser.evaluate("document.querySelector('#facts .state').textContent");
    assert_eq!(queued, "○ queued");
    browser.evaluate("window.same = true");
    browser.press("Tab", 9);
    let first = browser.evaluate(
        "[document.activeElement.className, document.activeElement.getBoundingClientRect().left >= 0].join()",
    );
    assert_eq!(first, "skip,true", "the first key leads to the content, and is seen");
    browser.press("Enter", 13);
    eventually("the content has the focus", || (browser.evaluate("document.activeElement.id") == "main").then_some(()));
    let _worker = lab.start_worker("worker");
    eventually("the page says that the job has succeeded", || {
        (browser.evaluate("document.querySelector('#facts .state').textContent") == "✓ succeeded").then_some(())
    });
    eventually("the page has the last epoch", || {
        let rows = browser.evaluate("document.querySelectorAll('#curves tbody tr').length");
        (rows == 12).then_some(())
    });
    assert_eq!(browser.evaluate("window.same"), true, "nothing was loaded anew");
    let known = lab.column("select cast(seq as text) from event where job_id = 1 order by seq desc");
    eventually("the list has each event once, newest first", || {
        let rows = "[...document.querySelectorAll('#entries tr')].map((row) => row.dataset.seq).join()";
        (browser.evaluate(rows) == known.join(",")).then_some(())
    });
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
