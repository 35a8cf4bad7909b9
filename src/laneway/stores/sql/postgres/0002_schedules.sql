create table schedule (
    name text primary key,
    body bytea not null,
    paused boolean not null default false,
    due double precision,
    start double precision,
    missed bigint not null default 0,
    last_due double precision,
    last_status text,
    last_run text
);

create index schedule_start on schedule (start, name) where not paused and start is not null;

create table firing (
    seq bigint generated always as identity primary key,
    name text not null,
    due double precision not null,
    status text not null,
    run text,
    started double precision,
    ended double precision,
    reason text not null default '',
    why text not null default 'due'
);

create unique index firing_due on firing (name, due);
create index firing_open on firing (seq) where status in ('owed', 'running');
create index firing_open_of on firing (name) where status in ('owed', 'running');

create table schedule_engine (
    id text primary key,
    host text not null,
    pid bigint not null,
    started double precision not null
);

create table schedule_lead (
    id integer primary key check (id = 1),
    term bigint not null,
    engine text,
    expires double precision
);

insert into schedule_lead (id, term) values (1, 0);
