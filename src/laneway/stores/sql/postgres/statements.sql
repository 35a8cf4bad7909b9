-- name: engine_register
insert into engine (id, host, pid, started, expires, schema)
values (%s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s), %s);

-- name: engine_hold
update engine set batch = %s,
    expires = case when expires < clock_timestamp() + make_interval(secs => %s)
        then clock_timestamp() + make_interval(secs => %s) else expires end
where id = %s;

-- name: engine_batch
select batch from engine where id = %s;

-- name: engine_renew
update engine set expires = clock_timestamp() + make_interval(secs => %s) where id = %s;

-- name: engine_share
select 1 from engine where id = %s for share;

-- name: engine_forget
delete from engine where id = any(%s);

-- name: engines
select id, host, pid, started, extract(epoch from expires - clock_timestamp())::double precision from engine;

-- name: engine_gone_now
select id from engine where id = any(%s) and (expires < clock_timestamp() or id = any(%s)) for update skip locked;

-- name: run_by_key
select id, workflow, version, reference, status, key, engine, context, final, error, created, ended, fingerprints,
    priority, deadline, due, parent, parent_task, parent_item, origin, tags
from run where key = %s;

-- name: run_by_id
select id, workflow, version, reference, status, key, engine, context, final, error, created, ended, fingerprints,
    priority, deadline, due, parent, parent_task, parent_item, origin, tags
from run where id = %s;

-- name: run_insert
insert into run (id, workflow, version, reference, status, key, engine, context, created, fingerprints,
    priority, deadline, parent, parent_task, parent_item, origin, tags)
values (%s, %s, %s, %s, 'running', %s, %s, %b, %s, %b, %s, %s, %b, %s, %s, %b, %s)
on conflict (key) where key is not null do nothing;

-- name: run_end
update run set status = ended.status, ended = ended.at, final = ended.final, error = ended.error, due = null, engine = null
from unnest(%s::text[], %s::double precision[], %b::bytea[], %b::bytea[], %b::bytea[])
    as ended (status, at, final, error, id)
where run.id = ended.id and run.engine = %s;

-- name: run_rest
update run set status = %s, engine = null,
    due = case when exists (select 1 from wish where wish.run = run.id) then 0.0 else %s end
where id = %s and engine = %s;

-- name: run_reopen
update run set status = 'running', ended = null, final = null, error = null, due = null,
    context = coalesce(%b::bytea, context)
where id = %s and engine = %s;

-- name: step_forget
delete from step where run = %s and task = %s and item = %s;

-- name: run_lock
select status, engine from run where id = %s for update;

-- name: run_take
update run set engine = %s, status = 'running', due = null where id = any(%b::bytea[]);

-- name: run_free
update run set engine = null where engine = any(%s);

-- name: run_standing
select status, engine from run where id = %s for update;

-- name: runs_claimable
select id from run
where status in ('running', 'suspended') and workflow = any(%s)
    and (engine is null or engine = any(%s))
    and (status = 'running' or due <= %s)
order by priority desc, id limit %s
for update skip locked;

-- name: run_wake
update run set due = 0.0 where id = %s and status = 'suspended' and engine is null;

-- name: agenda_due
select min(due) from run where status = 'suspended' and engine is null and workflow = any(%s);

-- name: agenda_free
select exists (select 1 from run where status = 'running' and engine is null and workflow = any(%s));

-- name: agenda_leases
select id, host, pid, started, extract(epoch from expires - clock_timestamp())::double precision from engine
where id <> %s
    and exists (select 1 from run where run.engine = engine.id and run.status = 'running' and run.workflow = any(%s));

-- name: step_write
insert into step (run, task, item, status, attempt, lane, worker, started, duration, stopped_by, patch, removed,
    error, attempts, output, due)
select * from unnest(%b::bytea[], %s::text[], %s::integer[], %s::text[], %s::integer[], %s::text[], %s::text[],
    %s::double precision[], %s::double precision[], %s::text[], %b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[],
    %b::bytea[], %s::double precision[])
on conflict (run, task, item) do update set
    status = excluded.status, attempt = excluded.attempt, lane = excluded.lane, worker = excluded.worker,
    started = excluded.started, duration = excluded.duration, stopped_by = excluded.stopped_by,
    patch = excluded.patch, removed = excluded.removed, error = excluded.error, attempts = excluded.attempts,
    output = excluded.output, due = excluded.due
where step.status not in ('succeeded', 'failed', 'skipped', 'cancelled');

-- name: steps_of
select run, task, item, status, attempt, lane, worker, started, duration, stopped_by, patch, removed, error,
    attempts, output, due
from step where run = %s order by started + duration, task, item;

-- name: event_write
insert into event (run, kind, task, item, at, data)
select run, kind, task, item, at, data
from unnest(%b::bytea[], %s::text[], %s::text[], %s::integer[], %s::double precision[], %b::bytea[])
    with ordinality as row (run, kind, task, item, at, data, number)
order by number;

-- name: wish_write
insert into wish (run, wish, name, value, at) values (%s, %s, %s, %b, %s)
on conflict (run, wish, name) do update set value = excluded.value, at = excluded.at;

-- name: wishes_take
delete from wish using run where run.id = wish.run and run.engine = %s
returning wish.run, wish.wish, wish.name, wish.value, wish.at;

-- name: wishes_done
delete from wish where run = %s;

-- name: signal_write
insert into signal (run, name, value, at) values (%s, %s, %b, %s)
on conflict (run, name) do update set value = excluded.value, at = excluded.at;

-- name: signals_of
select name, value, at from signal where run = %s order by at, name;

-- name: runs
select id, workflow, version, reference, status, key, engine, context, final, error, created, ended, fingerprints,
    priority, deadline, due, parent, parent_task, parent_item, origin, tags
from run
where (%(workflow)s::text is null or workflow = %(workflow)s)
    and (%(status)s::text is null or status = %(status)s)
    and (%(key)s::text is null or key = %(key)s)
    and (%(parent)s::bytea is null or parent = %(parent)s)
    and (%(before)s::bytea is null or id < %(before)s)
    and (%(since)s::bytea is null or id >= %(since)s)
    and (%(search)s::text is null or workflow ilike %(search)s or key ilike %(search)s or tags::text ilike %(search)s
        or convert_from(context, 'UTF8') ilike %(search)s or convert_from(error, 'UTF8') ilike %(search)s)
    and (%(tags)s::jsonb is null or tags @> %(tags)s)
order by id desc limit %(limit)s;

-- name: events
select seq, run, kind, task, item, at, data from event
where seq > %(after)s and tx < pg_snapshot_xmin(pg_current_snapshot())
order by seq limit %(limit)s;

-- name: events_of
select seq, run, kind, task, item, at, data from event
where run = %(run)s and seq > %(after)s order by seq limit %(limit)s;

-- name: counts
select status, count(*) from run group by status order by status;

-- name: sizes
select (select count(*) from run), (select count(*) from step), (select count(*) from event),
    (select count(*) from artifact), (select coalesce(sum(size), 0)::bigint from artifact),
    (select count(*) from document),
    (select sum(pg_total_relation_size(oid))::bigint from pg_class
        where relkind = 'r' and relnamespace = current_schema()::regnamespace),
    (select max(left(name, 4))::integer from migration);

-- name: ages
select (select created from run order by id limit 1),
    (select min(ended) from run
        where ended is not null and (parent is null or not exists (
            select 1 from run as above
            where above.id = run.parent and above.status not in ('succeeded', 'failed', 'cancelled'))));

-- name: document_lock
select version from document where kind = %s and name = %s for update;

-- name: document_insert
insert into document (kind, name, version, body) values (%s, %s, 1, %b) on conflict (kind, name) do nothing;

-- name: document_update
update document set version = version + 1, body = %b where kind = %s and name = %s;

-- name: document_remove
delete from document where kind = %s and name = %s;

-- name: documents
select name, version, body from document
where kind = %(kind)s and (%(name)s::text is null or name = %(name)s) order by name collate "C";

-- name: sweep_find
select id from run
where ended < %s and (parent is null or not exists (
    select 1 from run as above
    where above.id = run.parent and above.status not in ('succeeded', 'failed', 'cancelled')))
order by ended limit %s
for update skip locked;

-- name: sweep_run
delete from run where id = any(%b::bytea[]);

-- name: sweep_step
delete from step where run = any(%b::bytea[]);

-- name: sweep_event
delete from event where run = any(%b::bytea[]);

-- name: sweep_wish
delete from wish where run = any(%b::bytea[]);

-- name: sweep_signal
delete from signal where run = any(%b::bytea[]);

-- name: notify
select pg_notify(%s, '');
