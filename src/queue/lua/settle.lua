-- Ends a job once its answer was delivered or given up: commits the credits of a delivered video, gives back those of
-- one that could not be delivered.
-- Own keys: those of the job, and of its day as `owner` tells it
-- ARGV: owner, job id, now (Redis's own time where it is empty), outcome (delivered | undeliverable), retention in seconds
-- Returns 1 when this call ended it, 0 when it had ended before or is unknown, -1 when it has no final state yet,
-- "again" when owner is another by now.
local id, now, outcome, retention = ARGV[2], timeOr(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local jobKey = keys.job
if not isNamed(jobKey, ARGV[1]) then return 'again' end
local state = redis.call('HGET', jobKey, 'state')
if not state or redis.call('HEXISTS', jobKey, 'deliveredAt') == 1 then return 0 end
if state == 'reserved' or state == 'waiting' or state == 'running' then return -1 end

if state == 'generated' or state == 'delivering' then
  redis.call('HSET', jobKey, 'state', 'generated')
  if outcome == 'delivered' then
    redis.call('HSETNX', jobKey, 'settled', 'committed')
  else
    refund(jobKey)
  end
end
redis.call('HSET', jobKey, 'deliveredAt', now, 'outcome', outcome)
redis.call('HINCRBY', keys.endings, (state == 'failed' or state == 'cancelled') and state or outcome, 1)
redis.call('ZREM', keys.pending, id)
redis.call('EXPIRE', jobKey, retention)
return 1
