-- Folds what sessions reported of providers; gives the number of outcomes.
select session_fold_providers() as "folded!";
