-- Jobs that ask for the same, for as long, in the order in which they are handed out: what a short job may have while a device is kept for
-- somebody, an older one without a time limit may not.
drop index job_claim;
create index job_claim on job (demand_id, time_limit_s, priority desc, owner, job_id, not_before) where state = 'queued' and held = 0;
