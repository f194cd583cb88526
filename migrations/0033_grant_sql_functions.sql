create function switchboard.grant_sql_functions() returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_role     name;
    v_function regprocedure;
    v_granted  integer := 0;
begin
    for v_role in
        select distinct principal.role
        from sql_principal as principal
        join pg_roles on pg_roles.rolname = principal.role
        order by principal.role
    loop
        if not has_schema_privilege(v_role, 'switchboard', 'usage') then
            execute format('grant usage on schema switchboard to %I', v_role);
        end if;
        for v_function in
            select oid
            from pg_proc
            where pronamespace = 'switchboard'::regnamespace and prosecdef
                and not has_function_privilege(v_role, oid, 'execute')
            order by oid
        loop
            execute format('grant execute on function %s to %I', v_function, v_role);
            v_granted := v_granted + 1;
        end loop;
    end loop;
    return v_granted;
end
$$;
comment on function switchboard.grant_sql_functions() is
    'Lets every role in sql_principal call the functions for SQL callers, which are the security definer functions of this schema; gives the number of grants that were missing. Runs after each migration, which may have added functions, and after each sql-role grant.';
revoke execute on function switchboard.grant_sql_functions() from public;
