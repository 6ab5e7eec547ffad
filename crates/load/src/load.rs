//! Calls, one after the other or at a fixed rate.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::latencies::Latencies;

/// `count` calls, at `rate` per second whether or not earlier ones are answered; each counts from when it was due.
pub(crate) async fn at_rate<F>(rate: f64, count: usize, mut call: impl FnMut(usize) -> F) -> anyhow::Result<Latencies>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..count {
        let due = begun + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let call = call(number);
        calls.spawn(async move { call.await.map(|()| due.elapsed()) });
    }
    collect(calls).await
}

/// `callers` of which each makes `count` calls, the next when the last is answered; the latencies, and the calls per second of all.
pub(crate) async fn closed<F>(
    callers: usize,
    count: usize,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> anyhow::Result<(Latencies, f64)>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut taken = Vec::with_capacity(count);
            for _ in 0..count {
                let sent = Instant::now();
                call(caller).await?;
                taken.push(sent.elapsed());
            }
            anyhow::Ok(taken)
        });
    }
    let mut taken = Vec::new();
    while let Some(done) = tasks.join_next().await {
        taken.extend(done.context("a caller")??);
    }
    let per_second = taken.len() as f64 / begun.elapsed().as_secs_f64();
    Ok((Latencies::new(taken), per_second))
}

async fn collect(mut calls: JoinSet<anyhow::Result<Duration>>) -> anyhow::Result<Latencies> {
    let mut taken = Vec::new();
    while let Some(done) = calls.join_next().await {
        taken.push(done.context("a call")??);
    }
    Ok(Latencies::new(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn at_a_rate_no_call_waits_for_the_answer_to_another() {
        // Each ends only when all are on their way.
        let all = std::sync::Arc::new(tokio::sync::Barrier::new(5));
        let taken = at_rate(1000.0, 5, |_| {
            let all = all.clone();
            async move {
                all.wait().await;
                Ok(())
            }
        });
        assert_eq!(taken.await.unwrap().count(), 5);
    }

    #[tokio::test]
    async fn callers_that_wait_make_all_their_calls_and_a_failure_is_told() {
        let (taken, per_second) = closed(3, 4, |_| async { Ok(()) }).await.unwrap();
        assert!(taken.count() == 12 && per_second > 0.0);
        let failed = closed(3, 4, |caller| async move {
            anyhow::ensure!(caller != 2, "no");
            Ok(())
        })
        .await;
        assert!(failed.is_err());
    }
}
