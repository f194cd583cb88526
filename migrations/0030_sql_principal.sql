-- Programs that call in SQL: which companies each database role may act for.

create table switchboard.sql_principal (
    company_id  uuid        not null references switchboard.company (id),
    role        name        not null,
    inserted_at timestamptz not null default switchboard.now(),
    primary key (company_id, role)
);
comment on table  switchboard.sql_principal is 'Which companies a database role may call the SQL functions for. Written by the command sql-role.';
comment on column switchboard.sql_principal.company_id is 'The tenant whose data the role reaches.';
comment on column switchboard.sql_principal.role is 'The role that a session logged in as (session_user): inside a function that runs as its owner, current_user is the owner.';
comment on column switchboard.sql_principal.inserted_at is 'When it was granted.';
