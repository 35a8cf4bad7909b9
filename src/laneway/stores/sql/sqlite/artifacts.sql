-- name: write
insert into artifact (hash, size, created) values (?, ?, ?) on conflict (hash) do nothing;

-- name: use
insert into artifact_use (run, hash) values (?, ?) on conflict (run, hash) do nothing;

-- name: known
select 1 from artifact where hash = ?;

-- name: all
select hash, size, created, (select count(*) from artifact_use join run on run.id = artifact_use.run
    where artifact_use.hash = artifact.hash)
from artifact order by created, hash;

-- name: of_run
select artifact.hash, size, created, (select count(*) from artifact_use as other join run on run.id = other.run
    where other.hash = artifact.hash)
from artifact join artifact_use on artifact_use.hash = artifact.hash
where artifact_use.run = ? order by created, artifact.hash;

-- name: loose
select distinct run from artifact_use
where run < ? and not exists (select 1 from run where run.id = artifact_use.run);

-- name: forget
delete from artifact_use where run = ? and not exists (select 1 from run where run.id = artifact_use.run);

-- name: unused
select hash from artifact
where not exists (select 1 from artifact_use where artifact_use.hash = artifact.hash);

-- name: used_by
select hash from artifact_use where run = ?;

-- name: hashes
select hash from artifact;

-- name: remove
delete from artifact
where hash = ? and not exists (select 1 from artifact_use where artifact_use.hash = artifact.hash)
returning size;
