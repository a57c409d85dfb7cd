-- Withdraws one request after its user was told that it was not accepted. If it has not arrived yet, it will be
-- refused. A job that an earlier request of the same id made stays.
-- Own keys: those of the job, and of its user, community, kind and day as `owner` tells them; withdrawn (of the request)
-- ARGV: owner, job id, callId of the request, now (Redis's own time where it is empty), retention in seconds
-- Returns 1 when a job was withdrawn, "again" when owner is another by now.
local id, callId, now, retention = ARGV[2], ARGV[3], timeOr(ARGV[4]), tonumber(ARGV[5])
local jobKey = keys.job
if not isNamed(jobKey, ARGV[1]) then return 'again' end
redis.call('SET', keys.withdrawn, '1', 'EX', 3600)
local state = redis.call('HGET', jobKey, 'state')
if not state or redis.call('HGET', jobKey, 'ask') ~= callId then return 0 end
if redis.call('HEXISTS', jobKey, 'deliveredAt') == 1 then return 0 end
if state ~= 'failed' and state ~= 'cancelled' then endJob(jobKey, id, 'cancelled', now) end
redis.call('HSET', jobKey, 'silent', '1', 'deliveredAt', now, 'outcome', 'undeliverable')
redis.call('ZREM', keys.pending, id)
redis.call('EXPIRE', jobKey, retention)
return 1
