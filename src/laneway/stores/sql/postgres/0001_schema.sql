create table run (
    id bytea primary key,
    workflow text not null,
    version text not null,
    reference text not null,
    status text not null,
    key text,
    engine text,
    context bytea not null,
    final bytea,
    error bytea,
    created double precision not null,
    ended double precision,
    fingerprints bytea not null,
    priority integer not null default 0,
    deadline double precision,
    due double precision,
    parent bytea,
    parent_task text,
    parent_item integer,
    origin bytea,
    tags jsonb
);

create unique index run_key on run (key) where key is not null;
create index run_open on run (status, workflow) where status not in ('succeeded', 'failed', 'cancelled');
create index run_workflow on run (workflow, id);
create index run_engine on run (engine) where engine is not null;
create index run_ended on run (ended) where ended is not null;
create index run_parent on run (parent) where parent is not null;
create index run_tags on run using gin (tags jsonb_path_ops) where tags is not null;

create table step (
    run bytea not null,
    task text not null,
    item integer not null,
    status text not null,
    attempt integer not null,
    lane text not null,
    worker text not null,
    started double precision not null,
    duration double precision not null,
    stopped_by text not null,
    patch bytea,
    removed bytea,
    error bytea,
    attempts bytea,
    output bytea not null,
    due double precision,
    primary key (run, task, item)
);

create table event (
    seq bigint generated always as identity primary key,
    run bytea not null,
    kind text not null,
    task text,
    item integer not null,
    at double precision not null,
    data bytea,
    tx xid8 not null default pg_current_xact_id()
);

create index event_run on event (run, seq);

create table engine (
    id text primary key,
    host text not null,
    pid integer not null,
    started double precision not null,
    expires timestamptz not null,
    schema integer not null default 1,
    batch bigint not null default 0
);

create table wish (
    run bytea not null,
    wish text not null,
    name text not null,
    value bytea,
    at double precision not null,
    primary key (run, wish, name)
);

create table signal (
    run bytea not null,
    name text not null,
    value bytea not null,
    at double precision not null,
    primary key (run, name)
);

create table document (
    kind text not null,
    name text not null,
    version bigint not null,
    body bytea not null,
    primary key (kind, name)
);

create table artifact (
    hash bytea primary key,
    size bigint not null,
    created double precision not null,
    body bytea not null
);

create table artifact_use (
    run bytea not null,
    hash bytea not null,
    primary key (run, hash)
);

create index artifact_use_hash on artifact_use (hash);
