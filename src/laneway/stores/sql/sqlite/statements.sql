-- name: engine_register
insert into engine (id, host, pid, started, expires, schema) values (?, ?, ?, ?, ?, ?);

-- name: engine_renew
update engine set expires = ? where id = ?;

-- name: engine_forget
delete from engine where id = ?;

-- name: engine_expires
select expires from engine where id = ?;

-- name: engines
select id, host, pid, started, expires from engine;

-- name: run_by_key
select id, workflow, version, reference, status, key, engine, context, final, error, created, ended, fingerprints,
    priority, deadline, due, parent, parent_task, parent_item, origin, tags
from run where key = ?;

-- name: run_by_id
select id, workflow, version, reference, status, key, engine, context, final, error, created, ended, fingerprints,
    priority, deadline, due, parent, parent_task, parent_item, origin, tags
from run where id = ?;

-- name: run_insert
insert into run (id, workflow, version, reference, status, key, engine, context, created, fingerprints,
    priority, deadline, parent, parent_task, parent_item, origin, tags)
values (?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: run_insert_plain
insert into run (id, workflow, version, reference, status, engine, context, created, fingerprints)
values (?, ?, ?, ?, 'running', ?, ?, ?, ?);

-- name: tag_insert
insert into tag (name, value, run) values (?, ?, ?);

-- name: run_end
update run set status = ?, ended = ?, final = ?, error = ?, due = null, engine = null where id = ? and engine = ?;

-- name: run_rest
update run set status = :status, engine = null,
    due = case when exists (select 1 from wish where wish.run = :run) then 0.0 else :due end
where id = :run and engine = :engine;

-- name: run_reopen
update run set status = 'running', ended = null, final = null, error = null, due = null,
    context = coalesce(?, context)
where id = ? and engine = ?;

-- name: step_forget
delete from step where run = ? and task = ? and item = ?;

-- name: run_take
update run set engine = ?, status = 'running', due = null where id = ?;

-- name: run_free
update run set engine = null where engine = ? and ended is null;

-- name: run_status
select status, engine from run where id = ?;

-- name: runs_claimable
select id, priority from run
where ended is null and engine is null and status in ('running', 'suspended')
    and workflow in (select value from json_each(:workflows)) and (status = 'running' or due <= :now)
union all
select id, priority from run
where ended is null and engine in (select value from json_each(:dead)) and status in ('running', 'suspended')
    and workflow in (select value from json_each(:workflows)) and (status = 'running' or due <= :now)
order by priority desc, id limit :limit;

-- name: run_wake
update run set due = 0.0 where id = ? and status = 'suspended' and engine is null;

-- name: agenda_due
select min(due) from run
where ended is null and engine is null and status = 'suspended' and workflow in (select value from json_each(?));

-- name: agenda_free
select 1 from run
where ended is null and engine is null and status = 'running' and workflow in (select value from json_each(?)) limit 1;

-- name: agenda_leases
select engine.id, engine.host, engine.pid, engine.started, engine.expires
from engine
where engine.id <> ?
    and exists (select 1 from run where run.ended is null and run.engine = engine.id and run.status = 'running'
        and run.workflow in (select value from json_each(?)));

-- name: step_write
insert into step (run, task, item, status, attempt, lane, worker, started, duration, stopped_by, patch, removed,
    error, attempts, output, due)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (run, task, item) do update set
    status = excluded.status, attempt = excluded.attempt, lane = excluded.lane, worker = excluded.worker,
    started = excluded.started, duration = excluded.duration, stopped_by = excluded.stopped_by,
    patch = excluded.patch, removed = excluded.removed, error = excluded.error, attempts = excluded.attempts,
    output = excluded.output, due = excluded.due
where step.status not in ('succeeded', 'failed', 'skipped', 'cancelled');

-- name: step_status
select status from step where run = ? and task = ? and item = ?;

-- name: steps_of
select run, task, item, status, attempt, lane, worker, started, duration, stopped_by, patch, removed, error,
    attempts, output, due
from step where run = ? order by started + duration, task, item;

-- name: event_write
insert into event (run, kind, task, item, at, data) values (?, ?, ?, ?, ?, ?);

-- name: wish_write
insert into wish (run, wish, name, value, at) values (?, ?, ?, ?, ?)
on conflict (run, wish, name) do update set value = excluded.value, at = excluded.at;

-- name: wishes_of
select wish.run, wish.wish, wish.name, wish.value from wish cross join run on run.id = wish.run
where run.engine = ? order by wish.at;

-- name: wish_done
delete from wish where run = ? and wish = ? and name = ?;

-- name: wishes_done
delete from wish where run = ?;

-- name: signal_write
insert into signal (run, name, value, at) values (?, ?, ?, ?)
on conflict (run, name) do update set value = excluded.value, at = excluded.at;

-- name: signals_of
select name, value, at from signal where run = ? order by at, name;

-- name: runs
select id, workflow, version, reference, status, key, engine, context, final, error, created, ended, fingerprints,
    priority, deadline, due, parent, parent_task, parent_item, origin, tags
from run
where (:workflow is null or workflow = :workflow)
    and (:status is null or status = :status)
    and (:key is null or key = :key)
    and (:parent is null or parent = :parent)
    and (:before is null or id < :before)
    and (:since is null or id >= :since)
    and (:search is null or workflow like :search escape '\' or key like :search escape '\'
        or cast(tags as text) like :search escape '\' or cast(context as text) like :search escape '\'
        or cast(error as text) like :search escape '\')
order by id desc limit :limit;

-- name: runs_tagged
select id, workflow, version, reference, status, key, engine, context, final, error, created, ended, fingerprints,
    priority, deadline, due, parent, parent_task, parent_item, origin, tags
from run
where id in (
        select tag.run from tag join json_each(:tags) as wanted on tag.name = wanted.key and tag.value = wanted.value
        group by tag.run having count(*) = :number
    )
    and (:workflow is null or workflow = :workflow)
    and (:status is null or status = :status)
    and (:key is null or key = :key)
    and (:parent is null or parent = :parent)
    and (:before is null or id < :before)
    and (:since is null or id >= :since)
    and (:search is null or workflow like :search escape '\' or key like :search escape '\'
        or cast(tags as text) like :search escape '\' or cast(context as text) like :search escape '\'
        or cast(error as text) like :search escape '\')
order by id desc limit :limit;

-- name: events
select seq, run, kind, task, item, at, data from event where seq > :after and run != x'' order by seq limit :limit;

-- name: events_of
select seq, run, kind, task, item, at, data from event
where run = :run and seq > :after order by seq limit :limit;

-- name: counts
select status, count(*) from run group by status order by status;

-- name: sizes
select (select count(*) from run), (select count(*) from step), (select count(*) from event where run != x''),
    (select count(*) from artifact), (select coalesce(sum(size), 0) from artifact), (select count(*) from document);

-- name: schema
select max(cast(substr(name, 1, 4) as integer)) from migration;

-- name: ages
select (select created from run order by id limit 1),
    (select min(ended) from run
        where ended is not null and (parent is null or not exists (
            select 1 from run as above
            where above.id = run.parent and above.status not in ('succeeded', 'failed', 'cancelled'))));

-- name: document_version
select version from document where kind = ? and name = ?;

-- name: document_write
insert into document (kind, name, version, body) values (?, ?, ?, ?)
on conflict (kind, name) do update set version = excluded.version, body = excluded.body;

-- name: document_remove
delete from document where kind = ? and name = ?;

-- name: documents
select name, version, body from document where kind = :kind and (:name is null or name = :name) order by name;

-- name: sweep_find
select id from run
where ended < ? and (parent is null or not exists (
    select 1 from run as above
    where above.id = run.parent and above.status not in ('succeeded', 'failed', 'cancelled')))
order by ended limit ?;

-- name: sweep_run
delete from run where id = ?;

-- name: sweep_step
delete from step where run = ?;

-- name: sweep_event
delete from event where run = ?;

-- The newest number stays taken when its event is swept: numbers that come again would be behind somebody's cursor.
-- name: sweep_last
select seq, run from event order by seq desc limit 1;

-- name: sweep_keep_number
update event set run = x'', task = null, data = null where seq = ?;

-- name: sweep_old_number
delete from event where run = x'' and seq < ?;

-- name: sweep_tag
delete from tag where run = ?;

-- name: sweep_wish
delete from wish where run = ?;

-- name: sweep_signal
delete from signal where run = ?;

-- name: sweep_artifact_use
delete from artifact_use where run = ?;
