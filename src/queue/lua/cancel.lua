-- Cancels a job by its exact id. A job that nobody works on ends here; for one that runs or is being uploaded the wish
-- is written down, and whoever works on it obeys if it is not too late.
-- ARGV: prefix, job id, who asks (userKey), 1 when an admin asks, now
-- Returns: unknown · forbidden · finished (nothing left to cancel) · cancelled (ended here) · requested
local id, by, admin, now = ARGV[2], ARGV[3], ARGV[4] == '1', tonumber(ARGV[5])
local jobKey = key('job:' .. id)
local state = redis.call('HGET', jobKey, 'state')
if not state then return 'unknown' end
if not admin and redis.call('HGET', jobKey, 'user') ~= by then return 'forbidden' end
if redis.call('HEXISTS', jobKey, 'deliveredAt') == 1 or state == 'failed' or state == 'cancelled' then
  return 'finished'
end
redis.call('HSET', jobKey, 'cancelRequestedBy', by, 'cancelRequestedAt', now)
if state == 'running' or state == 'delivering' then return 'requested' end
endJob(jobKey, id, 'cancelled', now)
return 'cancelled'
