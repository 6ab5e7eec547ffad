use rrm_dashboard::Audience;

use crate::desk::{Desk, HOSTILE};

const PAGES: [&str; 14] = [
    "/",
    "/jobs",
    "/jobs?state=failed&state=running&plan=1",
    "/jobs?text=%3Cscript%3E",
    "/jobs/1",
    "/jobs/4",
    "/jobs/5?against=1",
    "/compare",
    "/compare?jobs=1,2,4",
    "/plans",
    "/plans/1",
    "/workers",
    "/reports/1",
    "/jobs?before=2",
];

#[tokio::test]
async fn no_page_shows_what_others_wrote_as_anything_but_text() {
    let desk = Desk::filled().await;
    let mut shown = 0;
    for path in PAGES {
        let answer = desk.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        for forbidden in ["<script>", "<img src=x", "onerror=alert(2)>", "javascript:"] {
            assert!(!answer.body.contains(forbidden), "{path} has {forbidden}");
        }
        shown += answer.body.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count();
    }
    assert!(shown > 30, "names, nodes, hosts, messages and logs are on the pages: {shown}");
}

#[tokio::test]
async fn every_answer_forbids_what_the_pages_do_not_need() {
    let desk = Desk::filled().await;
    let files =
        ["/style.css", "/live.js", "/icon.svg", "/metrics", "/healthz", "/reports/1.csv", "/jobs/1/log", "/nowhere"];
    for path in PAGES.into_iter().chain(files) {
        let answer = desk.get(path).await;
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self';",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.headers.contains(header), "{path} lacks {header}:\n{}", answer.headers);
        }
        assert!(!answer.body.contains(" style=\"") && !answer.body.contains(" onclick="), "{path} has inline code");
        assert!(!answer.body.contains("src=\"http") && !answer.body.contains("url("), "{path} loads from elsewhere");
    }
}

#[tokio::test]
async fn a_page_can_be_used_without_sight_and_without_a_mouse() {
    let desk = Desk::filled().await;
    for path in PAGES {
        let body = desk.get(path).await.body;
        assert!(body.contains("<html lang=\"en\">") && body.contains("class=\"skip\" href=\"#main\""), "{path}");
        assert_eq!((body.matches("<h1>").count(), body.matches("<main").count()), (1, 1), "{path}");
        assert_eq!(
            body.matches("<table").count(),
            body.matches("<caption>").count(),
            "{path}: each table says what it is"
        );
        assert_eq!(body.matches("<th>").count(), 0, "{path}: each heading says what it is of");
        let pictures = body.matches("<svg").count();
        let explained = body.matches("role=\"img\"").count()
            + body.matches("aria-hidden=\"true\"><g").count()
            + body.matches("<svg class=\"graph\"").count();
        assert_eq!(pictures, explained, "{path}: each drawing is explained or decoration");
    }
}

#[tokio::test]
async fn what_a_job_did_is_on_its_page() {
    let desk = Desk::filled().await;
    let failed = desk.get("/jobs/1").await.body;
    for part in
        ["failed", "user-error", "natural of dnn/16", "second line", "12345", "61.0 %", "cpu, 2 threads", "1.50"]
    {
        assert!(failed.contains(part), "{part}:\n{failed}");
    }
    assert_eq!(failed.matches("<polyline").count(), 4 + 4, "four curves, and each in a legend");
    let running = desk.get("/jobs/4").await.body;
    assert!(running.contains("<progress max=\"4\" value=\"1\"") && running.contains("10 B"), "{running}");
    let student = desk.get("/jobs/5?against=4").await.body;
    assert!(
        student.contains("<code>method.kind</code>") && student.contains("<code>method.lambda</code>"),
        "{student}"
    );
    assert!(!student.contains("<code>batch_size</code>"), "what is the same is not in the difference");
}

#[tokio::test]
async fn jobs_are_found_by_state_plan_and_text_and_page_by_page() {
    let desk = Desk::filled().await;
    let has = |body: &str, id: u32| body.contains(&format!("<th scope=\"row\"><a href=\"/jobs/{id}\">"));
    for (query, found) in [
        ("state=failed", vec![1]),
        ("state=running&state=failed", vec![1, 4]),
        ("plan=2", vec![4, 5, 6]),
        ("text=STUD", vec![2, 3, 5]), // The third was skipped because of the student.
        ("text=stud&plan=2", vec![5]),
        ("text=%25", vec![]),
        ("text=fashion&state=skipped", vec![2, 3]),
        ("before=3", vec![1, 2]),
    ] {
        let body = desk.get(&format!("/jobs?{query}")).await.body;
        let shown: Vec<u32> = (1..=6).filter(|id| has(&body, *id)).collect();
        assert_eq!(shown, found, "{query}");
    }
}

#[tokio::test]
async fn a_plan_shows_how_its_jobs_depend_on_each_other() {
    let desk = Desk::filled().await;
    let body = desk.get("/plans/1").await.body;
    assert_eq!(body.matches("class=\"node ").count(), 3, "{body}");
    assert!(body.contains("class=\"node failed\"") && body.contains("class=\"node skipped\""), "{body}");
    assert_eq!(body.matches("<path d=\"M").count(), 2, "the student needs the teacher, the attack the student");
}

#[tokio::test]
async fn a_report_is_that_of_the_command_line_in_every_form() {
    let desk = Desk::filled().await;
    let mut jobs = Vec::new();
    for id in 1..=3 {
        jobs.push(desk.store.job(rrm_spec::JobId(id)).await.unwrap());
    }
    let table = rrm_report::table(&jobs);
    let csv = desk.get("/reports/1.csv").await;
    assert_eq!((csv.status, csv.body), (200, table.to_csv()));
    assert_eq!(desk.get("/reports/1.md").await.body, table.to_markdown());
    let json: serde_json::Value = serde_json::from_str(&desk.get("/reports/1.json").await.body).unwrap();
    assert_eq!(json["schema"], 1);
    assert!(desk.get("/reports/1.svg").await.body.starts_with("<svg"));
    assert!(desk.get("/reports/1").await.body.contains("href=\"/reports/1.csv\""));
    assert_eq!(desk.get("/reports/1.exe").await.status, 404);
}

#[tokio::test]
async fn a_log_is_plain_text_whatever_it_says() {
    let desk = Desk::filled().await;
    let answer = desk.get("/jobs/1/log").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, format!("{HOSTILE}\nsecond line\n").as_str()));
    assert!(answer.headers.contains("content-type: text/plain"), "{}", answer.headers);
    assert_eq!(desk.get("/jobs/1/log?attempt=99").await.status, 404);
    assert_eq!(desk.get("/jobs/2/log").await.status, 404, "it was never tried");
}

#[tokio::test]
async fn what_there_is_not_and_what_cannot_be_is_said_with_its_name() {
    let desk = Desk::filled().await;
    for (path, status, part) in [
        ("/jobs/99", 404, "job 99"),
        ("/plans/99", 404, "submission 99"),
        ("/reports/99", 404, "submission 99"),
        ("/elsewhere", 404, "no such page"),
        ("/jobs/x", 400, "job = &quot;x&quot;"),
        ("/jobs?state=%3Cscript%3E", 400, "state = &quot;&lt;script&gt;&quot;"),
        ("/jobs?plan=-3", 400, "plan = &quot;-3&quot;"),
        ("/compare?jobs=1,99", 404, "job 99"),
        ("/compare?jobs=1,2,3,4,5,6,7,8,9", 400, "at most 8 jobs"),
    ] {
        let answer = desk.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(desk.ask(method, "/jobs/1", "Host: localhost").await.status, 405, "{method}");
    }
}

#[tokio::test]
async fn another_sites_name_for_this_machine_is_refused_unless_everyone_may_come() {
    let desk = Desk::open().await;
    for host in ["Host: evil.example", "Host: evil.example:7601", "X-None: 1"] {
        let answer = desk.ask("GET", "/", host).await;
        assert_eq!(answer.status, 421, "{host}: {}", answer.body);
        assert!(answer.body.contains("--http-open"), "{}", answer.body);
    }
    assert_eq!(desk.ask("GET", "/", "Host: 127.0.0.1:9999").await.status, 200);
    let open = Desk::for_audience(Audience::Everyone).await;
    assert_eq!(open.ask("GET", "/", "Host: lab.example").await.status, 200);
}

#[tokio::test]
async fn an_empty_database_has_every_list() {
    let desk = Desk::open().await;
    for path in ["/", "/jobs", "/plans", "/workers", "/compare"] {
        let answer = desk.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    assert!(desk.get("/").await.body.contains("No worker is connected"));
}
