use crate::desk::Desk;

/// Samples by name and labels.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is measured:\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn counts_are_those_of_the_database() {
    let desk = Desk::filled().await;
    let answer = desk.get("/metrics").await;
    assert!(answer.headers.contains("content-type: text/plain; version=0.0.4"), "{}", answer.headers);
    let text = answer.body;
    for (sample, expected) in [
        ("rrm_jobs{state=\"running\"}", 1.0),
        ("rrm_jobs{state=\"failed\"}", 1.0),
        ("rrm_jobs{state=\"skipped\"}", 2.0),
        ("rrm_jobs{state=\"waiting\"}", 2.0),
        ("rrm_jobs{state=\"succeeded\"}", 0.0),
        ("rrm_queue_jobs", 0.0),
        ("rrm_attempts_total{outcome=\"user-error\"}", 1.0),
        ("rrm_attempts_total{outcome=\"ok\"}", 0.0),
        ("rrm_workers", 1.0),
        ("rrm_devices{kind=\"cpu\",state=\"busy\"}", 1.0),
        ("rrm_devices{kind=\"cuda\",state=\"idle\"}", 0.0),
        ("rrm_page_streams", 0.0),
        ("rrm_store_failed_commits_total", 0.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    assert!(value(&text, "rrm_database_bytes{file=\"database\"}") > 0.0);
    assert!(value(&text, "rrm_store_commit_seconds_count") >= 8.0);
    assert!(value(&text, "rrm_store_commit_changes_sum") >= 8.0);
    assert_eq!(value(&text, "rrm_events_total"), desk.store.newest_event().await.unwrap() as f64);
}

#[tokio::test]
async fn names_follow_the_conventions_and_no_label_is_chosen_by_a_user() {
    let desk = Desk::filled().await;
    let text = desk.get("/metrics").await.body;
    let families: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    assert!(families.len() >= 11, "{families:?}");
    for (name, kind) in families {
        assert!(name.starts_with("rrm_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} is explained");
    }
    assert!(!text.contains("script"), "names of jobs, plans and nodes are no labels");
}
