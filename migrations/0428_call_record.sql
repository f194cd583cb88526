create function switchboard.call_record(p_call switchboard.call) returns jsonb
    language sql immutable parallel safe
    return jsonb_build_object(
        'companyId', p_call.company_id, 'id', p_call.id, 'callControlId', p_call.call_control_id,
        'userId', p_call.user_id, 'agentId', p_call.agent_id, 'callType', p_call.call_type,
        'campaignId', p_call.campaign_id, 'phoneNumber', p_call.phone_number, 'contactId', p_call.contact_id,
        'contactName', p_call.contact_name, 'userData', p_call.user_data, 'attempt', p_call.attempt,
        'inbound', p_call.inbound, 'status', p_call.status, 'endReason', p_call.end_reason,
        'toldReason', p_call.told_reason, 'toldAt', p_call.told_at, 'untoldAt', p_call.untold_at,
        'pendingHangUp', p_call.pending_hang_up, 'dialing', p_call.dialing, 'dialed', p_call.dialed,
        'hangingUp', p_call.hanging_up, 'hungUpUntil', p_call.hung_up_until, 'asked', p_call.asked,
        'generation', p_call.generation, 'version', p_call.version, 'queuedAt', p_call.queued_at,
        'startedAt', p_call.started_at, 'answeredAt', p_call.answered_at, 'endedAt', p_call.ended_at,
        'hangUpAt', p_call.hang_up_at, 'finalizeAt', p_call.finalize_at, 'finalizedAt', p_call.finalized_at,
        'abandoned', p_call.abandoned, 'leaseExpiresAt', p_call.lease_expires_at, 'insertedAt', p_call.inserted_at,
        'updatedAt', p_call.updated_at);
comment on function switchboard.call_record(switchboard.call) is
    'The flat record of a call, as servers write it into the payload of its events.';
revoke execute on function switchboard.call_record(switchboard.call) from public;
