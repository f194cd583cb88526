-- The schema that everything lives in.

create schema if not exists switchboard;
comment on schema switchboard is 'Everything of Switchboard. company_id comes first in every key, so that the tables can be spread by it.';

-- SQL callers need not qualify names. (The server sets its own search path when it connects.)
do $$
begin
    execute format('alter database %I set search_path = "$user", public, switchboard', current_database());
end
$$;
