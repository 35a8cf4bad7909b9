-- name: engine_register
insert into engine (id, host, pid, started, expires) values (?, ?, ?, ?, ?);

-- name: engine_renew
update engine set expires = ? where id = ?;

-- name: engine_forget
delete from engine where id = ?;

-- name: engine_alive
select 1 from engine where id = ?;

-- name: engines
select id, host, pid, started, expires from engine;

-- name: run_by_key
select * from run where key = ?;

-- name: run_by_id
select * from run where id = ?;

-- name: run_insert
insert into run (id, workflow, version, reference, status, key, engine, context, created, fingerprints)
values (?, ?, ?, ?, 'running', ?, ?, ?, ?, ?);

-- name: run_end
update run set status = ?, ended = ?, final = ?, error = ?, engine = null where id = ?;

-- name: run_take
update run set engine = ?, status = 'running' where id = ?;

-- name: run_free
update run set engine = null where engine = ? and status = 'running';

-- name: runs_open
select id, workflow, engine, status from run
where status not in ('succeeded', 'failed', 'cancelled') order by id;

-- name: step_write
insert or replace into step values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: steps_of
select * from step where run = ? order by started + duration, task, item;

-- name: event_write
insert into event (run, kind, task, item, at, data) values (?, ?, ?, ?, ?, ?);

-- name: wish_write
insert or ignore into wish (run, wish, at) values (?, ?, ?);

-- name: wishes_of
select wish.run, wish.wish from wish join run on run.id = wish.run where run.engine = ?;

-- name: wish_done
delete from wish where run = ? and wish = ?;

-- name: runs
select * from run
where (:workflow is null or workflow = :workflow)
  and (:status is null or status = :status)
  and (:key is null or key = :key)
order by id desc limit :limit;

-- name: events
select seq, run, kind, task, item, at, data from event where seq > :after order by seq limit :limit;

-- name: events_of
select seq, run, kind, task, item, at, data from event
where run = :run and seq > :after order by seq limit :limit;

-- name: counts
select status, count(*) from run group by status order by status;
