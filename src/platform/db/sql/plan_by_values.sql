-- Has the transaction's next statements planned for their values, as if the session kept no plans.
select
    set_config('plan_cache_mode', 'force_custom_plan', true) as "plan_cache_mode!",
    set_config('enable_seqscan', 'on', true) as "seqscan!"
