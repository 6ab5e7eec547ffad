-- Networks that no job made: imported checkpoints, which plans name by name or by hash.

create table import (
    -- Once given, a name means the same network for good: a plan that names it must mean the same next year.
    name text primary key check (length(name) between 1 and 100),
    -- No foreign key to artifact: the row stays when the file is lost, and holds when it is imported anew.
    sha256 text not null check (length(sha256) = 64),
    bytes integer not null check (bytes >= 0),
    -- The network's description as JSON.
    network text not null check (json_valid(network)),
    origin text not null,
    imported_at integer not null
) strict, without rowid;

create index import_file on import (sha256);

create view imports as
select
    name, sha256, bytes,
    network ->> '$.arch' as arch, network ->> '$.channels' as channels, network ->> '$.classes' as classes,
    network ->> '$.normalization' as normalization, network ->> '$.representation_width' as representation_width,
    origin,
    strftime('%Y-%m-%dT%H:%M:%fZ', imported_at / 1e6, 'unixepoch') as imported_at
from import;
