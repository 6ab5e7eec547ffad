//! Who gets no new work.

use rrm_spec::{DrainHow, DrainTarget, DrainView, JobId, WorkerId};
use rusqlite::Connection;
use serde_json::json;

use crate::event::Of;
use crate::preempt::GivingWay;
use crate::{Store, StoreError, Tx, Write, event, preempt, sql};

/// Gives somebody no new work from now on, restarts of the daemon included. The same may be asked again.
///
/// Fails with [`StoreError::NotFound`] for a worker or a machine that never registered, and with [`StoreError::Precondition`] for a worker
/// that is offline: whatever is started on its machine next is another worker, to which that drain would mean nothing.
pub struct Drain {
    /// Who.
    pub target: DrainTarget,
    /// What becomes of what runs there.
    pub how: DrainHow,
}

impl Write for Drain {
    type Output = Vec<GivingWay>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<GivingWay>, StoreError> {
        refuse_unknown(tx, &self.target)?;
        refuse_offline(tx, &self.target)?;
        if insert(tx, &self)? {
            let data = json!({ "target": self.target, "how": self.how });
            event::add(tx, "drain", of(&self.target), data)?;
        }
        match self.how {
            DrainHow::Finish => Ok(Vec::new()),
            DrainHow::Now => {
                let running = running_at(tx, &self.target)?;
                preempt::stop(tx, &running)
            }
        }
    }
}

/// Gives somebody new work again. The same may be asked again.
///
/// A machine's workers that were drained one by one are given work again with it. Fails with [`StoreError::Precondition`] for a
/// worker whose machine is drained, and with [`StoreError::NotFound`] for one that never registered.
pub struct Undrain {
    /// Who.
    pub target: DrainTarget,
}

impl Write for Undrain {
    type Output = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        refuse_unknown(tx, &self.target)?;
        if let DrainTarget::Worker(worker) = &self.target
            && let Some(node) = drained_node_of(tx, *worker)?
        {
            let what = format!("the machine of worker {worker} is drained: `rrm worker undrain {node}`");
            return Err(StoreError::Precondition { what });
        }
        if delete(tx, &self.target)? {
            event::add(tx, "undrain", of(&self.target), json!({ "target": self.target }))?;
            tx.queued = true;
        }
        Ok(())
    }
}

fn of(target: &DrainTarget) -> Of {
    match target {
        DrainTarget::Daemon | DrainTarget::Node(_) => Of::default(),
        DrainTarget::Worker(id) => Of::worker(*id),
    }
}

/// The target in the table's words.
fn key(target: &DrainTarget) -> (&'static str, String) {
    match target {
        DrainTarget::Daemon => ("daemon", String::new()),
        DrainTarget::Node(node) => ("node", node.clone()),
        DrainTarget::Worker(id) => ("worker", id.to_string()),
    }
}

fn refuse_unknown(tx: &mut Tx<'_>, target: &DrainTarget) -> Result<(), StoreError> {
    let query = match target {
        DrainTarget::Daemon => return Ok(()),
        DrainTarget::Node(_) => "select exists (select 1 from worker where node = ?)",
        DrainTarget::Worker(_) => "select exists (select 1 from worker where worker_id = cast(? as integer))",
    };
    let (_, name) = key(target);
    match sql::query_scalar(query).bind(name).fetch_one(tx.connection)? {
        true => Ok(()),
        false => Err(StoreError::not_found(format!("{target} (`rrm worker list` shows who is there)"))),
    }
}

fn refuse_offline(tx: &mut Tx<'_>, target: &DrainTarget) -> Result<(), StoreError> {
    let DrainTarget::Worker(worker) = target else { return Ok(()) };
    let node: Option<String> = sql::query_scalar("select node from worker where worker_id = ? and online = 0")
        .bind(worker.0)
        .fetch_optional(tx.connection)?;
    let Some(node) = node else { return Ok(()) };
    let what = format!(
        "worker {worker} is offline, and gets no jobs anyway: drain its machine, which keeps its later workers from jobs, too \
         (`rrm worker drain {node}`); nothing was changed"
    );
    Err(StoreError::Precondition { what })
}

/// Whether this is new.
fn insert(tx: &mut Tx<'_>, drain: &Drain) -> Result<bool, StoreError> {
    let (scope, name) = key(&drain.target);
    let changed = sql::query(
        "insert into drain (scope, name, how, since) values (?1, ?2, ?3, ?4) \
         on conflict (scope, name) do update set how = ?3 where how <> ?3",
    )
    .bind(scope)
    .bind(name)
    .bind(drain.how.name())
    .bind(tx.now)
    .execute(tx.connection)?;
    Ok(changed.rows_affected == 1)
}

/// Whether there was anything to take back.
fn delete(tx: &mut Tx<'_>, target: &DrainTarget) -> Result<bool, StoreError> {
    let (scope, name) = key(target);
    let deleted = sql::query(
        "delete from drain where (scope = ?1 and name = ?2) or (?1 = 'node' and scope = 'worker' and name in ( \
             select cast(worker_id as text) from worker where node = ?2))",
    )
    .bind(scope)
    .bind(name)
    .execute(tx.connection)?;
    Ok(deleted.rows_affected > 0)
}

fn drained_node_of(tx: &mut Tx<'_>, worker: WorkerId) -> Result<Option<String>, StoreError> {
    sql::query_scalar(
        "select node from worker join drain on scope = 'node' and drain.name = worker.node where worker_id = ?",
    )
    .bind(worker.0)
    .fetch_optional(tx.connection)
}

fn running_at(tx: &mut Tx<'_>, target: &DrainTarget) -> Result<Vec<JobId>, StoreError> {
    let (scope, name) = key(target);
    let found: Vec<i64> = sql::query_scalar(
        "select job.job_id from job join attempt using (attempt_id) join worker using (worker_id) \
         where job.state = 'running' and case ?1 \
             when 'daemon' then true when 'node' then worker.node = ?2 else cast(worker.worker_id as text) = ?2 end \
         order by job.job_id",
    )
    .bind(scope)
    .bind(name)
    .fetch_all(tx.connection)?;
    Ok(found.into_iter().map(JobId).collect())
}

/// Whether a worker gets no new work: it, its machine or the daemon is drained.
pub(crate) fn withholds(connection: &Connection, worker: WorkerId) -> Result<bool, StoreError> {
    Ok(is_daemon_drained(connection)? || is_worker_drained(connection, worker)?)
}

/// Whether a worker or its machine is drained. That the daemon is says nothing about the worker.
pub(crate) fn is_worker_drained(connection: &Connection, worker: WorkerId) -> Result<bool, StoreError> {
    sql::query_scalar(
        "select exists (select 1 from drain where (scope = 'worker' and name = cast(?1 as text)) \
             or (scope = 'node' and name = (select node from worker where worker_id = ?1)))",
    )
    .bind(worker.0)
    .fetch_one(connection)
}

/// Whether nobody gets new work.
pub(crate) fn is_daemon_drained(connection: &Connection) -> Result<bool, StoreError> {
    sql::query_scalar("select exists (select 1 from drain where scope = 'daemon')").fetch_one(connection)
}

type DrainRow = (String, String, String, i64);

impl Store {
    /// Who gets no new work: the daemon first, then machines, then workers that are online.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn drains(&self) -> Result<Vec<DrainView>, StoreError> {
        let found: Vec<DrainRow> = sql::query_as(
            "select scope, name, how, since from drain \
             where scope <> 'worker' \
                 or exists (select 1 from worker where worker_id = cast(drain.name as integer) and online = 1) \
             order by scope, name",
        )
        .fetch_all(&self.readers)
        .await?;
        found.into_iter().map(view).collect()
    }
}

fn view((scope, name, how, since): DrainRow) -> Result<DrainView, StoreError> {
    let unknown = |what: &str| StoreError::internal(format!("unknown drain `{what}`"));
    let target = match scope.as_str() {
        "daemon" => DrainTarget::Daemon,
        "node" => DrainTarget::Node(name),
        "worker" => DrainTarget::Worker(name.parse().map_err(|_| unknown(&name))?),
        other => return Err(unknown(other)),
    };
    Ok(DrainView { target, how: DrainHow::from_name(&how).ok_or_else(|| unknown(&how))?, since })
}
