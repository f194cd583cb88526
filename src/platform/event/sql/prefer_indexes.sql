-- Makes the transaction's next statements look rows up by indexes, also where a day of the log looks small or empty to the
-- planner, and plan once for a connection: to plan a search of the log's partitions takes longer than to run it.
select
    set_config('enable_seqscan', 'off', true) as "seqscan!",
    set_config('jit', 'off', true) as "jit!",
    set_config('plan_cache_mode', 'force_generic_plan', true) as "plan_cache_mode!";
