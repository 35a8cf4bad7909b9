create table artifact_chunk (
    hash bytea not null,
    number integer not null,
    body bytea not null,
    primary key (hash, number)
);

alter table artifact_chunk alter column body set storage external;

alter table artifact alter column body set storage external;
