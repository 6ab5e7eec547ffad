-- What users want of jobs and workers: held jobs, time limits, preemption, retries, drained workers.
--
-- SQLite cannot alter a check, and a name that a retry has again was unique in its plan: the tables job and attempt are made anew.
-- Foreign keys are off while migrations run; that none dangles is checked at the end of this one.

drop view runs;
drop view queue;

create table job_next (
    job_id integer primary key autoincrement,
    submission_id integer not null references submission,
    ordinal integer not null,
    name text not null,
    kind text not null check (kind in ('train', 'evaluate', 'synthesize')),
    dataset text not null,
    -- The whole job as JSON, references resolved to ids: what a worker gets, and what a result means.
    spec text not null check (json_valid(spec)),
    device_request text not null check (device_request in ('any', 'cpu', 'cuda')),
    priority integer not null,
    epochs_total integer not null check (epochs_total >= 0),
    max_retries integer not null check (max_retries >= 0),
    crash_limit integer not null check (crash_limit > 0),
    retries integer not null default 0,
    crashes integer not null default 0,
    state text not null
        check (state in ('waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'skipped')),
    -- Why a running job is to stop. Kept where that was its end: of a cancelled job, and of one that failed by its time limit.
    stop text check (stop in ('cancel', 'preempt', 'timeout')),
    -- The only attempt that may write. Null whenever the job is not running, so that an ended attempt has no rights.
    attempt_id integer references attempt,
    reason text,
    -- A job that is tried again after an error of the machine is not handed out before.
    not_before integer,
    created_at integer not null,
    queued_at integer,
    started_at integer,
    ended_at integer,
    -- See migration 10.
    content_key text check (length(content_key) = 64),
    -- Not handed out until somebody releases it. A job that runs may be held for the time when it is queued again.
    held integer not null default 0 check (held in (0, 1)),
    -- How long one attempt may take, by the worker's monotonic clock; null = as long as it wants.
    time_limit_s integer check (time_limit_s > 0),
    -- The job that this one does again. Each is done again at most once: chains do not branch.
    retry_of integer references job,
    unique (submission_id, ordinal),
    check ((state = 'running') = (attempt_id is not null)),
    check ((state in ('succeeded', 'failed', 'cancelled', 'skipped')) = (ended_at is not null)),
    check (stop is null or state in ('running', 'cancelled') or (state = 'failed' and stop = 'timeout')),
    check (retry_of < job_id)
) strict;

insert into job_next (job_id, submission_id, ordinal, name, kind, dataset, spec, device_request, priority, epochs_total,
    max_retries, crash_limit, retries, crashes, state, stop, attempt_id, reason, not_before, created_at, queued_at, started_at,
    ended_at, content_key)
select job_id, submission_id, ordinal, name, kind, dataset, spec, device_request, priority, epochs_total,
    max_retries, crash_limit, retries, crashes, state, stop, attempt_id, reason, not_before, created_at, queued_at, started_at,
    ended_at, content_key
from job;

create table attempt_next (
    -- Lease, fencing token and name of log and checkpoints in one: it must never be used twice.
    attempt_id integer primary key autoincrement,
    job_id integer not null references job,
    number integer not null check (number > 0),
    worker_id integer not null references worker,
    device text not null,
    -- The lease call that got it: the same call, repeated, gets it again. In brackets where none did: see `carried` in the code.
    lease_request text not null,
    started_at integer not null,
    ended_at integer,
    outcome text
        check (outcome in ('ok', 'user-error', 'oom', 'stopped', 'crashed', 'lost', 'worker-error', 'timeout')),
    message text,
    exit_code integer,
    signal integer,
    -- Number of the last record that is stored: a record is taken exactly once, whatever is sent again.
    last_seq integer not null default 0 check (last_seq >= 0),
    -- What the trainer told when it began; null until then.
    run_device text,
    run_threads integer,
    code_version text,
    parameters integer,
    -- Epochs of earlier attempts from here on are superseded by this attempt's.
    first_epoch integer check (first_epoch > 0),
    -- See migration 10.
    data_sha256 text check (length(data_sha256) = 64),
    spec_sha256 text check (length(spec_sha256) = 64),
    unique (job_id, number),
    check ((ended_at is null) = (outcome is null))
) strict;

insert into attempt_next (attempt_id, job_id, number, worker_id, device, lease_request, started_at, ended_at, outcome, message,
    exit_code, signal, last_seq, run_device, run_threads, code_version, parameters, first_epoch, data_sha256, spec_sha256)
select attempt_id, job_id, number, worker_id, device, lease_request, started_at, ended_at, outcome, message,
    exit_code, signal, last_seq, run_device, run_threads, code_version, parameters, first_epoch, data_sha256, spec_sha256
from attempt;

-- An id that was ever told to anybody is never given to something else: the counters go on where they were.
delete from sqlite_sequence where name in ('job_next', 'attempt_next');
insert into sqlite_sequence (name, seq) select name || '_next', seq from sqlite_sequence where name in ('job', 'attempt');

drop table job;
drop table attempt;

-- Views go on to name the tables, and so do foreign keys.
pragma legacy_alter_table = on;
alter table job_next rename to job;
alter table attempt_next rename to attempt;
pragma legacy_alter_table = off;

-- Exactly the order in which jobs are handed out; covering, so that jobs that do not fit are passed over cheaply. Held jobs are not in it.
create index job_ready on job (priority desc, job_id, device_request, not_before) where state = 'queued' and held = 0;
create index job_running on job (attempt_id) where state = 'running';
create index job_state on job (state, job_id);
create index job_content on job (content_key) where state = 'succeeded';
-- A retry has the name of the job that it does again.
create unique index job_name on job (submission_id, name) where retry_of is null;
create unique index job_retry on job (retry_of) where retry_of is not null;

-- The state machine lives in the code. This much of it is worth a second lock: a published result must not come undone.
create trigger job_end_is_final before update of state on job
when old.state in ('succeeded', 'failed', 'cancelled', 'skipped') and new.state <> old.state
begin
    select raise(abort, 'a job that has ended cannot change its state');
end;

-- Two trainers of one job, or on one device, would be a bug of the daemon: refuse it here.
create unique index attempt_open_job on attempt (job_id) where ended_at is null;
create unique index attempt_open_device on attempt (worker_id, device) where ended_at is null;
create index attempt_request on attempt (worker_id, lease_request);

-- Who gets no new work.
create table drain (
    scope text not null check (scope in ('daemon', 'node', 'worker')),
    -- The machine's name, or the worker's id; empty for the daemon.
    name text not null,
    -- What becomes of what runs there: it runs to its end, or it was told to give way.
    how text not null check (how in ('finish', 'now')),
    since integer not null,
    primary key (scope, name)
) strict, without rowid;

-- Requests that would have another effect if they were carried out once more, with what they were answered.
create table request (
    -- Chosen by the client before its first try.
    request_id text primary key,
    asked text not null check (json_valid(asked)),
    answered text not null check (json_valid(answered)),
    at integer not null
) strict, without rowid;

-- One wide row per job. Of a train job the natural accuracy is its last epoch's, and the attack's columns come from the
-- newest evaluation of its final weights; of an evaluation job both are its own.
--
-- Sums over epochs are subqueries, and joins go to tables: a join with another view would be worked out for all jobs even
-- where one is asked for.
create view runs as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.kind, j.state, j.reason, j.priority, j.dataset,
    j.spec ->> '$.arch' as arch,
    j.spec ->> '$.method.kind' as method,
    t.job_id as teacher_job_id,
    coalesce(t.name, j.spec ->> '$.method.teacher.checkpoint', j.spec ->> '$.method.teacher.artifact') as teacher,
    j.spec ->> '$.seed' as seed,
    j.epochs_total,
    coalesce(l.epoch, 0) as epochs_done,
    (select sum(e.train_s) from epoch_current e where e.job_id = j.job_id) as train_s,
    (select avg(e.train_s) from epoch_current e where e.job_id = j.job_id) as epoch_s,
    (select sum(e.validation_s) from epoch_current e where e.job_id = j.job_id) as validation_s,
    (select sum(e.train_s) from epoch_current e where e.job_id = t.job_id) as teacher_train_s,
    -- With all that it was made from, each once.
    iif(j.kind = 'evaluate', null, (
        with recursive ancestor(job_id) as (
            select j.job_id union select n.parent_id from dependency n join ancestor using (job_id)
        )
        select sum(e.train_s) from epoch_current e where e.job_id in (select ancestor.job_id from ancestor)
    )) as train_with_teacher_s,
    l.loss as final_loss,
    coalesce(l.natural_correct, v.natural_correct) as natural_correct,
    coalesce(l.natural_total, v.natural_total) as natural_total,
    1.0 * coalesce(l.natural_correct, v.natural_correct) / nullif(coalesce(l.natural_total, v.natural_total), 0)
        as natural_accuracy,
    va.job_id as evaluation_job_id, v.label as attack, v.norm, v.epsilon,
    v.robust_correct, v.robust_total, 1.0 * v.robust_correct / nullif(v.robust_total, 0) as robust_accuracy,
    v.robust_low, v.robust_high,
    a.parameters, a.run_device as device, a.run_threads as threads, w.node, a.code_version,
    (select count(*) from attempt n where n.job_id = j.job_id) as attempts,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.created_at / 1e6, 'unixepoch') as created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.started_at / 1e6, 'unixepoch') as started_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.ended_at / 1e6, 'unixepoch') as ended_at,
    (j.ended_at - j.started_at) / 1e6 as wall_s,
    iif(j.kind = 'train', coalesce(j.spec ->> '$.precision', 'f32'), null) as precision,
    j.retry_of, (select n.job_id from job n where n.retry_of = j.job_id) as retried_as, j.time_limit_s
from job j
join submission s on s.submission_id = j.submission_id
-- A job may need others than its teacher. References are written #12.
left join job t on j.kind = 'train' and t.job_id = cast(ltrim(j.spec ->> '$.method.teacher.job', '#') as integer)
left join epoch l on l.epoch = (select max(e.epoch) from epoch_current e where e.job_id = j.job_id)
    and l.attempt_id = (select e.attempt_id from epoch_current e where e.job_id = j.job_id order by e.epoch desc limit 1)
left join attempt va on va.outcome = 'ok' and va.job_id = case j.kind
    when 'evaluate' then iif(j.state = 'succeeded', j.job_id, null)
    else (
        select max(m.job_id) from dependency m join job e on e.job_id = m.job_id
        where m.parent_id = j.job_id and e.kind = 'evaluate' and e.state = 'succeeded'
            -- Not where the network was another's teacher.
            and e.spec ->> '$.model.job' = '#' || j.job_id
    )
end
-- Of several radii the last that was told, so that a job stays one row.
left join evaluation v on v.evaluation_id = (select max(n.evaluation_id) from evaluation n where n.attempt_id = va.attempt_id)
left join attempt a on a.attempt_id = (select max(n.attempt_id) from attempt n where n.job_id = j.job_id)
left join worker w on w.worker_id = a.worker_id;

-- What has not ended: running jobs first, then the others in the order in which they will be handed out.
create view queue as
select
    row_number() over (
        order by j.state = 'running' desc, j.state = 'queued' and j.held = 0 desc, j.state = 'queued' desc, j.priority desc, j.job_id
    ) as position,
    j.job_id, j.submission_id, s.name as plan, j.name, j.kind, j.state, j.stop, j.priority, j.device_request, j.reason,
    j.retries, j.crashes,
    (
        select count(*) from dependency d join job p on p.job_id = d.parent_id
        where d.job_id = j.job_id and p.state <> 'succeeded'
    ) as open_parents,
    a.attempt_id, w.node, a.device,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.created_at / 1e6, 'unixepoch') as created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(a.started_at, j.queued_at, j.created_at) / 1e6, 'unixepoch') as since,
    j.held, j.time_limit_s, j.retry_of,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.not_before / 1e6, 'unixepoch') as not_before
from job j
join submission s on s.submission_id = j.submission_id
left join attempt a on a.attempt_id = j.attempt_id
left join worker w on w.worker_id = a.worker_id
where j.state in ('waiting', 'queued', 'running');

-- A reference that leads nowhere undoes all of this.
create temporary table dangling (reference text check (reference is null));
insert into temp.dangling select "table" from pragma_foreign_key_check;
drop table temp.dangling;
