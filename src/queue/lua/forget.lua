-- Last step of forgetting a user, when their jobs are gone: removes their extra credits and their use of past days.
-- ARGV: prefix, user, time of the request to be forgotten, then the days whose use of credits is removed
-- Returns { days on which credits had been used, extra credits that were removed }
local user, wishedAt = ARGV[2], tonumber(ARGV[3])
local days = 0
for i = 4, #ARGV do days = days + redis.call('HDEL', key('used:' .. ARGV[i]), user) end
local granted = tonumber(redis.call('HGET', key('grants'), user) or '0')
redis.call('HDEL', key('grants'), user)
-- A later request of the same user stays.
local wish = redis.call('ZSCORE', key('forgetting'), user)
if wish and tonumber(wish) <= wishedAt then redis.call('ZREM', key('forgetting'), user) end
return { days, granted }
