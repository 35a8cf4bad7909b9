create table migration (
    name text primary key,
    at real not null
) without rowid;

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
    fingerprints blob not null,
    priority integer not null default 0,
    deadline real,
    due real,
    parent blob,
    parent_task text,
    parent_item integer,
    origin blob,
    tags blob
) without rowid;

create unique index run_key on run (key) where key is not null;
create index run_open on run (status, workflow) where status not in ('succeeded', 'failed', 'cancelled');
create index run_workflow on run (workflow, id);
create index run_ended on run (ended) where ended is not null;
create index run_parent on run (parent) where parent is not null;

create table tag (
    name text not null,
    value text not null,
    run blob not null,
    primary key (name, value, run)
) without rowid;

create index tag_run on tag (run);

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
    expires real not null,
    schema integer not null default 1
);

create table wish (
    run blob not null,
    wish text not null,
    name text not null,
    value blob,
    at real not null,
    primary key (run, wish, name)
) without rowid;

create table signal (
    run blob not null,
    name text not null,
    value blob not null,
    at real not null,
    primary key (run, name)
) without rowid;

create table document (
    kind text not null,
    name text not null,
    version integer not null,
    body blob not null,
    primary key (kind, name)
) without rowid;

create table artifact (
    hash blob primary key,
    size integer not null,
    created real not null
) without rowid;

create table artifact_use (
    run blob not null,
    hash blob not null,
    primary key (run, hash)
) without rowid;

create index artifact_use_hash on artifact_use (hash);
