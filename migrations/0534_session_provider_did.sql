create function switchboard.session_provider_did(
    p_company_id uuid, p_provider text, p_session_id text, p_epoch integer, p_succeeded boolean, p_at timestamptz
) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
begin
    insert into session_provider_outcome (company_id, provider, at, session_id, epoch, succeeded)
    select company_id, name, p_at, p_session_id, p_epoch, p_succeeded
    from session_provider
    where company_id = p_company_id and name = p_provider
    on conflict do nothing;
end
$$;
comment on function switchboard.session_provider_did(uuid, text, text, integer, boolean, timestamptz) is
    'Notes a success or a failure of a provider, to be folded into its score.';
revoke execute on function switchboard.session_provider_did(uuid, text, text, integer, boolean, timestamptz) from public;
