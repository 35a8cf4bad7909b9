-- name: lead
select term, engine, expires - extract(epoch from clock_timestamp()) from schedule_lead for update;

-- name: lead_card
select id, host, pid, started from schedule_engine where id = %s;

-- name: lead_take
update schedule_lead set term = term + 1, engine = %s, expires = extract(epoch from clock_timestamp()) + %s;

-- name: lead_extend
update schedule_lead set expires = extract(epoch from clock_timestamp()) + %s where engine = %s;

-- name: lead_shorten
update schedule_lead set expires = least(expires, extract(epoch from clock_timestamp()) + %s);

-- name: lead_leave
update schedule_lead set engine = null, expires = null where engine = %s;

-- name: engine_add
insert into schedule_engine (id, host, pid, started) values (%s, %s, %s, %s) on conflict (id) do nothing;

-- name: engine_remove
delete from schedule_engine where id = %s;

-- name: engines
select id, host, pid, started from schedule_engine;

-- name: define
insert into schedule (name, body, paused, due, start) values (%(name)s, %(body)s, %(paused)s, %(due)s, %(start)s)
on conflict (name) do update set
    body = excluded.body,
    paused = case when %(reset)s::boolean then excluded.paused else schedule.paused end,
    due = case when %(reset)s::boolean then excluded.due else schedule.due end,
    start = case when %(reset)s::boolean then excluded.start else schedule.start end;

-- name: forget
delete from schedule where name = %s;

-- name: forget_firings
delete from firing where name = %s;

-- name: move
update schedule set due = %(due)s, start = %(start)s, missed = missed + %(missed)s
where name = %(name)s and due = %(seen)s and not paused;

-- name: fire
insert into firing (name, due, status, why)
values (%(name)s, %(due)s, case
    when %(alone)s::boolean and exists (select 1 from firing where name = %(name)s and status in ('owed', 'running'))
    then 'overlapped' else 'owed' end, %(why)s)
on conflict (name, due) do nothing;

-- name: settle
update firing set status = %(status)s, run = %(run)s, started = %(started)s, ended = %(ended)s, reason = %(reason)s
where name = %(name)s and due = %(due)s;

-- name: settle_job
update schedule set last_due = %(due)s, last_status = %(status)s, last_run = %(run)s where name = %(name)s;

-- name: prune
delete from firing where name = %(name)s and status not in ('owed', 'running')
    and due < (select due from firing where name = %(name)s order by due desc limit 1 offset %(keep)s);

-- name: pass_away
delete from schedule where name = %(name)s and due is null
    and not exists (select 1 from firing where name = %(name)s and status in ('owed', 'running'));

-- name: agenda
select body, paused, due, start, missed, last_due, last_status, last_run from schedule
where not paused and start <= %s order by start, name limit %s;

-- name: agenda_next
select min(start) from schedule where not paused and start is not null and start > %s;

-- name: jobs
select body, paused, due, start, missed, last_due, last_status, last_run from schedule
where %(name)s::text is null or name = %(name)s order by name;

-- name: job
select body, paused, due, start, missed, last_due, last_status, last_run from schedule where name = %(name)s;

-- name: owed
select firing.name, firing.due, firing.status, firing.run, firing.started, firing.ended, firing.reason, firing.why,
    schedule.body
from firing join schedule on schedule.name = firing.name
where firing.status in ('owed', 'running') order by firing.seq limit %s;

-- name: history
select name, due, status, run, started, ended, reason, why from firing order by seq desc limit %s;

-- name: history_of
select name, due, status, run, started, ended, reason, why from firing where name = %s order by due desc limit %s;

-- name: term
select term from schedule_lead for share;

-- name: notify
select pg_notify(%s, '');

-- name: time
select extract(epoch from clock_timestamp())::double precision;
