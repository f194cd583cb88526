create function switchboard.add_event_days(p_until date) returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_day   date := (switchboard.now() at time zone 'UTC')::date;
    v_name  text;
    v_added integer := 0;
begin
    -- One maintainer at a time; the others find the work done.
    perform pg_advisory_xact_lock(hashtext('switchboard.event_days'));
    while v_day <= p_until loop
        v_name := 'event_' || to_char(v_day, 'YYYYMMDD');
        if to_regclass('switchboard.' || v_name) is null then
            -- Built alone and then attached: "create table … partition of" would wait behind every reader
            -- and block every insert meanwhile.
            execute format('create table switchboard.%I (like switchboard.event including all)', v_name);
            execute format(
                'alter table switchboard.%I add constraint day check (occurred_at >= %L and occurred_at < %L)',
                v_name, v_day::timestamp at time zone 'UTC', (v_day + 1)::timestamp at time zone 'UTC');
            execute format(
                'alter table switchboard.event attach partition switchboard.%I for values from (%L) to (%L)',
                v_name, v_day::timestamp at time zone 'UTC', (v_day + 1)::timestamp at time zone 'UTC');
            v_added := v_added + 1;
        end if;
        v_day := v_day + 1;
    end loop;
    return v_added;
end
$$;
comment on function switchboard.add_event_days(date) is
    'Attaches the log''s missing daily partitions from today (UTC) until the given day; answers how many. There is no default partition, so this must stay ahead.';

select switchboard.add_event_days((switchboard.now() at time zone 'UTC')::date + 3);
