-- Marks a job as a favourite of its person, or takes the mark back. It goes with the job's entry.
-- Own keys: job
-- ARGV: userKey of who asks, now, 1 to mark or 0
-- Returns 1, or 0 when there is no such job of theirs
local jobKey = keys.job
if redis.call('HGET', jobKey, 'user') ~= ARGV[1] or redis.call('HEXISTS', jobKey, 'discardedAt') == 1 then return 0 end
if ARGV[3] == '1' then redis.call('HSETNX', jobKey, 'favourite', ARGV[2]) else redis.call('HDEL', jobKey, 'favourite') end
return 1
