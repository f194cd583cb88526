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
