-- Withdraws one request after its user was told that it was not accepted. If it has not arrived yet, it will be
-- refused. A job that an earlier request of the same id made stays.
-- ARGV: prefix, job id, callId of the request, now (Redis's own time where it is empty), retention in seconds
-- Returns 1 when a job was withdrawn.
local id, callId, now, retention = ARGV[2], ARGV[3], timeOr(ARGV[4]), tonumber(ARGV[5])
redis.call('SET', key('withdrawn:' .. callId), '1', 'EX', 3600)
local jobKey = key('job:' .. id)
local state = redis.call('HGET', jobKey, 'state')
if not state or redis.call('HGET', jobKey, 'ask') ~= callId then return 0 end
if redis.call('HEXISTS', jobKey, 'deliveredAt') == 1 then return 0 end
if state ~= 'failed' and state ~= 'cancelled' then endJob(jobKey, id, 'cancelled', now) end
redis.call('HSET', jobKey, 'silent', '1', 'deliveredAt', now, 'outcome', 'undeliverable')
redis.call('ZREM', key('pending'), id)
redis.call('EXPIRE', jobKey, retention)
return 1
