-- Takes back one request whose person was told that it was not accepted, whatever came of it meanwhile. It may still
-- be on its way here: then it will be refused. A job that another request of the same id had made before stays.
-- ARGV: prefix, job id, which request, now, retention in seconds
-- Returns 1 when there was something to take back.
local id, ask, now, retention = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('SET', key('withdrawn:' .. ask), '1', 'EX', 3600)
local jobKey = key('job:' .. id)
local state = redis.call('HGET', jobKey, 'state')
if not state or redis.call('HGET', jobKey, 'ask') ~= ask then return 0 end
if redis.call('HEXISTS', jobKey, 'deliveredAt') == 1 then return 0 end
if state ~= 'failed' and state ~= 'cancelled' then endJob(jobKey, id, 'cancelled', now) end
redis.call('HSET', jobKey, 'silent', '1', 'deliveredAt', now, 'outcome', 'undeliverable')
redis.call('ZREM', key('pending'), id)
redis.call('EXPIRE', jobKey, retention)
return 1
