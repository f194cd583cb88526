create function switchboard.resumed_at() returns timestamptz
    language sql stable parallel safe
    set search_path = switchboard, pg_temp
    return (select resumed_at from switchboard.service where only_row);
comment on function switchboard.resumed_at() is
    'Since when servers have lived without a break, or null. Staleness and leases count from the greater of the last news and this.';
