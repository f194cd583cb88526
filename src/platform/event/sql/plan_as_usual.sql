-- Ends what prefer_indexes.sql began, for statements that are planned by their parameters.
select
    set_config('enable_seqscan', 'on', true) as "seqscan!",
    set_config('plan_cache_mode', 'auto', true) as "plan_cache_mode!";
