create table run (
    id blob primary key,
    workflow text not null,
    version text not null,
    reference text not null,
    status text not null,
    key text,
    engine text,
    context blob not null,
    final blob,
    error blob,
    created real not null,
    ended real,
    fingerprints blob not null
) without rowid;

create unique index run_key on run (key) where key is not null;
create index run_open on run (status, workflow) where status not in ('succeeded', 'failed', 'cancelled');
create index run_workflow on run (workflow, id);

create table step (
    run blob not null,
    task text not null,
    item integer not null,
    status text not null,
    attempt integer not null,
    lane text not null,
    worker text not null,
    started real not null,
    duration real not null,
    stopped_by text not null,
    patch blob,
    removed blob,
    error blob,
    attempts blob,
    output text not null,
    due real,
    primary key (run, task, item)
) without rowid;

create table event (
    seq integer primary key,
    run blob not null,
    kind text not null,
    task text,
    item integer not null,
    at real not null,
    data blob
);

create index event_run on event (run, seq);

create table engine (
    id text primary key,
    host text not null,
    pid integer not null,
    started real not null,
    expires real not null
);

create table wish (
    run blob not null,
    wish text not null,
    at real not null,
    primary key (run, wish)
) without rowid;
