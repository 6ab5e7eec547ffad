-- The newest plan of somebody: `--plan last` asks for it, and must not look through everybody's.
create index submission_owner on submission (owner, submission_id);
