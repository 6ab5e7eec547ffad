//! A worker's standing with the daemon: registered, heard regularly, asking for work.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use anyhow::bail;
use rrm_api::{ApiError, Registered, VERSION};
use rrm_spec::{Assignment, Device, Registration, RequestId, WorkerId};
use tokio::{
    sync::{Mutex, watch},
    task::{JoinError, JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

use crate::{
    attempt,
    deliver::PAUSE,
    exec,
    roster::{Order, Roster},
    workshop::Workshop,
};

/// How long a stopping worker tries to hand over what its trainers left, beyond their own grace.
const HAND_OVER: Duration = Duration::from_secs(20);

/// The same after a second signal.
const HAND_OVER_IN_HASTE: Duration = Duration::from_secs(3);

/// While something runs, the daemon hears of it at least this often: progress and cancellation travel by heartbeat alone.
/// It costs the daemon no commit.
const LIVELY: Duration = Duration::from_secs(1);

/// Whether the worker goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Drain {
    /// It does.
    No,
    /// Trainers stop at their next step.
    Gentle,
    /// Trainers are killed.
    Hard,
}

/// The attempts that are under way.
type Attempts = JoinSet<()>;

struct Session {
    shop: Arc<Workshop>,
    roster: Roster,
    registration: Registration,
    registered: Mutex<Registered>,
}

/// Works until `drain` says otherwise.
///
/// # Errors
/// Where the daemon refuses this worker from the start.
pub(crate) async fn work(shop: Arc<Workshop>, mut drain: watch::Receiver<Drain>) -> anyhow::Result<()> {
    let registration = registration(&shop);
    let registered = tokio::select! {
        registered = introduce(&shop, &registration) => registered?,
        _ = drain.wait_for(|drain| *drain > Drain::No) => return Ok(()),
    };
    tracing::info!(worker = %registered.worker, server = shop.config.server, "registered");
    let registered = Mutex::new(registered);
    let roster = Roster::new(shop.config.share);
    let session = Arc::new(Session { shop, roster, registration, registered });
    let heart = tokio::spawn(Arc::clone(&session).beat());
    let life = async {
        let mut attempts = JoinSet::new();
        session.take_work(&mut attempts, &mut drain).await;
        session.wind_up(&mut attempts, &mut drain).await;
        Ok(())
    };
    outlived_by(heart, life).await
}

/// Lives as long as the heart beats. Without it the daemon would take this worker for lost while it goes on: it ends, its
/// trainers with it, and the next one hands over what they left.
async fn outlived_by(
    mut heart: JoinHandle<Infallible>,
    life: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        lived = life => {
            heart.abort();
            lived
        }
        Err(broken) = &mut heart => bail!("the heartbeat broke: {broken}: this is a bug of the worker"),
    }
}

fn registration(shop: &Workshop) -> Registration {
    Registration {
        node: shop.config.node.clone(),
        version: VERSION.to_owned(),
        boot_id: Uuid::now_v7().to_string(),
        devices: shop.devices.clone(),
        labels: shop.config.labels.clone(),
        code_version: exec::CODE_VERSION.to_owned(),
    }
}

/// The first registration: waits for a daemon that is away, but not for one that refuses.
async fn introduce(shop: &Workshop, registration: &Registration) -> anyhow::Result<Registered> {
    loop {
        match shop.client.register(registration.clone()).await {
            Ok(registered) => return Ok(registered),
            Err(error) if error.is_transient() => tracing::warn!(%error, "waiting for the daemon"),
            Err(error) => bail!("the daemon refuses this worker: {error}; {}", error.next_step()),
        }
        sleep(PAUSE).await;
    }
}

impl Session {
    /// Tells the daemon what is here and carries out what it says, forever.
    async fn beat(self: Arc<Self>) -> Infallible {
        let mut acknowledged = Instant::now();
        let (mut sent, mut warned) = (acknowledged, None::<Instant>);
        loop {
            let Registered { worker, ttl_ms, heartbeat_ms } = *self.registered.lock().await;
            let heartbeat = Duration::from_millis(heartbeat_ms);
            sleep(heartbeat.min(LIVELY)).await;
            if self.roster.is_empty() && sent.elapsed() < heartbeat {
                continue;
            }
            sent = Instant::now();
            match self.shop.client.with_patience(Duration::ZERO).heartbeat(worker, self.roster.held()).await {
                Ok(reply) => {
                    acknowledged = sent;
                    for (attempt, instruction) in reply.instructions {
                        self.roster.instruct(attempt, instruction);
                    }
                    if reply.known.is_none() {
                        self.register_again(worker).await;
                    }
                }
                Err(ApiError::NotFound { .. }) => self.register_again(worker).await,
                // Trainers go on: whether an attempt is still ours is decided where its records are written.
                Err(error) if warned.is_none_or(|warned| warned.elapsed() >= heartbeat) => {
                    warned = Some(Instant::now());
                    let silent_s = acknowledged.elapsed().as_secs();
                    let maybe_lost = acknowledged.elapsed() > Duration::from_millis(ttl_ms);
                    tracing::warn!(%error, silent_s, maybe_lost, "no heartbeat; trainers go on");
                }
                // A daemon that is away for hours is not worth a line every second.
                Err(error) => tracing::debug!(%error, "no heartbeat"),
            }
        }
    }

    /// Registers anew, unless somebody has since `stale` was in use.
    async fn register_again(&self, stale: WorkerId) {
        let mut registered = self.registered.lock().await;
        if registered.worker != stale {
            return;
        }
        match self.shop.client.register(self.registration.clone()).await {
            Ok(anew) => {
                tracing::info!(worker = %anew.worker, "registered again");
                *registered = anew;
            }
            Err(error) => tracing::warn!(%error, "cannot register again now"),
        }
    }

    /// Leases and starts attempts until the worker is to stop.
    async fn take_work(&self, attempts: &mut Attempts, drain: &mut watch::Receiver<Drain>) {
        while *drain.borrow() == Drain::No {
            let free = self.roster.free(&self.shop.config.devices);
            tokio::select! {
                changed = drain.changed() => if changed.is_err() {
                    return;
                },
                Some(ended) = attempts.join_next() => note(ended),
                // Given up and asked anew when another device becomes free: what the daemon may have handed out
                // meanwhile it hands out again, since it is not among those held.
                assignments = self.lease(free.clone()), if !free.is_empty() => self.start(assignments, attempts),
            }
        }
    }

    async fn lease(&self, free: Vec<Device>) -> Vec<Assignment> {
        let worker = self.registered.lock().await.worker;
        let held = self.roster.held().into_iter().map(|held| held.attempt).collect();
        let request: RequestId = Uuid::now_v7().to_string().parse().expect("a UUID is a request id");
        let error = match self.shop.client.lease(worker, request, free, held).await {
            Ok(assignments) => return assignments,
            Err(error) => error,
        };
        match &error {
            ApiError::NotFound { .. } => self.register_again(worker).await,
            _ => tracing::warn!(%error, "cannot ask for work now"),
        }
        sleep(PAUSE).await;
        Vec::new()
    }

    fn start(&self, assignments: Vec<Assignment>, attempts: &mut Attempts) {
        for assignment in assignments {
            let (attempt, device, devices) = (assignment.attempt, assignment.device, assignment.devices());
            let place = match devices.iter().all(|device| self.shop.config.devices.contains(device)) {
                true => self.roster.enter(attempt, &devices, assignment.parts),
                false => None,
            };
            match place {
                Some(place) => {
                    let shop = Arc::clone(&self.shop);
                    attempts.spawn(async move { attempt::run(&shop, assignment, place).await });
                }
                None => tracing::warn!(%attempt, %device, "was handed out, but its device is not free here"),
            }
        }
    }

    /// Stops the trainers, hands over what they left, and leaves.
    async fn wind_up(&self, attempts: &mut Attempts, drain: &mut watch::Receiver<Drain>) {
        tracing::info!(attempts = attempts.len(), "stopping");
        self.roster.order_all(Order::Stop);
        let mut limit = Instant::now() + self.shop.config.grace + HAND_OVER;
        let mut present = Drain::Gentle;
        while !attempts.is_empty() {
            if *drain.borrow_and_update() > present {
                present = Drain::Hard;
                self.roster.order_all(Order::Kill);
                limit = limit.min(Instant::now() + HAND_OVER_IN_HASTE);
            }
            tokio::select! {
                Some(ended) = attempts.join_next() => note(ended),
                Ok(()) = drain.changed() => {}
                () = sleep_until(limit) => break,
            }
        }
        match attempts.len() {
            0 => self.leave().await,
            left => {
                tracing::warn!(left, "the daemon is away: attempts are handed over when a worker starts here again")
            }
        }
        attempts.shutdown().await;
    }

    async fn leave(&self) {
        let worker = self.registered.lock().await.worker;
        if let Err(error) = self.shop.client.with_patience(Duration::ZERO).deregister(worker).await {
            tracing::warn!(%error, "could not say goodbye");
        }
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an attempt broke: this is a bug of the worker");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rrm_api::Client;
    use rrm_spec::{AttemptId, AttemptOutcome, Event, Instruction};

    use super::*;
    use crate::testing::{
        assignment,
        daemon::{Daemon, Told},
        epoch,
        script::{tell, workshop, workshop_on},
    };

    /// A worker with a job whose trainer runs `script`, and the means to drain it.
    async fn working(script: String) -> (Arc<Daemon>, watch::Sender<Drain>, impl Future<Output = ()> + use<>) {
        let (daemon, client) = Daemon::start().await;
        let (drain, ends) = working_for(&daemon, client, script);
        (daemon, drain, ends)
    }

    /// The same for a daemon that is already there.
    fn working_for(
        daemon: &Daemon,
        client: Client,
        script: String,
    ) -> (watch::Sender<Drain>, impl Future<Output = ()> + use<>) {
        daemon.hand_out(assignment());
        let (folder, shop) = workshop(client, &script);
        let (drain, drained) = watch::channel(Drain::No);
        let worked = tokio::spawn(async move {
            let _folder = folder;
            work(shop, drained).await.unwrap();
        });
        (drain, soon(worked))
    }

    async fn soon(worked: JoinHandle<()>) {
        tokio::time::timeout(Duration::from_secs(20), worked).await.unwrap().unwrap();
    }

    /// Two slots whose trainers end when they are let go.
    struct TwoSlots {
        daemon: Arc<Daemon>,
        folder: tempfile::TempDir,
        drain: watch::Sender<Drain>,
        worked: JoinHandle<()>,
    }

    const FIRST: AttemptId = AttemptId(7);
    const SECOND: AttemptId = AttemptId(8);
    const THIRD: AttemptId = AttemptId(9);

    fn on(device: Device, attempt: AttemptId) -> Assignment {
        Assignment { attempt, device, ..assignment() }
    }

    impl TwoSlots {
        /// With the first attempt on the processor.
        async fn open() -> Self {
            let (daemon, client) = Daemon::start().await;
            let wait = "until [ -e \"${0%/*}/go-${work##*-}\" ]; do sleep 0.01; done\n";
            let script = wait.to_owned() + &tell(&Event::Finished);
            let (folder, shop) = workshop_on(&[Device::Cpu, Device::Cuda(0)], client, &script);
            let (drain, drained) = watch::channel(Drain::No);
            daemon.hand_out(on(Device::Cpu, FIRST));
            let worked = tokio::spawn(async move { work(shop, drained).await.unwrap() });
            let slots = Self { daemon, folder, drain, worked };
            slots.until_held(&[FIRST]).await;
            slots
        }

        async fn until_held(&self, attempts: &[AttemptId]) {
            self.daemon.until(|told| told.held == attempts).await;
        }

        fn let_go(&self, attempt: AttemptId) {
            std::fs::write(self.folder.path().join(format!("go-{attempt}")), "").unwrap();
        }

        async fn close(self) {
            self.drain.send_replace(Drain::Gentle);
            soon(self.worked).await;
        }
    }

    #[tokio::test]
    async fn every_device_has_a_job_of_its_own_and_is_asked_for_when_it_is_free() {
        let slots = TwoSlots::open().await;
        slots.daemon.hand_out(on(Device::Cuda(0), SECOND));
        slots.until_held(&[FIRST, SECOND]).await;
        slots.let_go(FIRST);
        slots.daemon.until(|told| told.settled == [(FIRST, AttemptOutcome::Ok)]).await;
        slots.daemon.hand_out(on(Device::Cpu, THIRD));
        slots.until_held(&[SECOND, THIRD]).await;
        let both = vec![Device::Cpu, Device::Cuda(0)];
        let asked = slots.daemon.told.lock().unwrap().asked.clone();
        assert_eq!(asked, [both, vec![Device::Cuda(0)], vec![Device::Cpu]]);
        slots.close().await;
    }

    #[tokio::test]
    async fn a_lease_whose_answer_is_given_up_for_another_device_is_not_lost() {
        let slots = TwoSlots::open().await;
        slots.daemon.lost_leases.store(1, Ordering::SeqCst);
        slots.daemon.hand_out(on(Device::Cuda(0), SECOND));
        slots.daemon.until(|_| slots.daemon.lost_leases.load(Ordering::SeqCst) == 0).await;
        slots.let_go(FIRST);
        slots.until_held(&[SECOND]).await;
        assert_eq!(slots.daemon.told.lock().unwrap().settled, [(FIRST, AttemptOutcome::Ok)]);
        slots.close().await;
    }

    fn began() -> String {
        tell(&Event::Record(epoch(1)))
    }

    fn has_begun(told: &Told) -> bool {
        !told.records.is_empty()
    }

    #[tokio::test]
    async fn a_draining_worker_stops_its_trainers_settles_and_leaves() {
        let (daemon, drain, ends) = working(began() + "exec sleep 1000").await;
        daemon.until(has_begun).await;
        drain.send_replace(Drain::Gentle);
        ends.await;
        assert_eq!(daemon.end().outcome, AttemptOutcome::Stopped);
        assert_eq!(daemon.told.lock().unwrap().left, [WorkerId(1)]);
    }

    #[tokio::test]
    async fn a_second_signal_kills_trainers_that_do_not_listen() {
        let (daemon, drain, ends) = working(format!("trap '' TERM; {}while :; do sleep 0.01; done", began())).await;
        daemon.until(has_begun).await;
        drain.send_replace(Drain::Gentle);
        drain.send_replace(Drain::Hard);
        ends.await;
        assert_eq!((daemon.end().outcome, daemon.end().signal), (AttemptOutcome::Stopped, Some(9)));
    }

    #[tokio::test]
    async fn a_worker_that_the_daemon_has_forgotten_registers_again_as_the_same() {
        let (daemon, drain, ends) = working(began() + "exec sleep 1000").await;
        daemon.until(has_begun).await;
        daemon.forget.store(1, Ordering::SeqCst);
        daemon.until(|told| told.registered.len() == 2).await;
        drain.send_replace(Drain::Gentle);
        ends.await;
        let told = daemon.told.lock().unwrap();
        assert_eq!(told.registered[0], told.registered[1]);
    }

    #[tokio::test]
    async fn a_heartbeat_brings_instructions() {
        let (daemon, drain, ends) = working(began() + "exec sleep 1000").await;
        daemon.until(has_begun).await;
        *daemon.instruction.lock().unwrap() = Some(Instruction::Stop);
        daemon.until(|told| told.end.is_some()).await;
        assert_eq!(daemon.end().outcome, AttemptOutcome::Stopped);
        drain.send_replace(Drain::Gentle);
        ends.await;
    }

    #[tokio::test]
    async fn an_instruction_for_what_runs_does_not_wait_for_an_idle_workers_heartbeat() {
        let (daemon, client) = Daemon::start().await;
        daemon.heartbeat_ms.store(600_000, Ordering::SeqCst);
        let (drain, ends) = working_for(&daemon, client, began() + "exec sleep 1000");
        daemon.until(has_begun).await;
        *daemon.instruction.lock().unwrap() = Some(Instruction::Stop);
        daemon.until(|told| told.end.is_some()).await;
        drain.send_replace(Drain::Gentle);
        ends.await;
    }

    #[tokio::test]
    async fn a_worker_ends_with_its_heart() {
        let heart = tokio::spawn(async { panic!("a bug") });
        let broken = outlived_by(heart, std::future::pending()).await.unwrap_err();
        assert!(broken.to_string().contains("heartbeat"), "{broken}");
        let heart = tokio::spawn(std::future::pending());
        outlived_by(heart, async { Ok(()) }).await.unwrap();
    }

    #[tokio::test]
    async fn the_next_job_comes_after_the_last_one() {
        let (daemon, drain, ends) = working(began() + &tell(&Event::Finished)).await;
        daemon.until(|told| told.end.is_some()).await;
        {
            let mut told = daemon.told.lock().unwrap();
            told.end = None;
            told.records.clear();
        }
        daemon.hand_out(assignment());
        daemon.until(|told| told.end.is_some()).await;
        drain.send_replace(Drain::Gentle);
        ends.await;
    }
}
