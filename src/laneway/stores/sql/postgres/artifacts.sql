-- name: hold
select hash from artifact where hash = any(%b::bytea[]) order by hash for key share;

-- name: write
insert into artifact (hash, size, created, body) values (%b, %s, %s, %b) on conflict (hash) do nothing;

-- name: write_chunk
insert into artifact_chunk (hash, number, body) values (%b, %s, %b);

-- name: use
insert into artifact_use (run, hash) select %b, unnest(%b::bytea[]) on conflict (run, hash) do nothing;

-- name: first
select size, body from artifact where hash = %b;

-- name: chunk
select body from artifact_chunk where hash = %b and number = %s;

-- name: all
select hash, size, created, (select count(*) from artifact_use join run on run.id = artifact_use.run
    where artifact_use.hash = artifact.hash)
from artifact order by created, hash;

-- name: of_run
select artifact.hash, size, created, (select count(*) from artifact_use as other join run on run.id = other.run
    where other.hash = artifact.hash)
from artifact join artifact_use on artifact_use.hash = artifact.hash
where artifact_use.run = %b order by created, artifact.hash;

-- name: loose
delete from artifact_use
where run < %b and not exists (select 1 from run where run.id = artifact_use.run);

-- name: forget
delete from artifact_use where run = any(%b::bytea[]);

-- name: unused
select hash from artifact
where (%(hashes)s::bytea[] is null or hash = any(%(hashes)s))
    and not exists (select 1 from artifact_use where artifact_use.hash = artifact.hash)
for update skip locked;

-- name: used_by
select distinct hash from artifact_use where run = any(%b::bytea[]);

-- name: remove
delete from artifact
where hash = any(%b::bytea[])
    and not exists (select 1 from artifact_use where artifact_use.hash = artifact.hash)
returning hash, size;

-- name: remove_chunks
delete from artifact_chunk where hash = any(%b::bytea[]);
