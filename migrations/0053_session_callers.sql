-- What every function for SQL callers begins with, and how it refuses.

create function switchboard.session_refused(p_code text, p_error text) returns jsonb
    language sql immutable parallel safe
    return jsonb_build_object('success', false, 'error', p_error, 'code', p_code);
comment on function switchboard.session_refused(text, text) is
    'The result of a call that was refused; the code is that of the GraphQL error.';

create function switchboard.session_company() returns uuid
    language plpgsql volatile security definer
    set search_path = switchboard, pg_temp
as $$
declare
    v_company_id uuid;
begin
    if coalesce(current_setting('switchboard.company_id', true), '') = '' then
        -- A role that is granted one company needs no setting.
        select (array_agg(company_id))[1] into v_company_id
        from sql_principal
        where role = session_user
        having count(*) = 1;
        if v_company_id is null then
            return null;
        end if;
        perform set_config('switchboard.company_id', v_company_id::text, true);
    end if;
    v_company_id := sql_company();
    perform 1 from company where id = v_company_id;
    return case when found then v_company_id end;
end
$$;
comment on function switchboard.session_company() is
    'The company that the caller acts for: as sql_company, or the only one that the role is granted. Null: none.';
revoke execute on function switchboard.session_company() from public;

create function switchboard.session_bad_id(p_name text, p_id text) returns text
    language sql immutable parallel safe
    return case
        when p_id is null or p_id !~ '\S' then p_name || ': must not be empty'
        when length(p_id) > 200 then p_name || ': must have at most 200 characters'
        when p_id ~ '[[:cntrl:]]' then p_name || ': must not contain control characters'
    end;
comment on function switchboard.session_bad_id(text, text) is 'What is wrong with an id; null: nothing.';

create function switchboard.session_bad_metrics(p_metrics jsonb) returns text
    language plpgsql immutable
    set search_path = switchboard, pg_temp
as $$
declare
    v_name  text;
    v_value numeric;
begin
    if p_metrics is null or jsonb_typeof(p_metrics) = 'null' then
        return null;
    end if;
    if jsonb_typeof(p_metrics) <> 'object' then
        return 'quality metrics: must be an object';
    end if;
    if length(p_metrics::text) > 8192 then
        return 'quality metrics: must have at most 8 KiB';
    end if;
    foreach v_name in array array['latency', 'jitter', 'bandwidth', 'packetLoss'] loop
        if jsonb_typeof(p_metrics -> v_name) is null or jsonb_typeof(p_metrics -> v_name) = 'null' then
            continue;
        end if;
        v_value := (p_metrics ->> v_name)::numeric;
        if v_value = 'NaN' or v_value < 0
            or v_value > (case v_name when 'packetLoss' then 100 when 'bandwidth' then 2000000000 else 600000 end) then
            return v_name || ': out of range';
        end if;
    end loop;
    foreach v_name in array array['videoQuality', 'audioQuality'] loop
        if upper(p_metrics ->> v_name) not in ('EXCELLENT', 'GOOD', 'FAIR', 'POOR', 'OFF') then
            return v_name || ': must be excellent, good, fair, poor or off';
        end if;
    end loop;
    foreach v_name in array array['deviceType', 'networkType'] loop
        if length(p_metrics ->> v_name) > 200 then
            return v_name || ': must have at most 200 characters';
        end if;
    end loop;
    return null;
exception when invalid_text_representation or numeric_value_out_of_range then
    return v_name || ': must be a number';
end
$$;
comment on function switchboard.session_bad_metrics(jsonb) is 'What is wrong with reported metrics; null: nothing.';

create function switchboard.session_require_read_committed() returns void
    language plpgsql
as $$
begin
    -- A decision reads after its lock: under another isolation it would read what was before.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'sessions work under read committed only' using errcode = 'invalid_transaction_state';
    end if;
end
$$;
comment on function switchboard.session_require_read_committed() is 'Fails under any other isolation.';
