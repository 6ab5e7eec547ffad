//! A simulated worker: the same calls as a real one, and no work.

use anyhow::Context;
use rrm_api::{AttemptEnd, Client, VERSION};
use rrm_spec::{Assignment, AttemptId, AttemptOutcome, Device, DeviceInfo, Registration, WorkerId};

use crate::empty_job;

/// One device.
#[derive(Clone)]
pub(crate) struct Worker {
    client: Client,
    id: WorkerId,
}

impl Worker {
    pub(crate) async fn register(client: Client, number: usize) -> anyhow::Result<Self> {
        let registered = client.register(registration(number)).await?;
        Ok(Self { client, id: registered.worker })
    }

    /// Waits for a job; none where the long poll ended without one.
    pub(crate) async fn lease(&self) -> anyhow::Result<Option<Assignment>> {
        let leased = self.client.lease(self.id, empty_job::request(), vec![Device::Cpu], Vec::new()).await?;
        Ok(leased.into_iter().next())
    }

    /// Reports a result and ends the attempt.
    pub(crate) async fn finish(&self, assignment: &Assignment) -> anyhow::Result<()> {
        let records = empty_job::records(assignment);
        let seq = self.client.report(assignment.attempt, 1, records).await?;
        let end = AttemptEnd { outcome: AttemptOutcome::Ok, message: None, exit_code: Some(0), signal: None };
        Ok(self.client.settle(assignment.attempt, seq, end).await?)
    }

    /// A job from its lease to its end.
    pub(crate) async fn work(&self) -> anyhow::Result<AttemptId> {
        let assignment = self.lease().await?.context("no job came")?;
        self.finish(&assignment).await?;
        Ok(assignment.attempt)
    }

    /// Tells that it is alive and has nothing.
    pub(crate) async fn beat(&self) -> anyhow::Result<()> {
        let reply = self.client.heartbeat(self.id, Vec::new()).await?;
        anyhow::ensure!(reply.known == Some(self.id), "the daemon has forgotten worker {}", self.id);
        Ok(())
    }
}

fn registration(number: usize) -> Registration {
    Registration {
        node: format!("load-{number}"),
        version: VERSION.to_owned(),
        code_version: VERSION.to_owned(),
        boot_id: format!("load-{number}"),
        devices: vec![DeviceInfo { device: Device::Cpu, name: "simulated".to_owned(), memory_mib: None, share: 1 }],
        labels: Vec::new(),
    }
}
