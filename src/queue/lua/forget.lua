-- Ends a wish to be forgotten: removes what is kept about a person apart from their jobs, which are gone already.
-- ARGV: prefix, user, time of the wish, then the days of which their use of credits is removed
-- Returns { days on which there was some, extra credits }
local user, wishedAt = ARGV[2], tonumber(ARGV[3])
local days = 0
for i = 4, #ARGV do days = days + redis.call('HDEL', key('used:' .. ARGV[i]), user) end
local granted = tonumber(redis.call('HGET', key('grants'), user) or '0')
redis.call('HDEL', key('grants'), user)
-- They may have wished it once more meanwhile.
local wish = redis.call('ZSCORE', key('forgetting'), user)
if wish and tonumber(wish) <= wishedAt then redis.call('ZREM', key('forgetting'), user) end
return { days, granted }
