-- Marks a job as a favourite of its person, or takes the mark back. It goes with the job's entry.
-- ARGV: prefix, job id, userKey of who asks, now, 1 to mark or 0
-- Returns 1, or 0 when there is no such job of theirs
local jobKey = key('job:' .. ARGV[2])
if redis.call('HGET', jobKey, 'user') ~= ARGV[3] or redis.call('HEXISTS', jobKey, 'discardedAt') == 1 then return 0 end
if ARGV[5] == '1' then redis.call('HSETNX', jobKey, 'favourite', ARGV[4]) else redis.call('HDEL', jobKey, 'favourite') end
return 1
