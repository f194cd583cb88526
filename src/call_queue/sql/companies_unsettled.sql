-- Companies whose users are to be settled again, because the settings were changed; with the settings' version.
select slots.company_id, settings.version
from call_queue_settings as settings
join call_slots as slots on slots.settings <> settings.version
limit 1000
