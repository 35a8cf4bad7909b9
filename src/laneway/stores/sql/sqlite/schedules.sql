-- name: lead
select term, engine, expires from schedule_lead;

-- name: lead_card
select id, host, pid, started from schedule_engine where id = ?;

-- name: lead_take
update schedule_lead set term = term + 1, engine = ?, expires = ?;

-- name: lead_extend
update schedule_lead set expires = ? where engine = ?;

-- name: lead_shorten
update schedule_lead set expires = min(expires, ?);

-- name: lead_leave
update schedule_lead set engine = null, expires = null where engine = ?;

-- name: engine_add
insert into schedule_engine (id, host, pid, started) values (?, ?, ?, ?) on conflict (id) do nothing;

-- name: engine_remove
delete from schedule_engine where id = ?;

-- name: engines
select id, host, pid, started from schedule_engine;

-- name: define
insert into schedule (name, body, paused, due, start) values (:name, :body, :paused, :due, :start)
on conflict (name) do update set
    body = excluded.body,
    paused = case when :reset then excluded.paused else schedule.paused end,
    due = case when :reset then excluded.due else schedule.due end,
    start = case when :reset then excluded.start else schedule.start end;

-- name: forget
delete from schedule where name = ?;

-- name: forget_firings
delete from firing where name = ?;

-- name: move
update schedule set due = :due, start = :start, missed = missed + :missed
where name = :name and due = :seen and paused = 0;

-- name: fire
insert into firing (name, due, status, why)
values (:name, :due, case
    when :alone and exists (select 1 from firing where name = :name and status in ('owed', 'running'))
    then 'overlapped' else 'owed' end, :why)
on conflict (name, due) do nothing;

-- name: settle
update firing set status = :status, run = :run, started = :started, ended = :ended, reason = :reason
where name = :name and due = :due;

-- name: settle_job
update schedule set last_due = :due, last_status = :status, last_run = :run where name = :name;

-- name: prune
delete from firing where name = :name and status not in ('owed', 'running')
    and due < (select due from firing where name = :name order by due desc limit 1 offset :keep);

-- name: pass_away
delete from schedule where name = :name and due is null
    and not exists (select 1 from firing where name = :name and status in ('owed', 'running'));

-- name: agenda
select body, paused, due, start, missed, last_due, last_status, last_run from schedule
where paused = 0 and start <= ? order by start, name limit ?;

-- name: agenda_next
select min(start) from schedule where paused = 0 and start is not null and start > ?;

-- name: jobs
select body, paused, due, start, missed, last_due, last_status, last_run from schedule
where :name is null or name = :name order by name;

-- name: job
select body, paused, due, start, missed, last_due, last_status, last_run from schedule where name = :name;

-- name: owed
select firing.name, firing.due, firing.status, firing.run, firing.started, firing.ended, firing.reason, firing.why,
    schedule.body
from firing join schedule on schedule.name = firing.name
where firing.status in ('owed', 'running') order by firing.seq limit ?;

-- name: history
select name, due, status, run, started, ended, reason, why from firing order by seq desc limit ?;

-- name: history_of
select name, due, status, run, started, ended, reason, why from firing where name = ? order by due desc limit ?;
