-- Jobs by what their results depend on, what a plan found done already, and what a run tells of its images and its spec.

-- SHA-256 over code version, spec and the keys of the jobs that it needs. Null where something is of unknown content, such as a file, and
-- in rows from before.
alter table job add column content_key text check (length(content_key) = 64);
create index job_content on job (content_key) where state = 'succeeded';

-- Jobs of a plan that were not queued since an earlier job had done the same.
create table reuse (
    submission_id integer not null references submission,
    -- Places in the plan: those of the jobs that were queued have the others.
    ordinal integer not null,
    name text not null,
    -- The earlier job.
    job_id integer not null references job,
    primary key (submission_id, ordinal),
    unique (submission_id, name)
) strict, without rowid;

-- Told by the trainer when it begins; null until then and in rows from before.
alter table attempt add column data_sha256 text check (length(data_sha256) = 64);
alter table attempt add column spec_sha256 text check (length(spec_sha256) = 64);

-- One row per job of a plan that was found done.
create view reuses as
select r.submission_id, s.name as plan, r.name, r.job_id, j.submission_id as done_submission_id, j.name as done_name
from reuse r
join submission s on s.submission_id = r.submission_id
join job j on j.job_id = r.job_id;

-- What each number comes from: one row per job that succeeded, and of an evaluation one per radius.
create view provenance as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.kind, j.dataset, j.spec ->> '$.seed' as seed,
    v.evaluation_id, v.label as attack, v.norm, v.epsilon,
    case j.kind when 'evaluate' then v.weights when 'train' then c.sha256 end as weights_sha256,
    c.sha256 as product_sha256,
    a.data_sha256, a.spec_sha256, j.content_key, a.code_version,
    a.run_device as device, a.run_threads as threads, w.node, a.attempt_id
from job j
join submission s on s.submission_id = j.submission_id
join attempt a on a.job_id = j.job_id and a.outcome = 'ok'
join worker w on w.worker_id = a.worker_id
left join evaluation v on v.attempt_id = a.attempt_id
left join checkpoint c on c.attempt_id = a.attempt_id and c.role = 'final'
where j.state = 'succeeded';
