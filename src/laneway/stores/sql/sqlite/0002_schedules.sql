create table schedule (
    name text primary key,
    body blob not null,
    paused integer not null default 0,
    due real,
    start real,
    missed integer not null default 0,
    last_due real,
    last_status text,
    last_run text
) without rowid;

create index schedule_start on schedule (start, name) where paused = 0 and start is not null;

create table firing (
    seq integer primary key,
    name text not null,
    due real not null,
    status text not null,
    run text,
    started real,
    ended real,
    reason text not null default '',
    why text not null default 'due'
);

create unique index firing_due on firing (name, due);
create index firing_open on firing (seq) where status in ('owed', 'running');
create index firing_open_of on firing (name) where status in ('owed', 'running');

create table schedule_engine (
    id text primary key,
    host text not null,
    pid integer not null,
    started real not null
) without rowid;

create table schedule_lead (
    id integer primary key check (id = 1),
    term integer not null,
    engine text,
    expires real
);

insert into schedule_lead (id, term) values (1, 0);
