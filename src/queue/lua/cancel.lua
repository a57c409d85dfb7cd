-- Cancels a job by its exact id. A waiting job ends here. For a job that runs or is being uploaded the request is
-- stored, and its worker or delivery obeys if it is not too late.
-- Own keys: those of the job, and of its user, community, kind and day as `owner` tells them
-- ARGV: owner, job id, userKey of who cancels, 1 when that is an admin, now (Redis's own
--   time where it is empty), 1 when its person wants it gone
-- Returns: again (owner is another by now) · unknown · forbidden · finished (nothing left to cancel) · cancelled (ended here) · requested
local id, by, admin, now = ARGV[2], ARGV[3], ARGV[4] == '1', timeOr(ARGV[5])
local jobKey = keys.job
if not isNamed(jobKey, ARGV[1]) then return 'again' end
local state = redis.call('HGET', jobKey, 'state')
if not state then return 'unknown' end
if not admin and redis.call('HGET', jobKey, 'user') ~= by then return 'forbidden' end
if ARGV[6] == '1' then redis.call('HSET', jobKey, 'discardedAt', now) end
if redis.call('HEXISTS', jobKey, 'deliveredAt') == 1 or state == 'failed' or state == 'cancelled' then
  return 'finished'
end
local answer = (state == 'running' or state == 'delivering') and 'requested' or 'cancelled'
redis.call('HSET', jobKey, 'cancelRequestedBy', by, 'cancelRequestedAt', now)
if answer == 'cancelled' then endJob(jobKey, id, 'cancelled', now) end
local owner = redis.call('HGET', jobKey, 'user')
if admin and owner ~= by then audit(now, by, 'cancel', id, state .. ' job of ' .. owner, answer) end
return answer
