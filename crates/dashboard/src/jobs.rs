//! Jobs, chosen by state, plan and text, page by page.

use maud::{Markup, html};
use rrm_spec::{JobId, JobState, JobSummary};
use rrm_store::{JobFilter, Search};

use crate::error::PageError;
use crate::known::with_progress;
use crate::list::{Choice, table};
use crate::page::{COMPARED, JobsQuery};
use crate::site::Site;
use crate::view::View;

/// Jobs on one page.
const PAGE: u32 = 50;

pub(crate) async fn view(site: &Site, query: &JobsQuery) -> Result<View, PageError> {
    let (jobs, next) = match query.text.is_empty() {
        true => listed(site, query).await?,
        false => searched(site, query).await?,
    };
    let jobs = with_progress(site, jobs);
    // The script leaves a part alone in which a box is ticked.
    Ok(View::new("Jobs").still("filter", filter(query)).fresh("list", list(&jobs, query, next)))
}

async fn listed(site: &Site, query: &JobsQuery) -> Result<(Vec<JobSummary>, Option<JobId>), PageError> {
    let filter = JobFilter {
        states: query.states.clone(),
        submission: query.plan,
        needs: None,
        before: query.before,
        limit: PAGE,
    };
    let jobs = site.store.jobs(&filter).await?;
    let next = if jobs.len() == PAGE as usize { jobs.last().map(|job| job.id) } else { None };
    Ok((jobs, next))
}

async fn searched(site: &Site, query: &JobsQuery) -> Result<(Vec<JobSummary>, Option<JobId>), PageError> {
    let JobsQuery { states, plan, text, before } = query.clone();
    let found = site.store.search(&Search { text, states, submission: plan, before, limit: PAGE }).await?;
    let mut jobs = site.store.jobs_by_id(&found.jobs).await?;
    jobs.reverse();
    Ok((jobs, found.next))
}

fn filter(query: &JobsQuery) -> Markup {
    html! {
        form.filter method="get" action="/jobs" role="search" {
            fieldset {
                legend { "State" }
                @for it in JobState::ALL {
                    label { input type="checkbox" name="state" value=(it.name()) checked[query.states.contains(&it)]; " " (it.name()) }
                }
            }
            label { "Plan number " input type="text" name="plan" inputmode="numeric" size="6" value=[query.plan]; }
            label { "Text in name, plan, dataset or reason " input type="search" name="text" value=(query.text); }
            button type="submit" { "Show" }
            " " a href="/jobs" { "All" }
        }
    }
}

fn list(jobs: &[JobSummary], query: &JobsQuery, next: Option<JobId>) -> Markup {
    html! {
        form method="get" action="/compare" {
            (table("Jobs, newest first", jobs, Choice::Boxes))
            @if !jobs.is_empty() {
                p { button type="submit" { "Compare the chosen ones" } span.note { " up to " (COMPARED) } }
            }
        }
        @if let Some(next) = next {
            p { a rel="next" href=(address(query, next)) { @if jobs.is_empty() { "Look among older jobs" } @else { "Older jobs" } } }
        }
    }
}

/// The same question for older jobs. Texts are written so that they stay within their parameter.
fn address(query: &JobsQuery, before: JobId) -> String {
    let mut address = format!("/jobs?before={before}");
    for state in &query.states {
        address += &format!("&state={}", state.name());
    }
    if let Some(plan) = query.plan {
        address += &format!("&plan={plan}");
    }
    if !query.text.is_empty() {
        address += &format!("&text={}", encoded(&query.text));
    }
    address
}

/// Percent-encoding of all but letters and digits (RFC 3986 §2.1).
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Parameters;

    #[test]
    fn the_next_page_asks_the_same_question() {
        let text = "a&b=ä \"<script>".to_owned();
        let query =
            JobsQuery { states: vec![JobState::Failed], plan: Some(rrm_spec::SubmissionId(2)), text, before: None };
        let given = Parameters::of(&address(&query, JobId(9)).parse().unwrap()).unwrap();
        assert_eq!((given.text("text"), given.states().unwrap()), (query.text, query.states));
        assert_eq!((given.id("before").unwrap(), given.id("plan").unwrap()), (Some(JobId(9)), query.plan));
    }

    #[test]
    fn what_was_asked_for_stays_in_the_form_as_text() {
        let query = JobsQuery { text: "\"><script>".into(), ..JobsQuery::default() };
        let form = filter(&query).0;
        assert!(form.contains("&quot;&gt;&lt;script&gt;") && !form.contains("<script"), "{form}");
    }
}
