-- The queue: plans, jobs, their edges, the attempts at them, and the workers that make these.
--
-- Conventions of all migrations: strict tables with singular names; times are microseconds since the Unix epoch, UTC, by
-- the daemon's clock, for display only; enumerations are lower-case words held by checks. Applied files never change.
-- Tables are private to the daemon: readers use the views of 0003.

pragma application_id = 1920101681; -- "rrm1": so that `file` and other programs can tell whose database it is.

create table submission (
    -- autoincrement here and below: an id that was ever told to anybody is never given to something else.
    submission_id integer primary key autoincrement,
    -- Chosen by the client before its first try: a repeated request finds the row instead of making a second one.
    request_id text not null unique,
    -- Of the plan as JSON: tells a repeated request from another one under the same id.
    plan_sha256 text not null check (length(plan_sha256) = 64),
    name text not null,
    client_version text not null,
    host text not null,
    created_at integer not null
) strict;

create table worker (
    worker_id integer primary key autoincrement,
    -- One row per process: a restarted worker has nothing left of the attempts of the one before.
    boot_id text not null unique,
    node text not null,
    version text not null,
    online integer not null check (online in (0, 1)),
    registered_at integer not null,
    -- Written when it comes and goes; in between the daemon knows better, from memory.
    last_seen_at integer not null
) strict;

create table worker_device (
    worker_id integer not null references worker,
    device text not null,
    name text not null,
    primary key (worker_id, device)
) strict, without rowid;

create table job (
    job_id integer primary key autoincrement,
    submission_id integer not null references submission,
    ordinal integer not null,
    name text not null,
    kind text not null check (kind in ('train', 'evaluate')),
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
    -- What a running job has been asked to do; kept when it has been done.
    stop text check (stop in ('cancel')),
    -- The only attempt that may write. Null whenever the job is not running, so that an ended attempt has no rights.
    attempt_id integer references attempt,
    reason text,
    -- A job that is tried again after an error of the machine is not handed out before.
    not_before integer,
    created_at integer not null,
    queued_at integer,
    started_at integer,
    ended_at integer,
    unique (submission_id, ordinal),
    unique (submission_id, name),
    check ((state = 'running') = (attempt_id is not null)),
    check ((state in ('succeeded', 'failed', 'cancelled', 'skipped')) = (ended_at is not null)),
    check (stop is null or state in ('running', 'cancelled'))
) strict;

-- Exactly the order in which jobs are handed out; covering, so that jobs that do not fit are passed over cheaply.
create index job_ready on job (priority desc, job_id, device_request, not_before) where state = 'queued';
create index job_running on job (attempt_id) where state = 'running';
create index job_state on job (state, job_id);

-- The state machine lives in the code. This much of it is worth a second lock: a published result must not come undone.
create trigger job_end_is_final before update of state on job
when old.state in ('succeeded', 'failed', 'cancelled', 'skipped') and new.state <> old.state
begin
    select raise(abort, 'a job that has ended cannot change its state');
end;

-- Edges go from later to earlier jobs only, so there is no cycle.
create table dependency (
    job_id integer not null references job,
    parent_id integer not null references job,
    primary key (job_id, parent_id),
    check (parent_id < job_id)
) strict, without rowid;

create index dependency_parent on dependency (parent_id, job_id);

create table attempt (
    -- Lease, fencing token and name of log and checkpoints in one: it must never be used twice.
    attempt_id integer primary key autoincrement,
    job_id integer not null references job,
    number integer not null check (number > 0),
    worker_id integer not null references worker,
    device text not null,
    -- The lease call that got it: the same call, repeated, gets it again.
    lease_request text not null,
    started_at integer not null,
    ended_at integer,
    outcome text
        check (outcome in ('ok', 'user-error', 'oom', 'stopped', 'crashed', 'lost', 'worker-error')),
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
    unique (job_id, number),
    check ((ended_at is null) = (outcome is null))
) strict;

-- Two trainers of one job, or on one device, would be a bug of the daemon: refuse it here.
create unique index attempt_open_job on attempt (job_id) where ended_at is null;
create unique index attempt_open_device on attempt (worker_id, device) where ended_at is null;
create index attempt_request on attempt (worker_id, lease_request);

-- Everything that happened, once and in order: what watchers see, and the audit.
create table event (
    seq integer primary key autoincrement,
    at integer not null,
    kind text not null,
    submission_id integer references submission,
    job_id integer references job,
    attempt_id integer references attempt,
    worker_id integer references worker,
    data text not null check (json_valid(data))
) strict;

create index event_submission on event (submission_id, seq);
create index event_job on event (job_id, seq);
