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
