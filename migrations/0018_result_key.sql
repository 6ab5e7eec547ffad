-- What `rrm submit --reuse` goes by: a job is taken for done where the same code has made it of the same images.

-- The code that a worker's jobs run, as they tell when they start. Null in rows from before it was told.
alter table worker add column code_version text;

-- SHA-256 over the job's content key (which no longer holds the software's version, as 0010 says), the code, the images and the result keys
-- of the jobs that it needs: results of equal keys are the same, up to their devices' rounding. Null where one of them is not known, or
-- where several versions of the code had a part in it.
alter table attempt add column result_key text check (length(result_key) = 64);

-- The images that the newest run found under a dataset's name. Where it finds others than the one before, what is known of the dataset's
-- other splits and numbers of images is forgotten.
create table reading (
    dataset text not null,
    split text not null check (split in ('train', 'test')),
    -- The first so many; 0 = all.
    images integer not null check (images >= 0),
    data_sha256 text not null check (length(data_sha256) = 64),
    primary key (dataset, split, images)
) strict, without rowid;

drop view provenance;
create view provenance as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.kind, j.dataset, j.spec ->> '$.seed' as seed,
    v.evaluation_id, v.label as attack, v.norm, v.epsilon,
    case j.kind when 'evaluate' then v.weights when 'train' then c.sha256 end as weights_sha256,
    c.sha256 as product_sha256,
    a.data_sha256, a.spec_sha256, j.content_key, a.result_key, a.code_version,
    a.run_device as device, a.run_threads as threads, w.node, a.attempt_id
from job j
join submission s on s.submission_id = j.submission_id
join attempt a on a.job_id = j.job_id and a.outcome = 'ok'
join worker w on w.worker_id = a.worker_id
left join evaluation v on v.attempt_id = a.attempt_id
left join checkpoint c on c.attempt_id = a.attempt_id and c.role = 'final'
where j.state = 'succeeded';

-- As before, but that an evaluation at another temperature says nothing of the network as it was trained.
drop view runs;
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
            -- Nor where it was attacked at another temperature than its own.
            and e.spec ->> '$.temperature' is null
    )
end
-- Of several radii the last that was told, so that a job stays one row.
left join evaluation v on v.evaluation_id = (select max(n.evaluation_id) from evaluation n where n.attempt_id = va.attempt_id)
left join attempt a on a.attempt_id = (select max(n.attempt_id) from attempt n where n.job_id = j.job_id)
left join worker w on w.worker_id = a.worker_id;
