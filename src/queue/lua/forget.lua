-- Last step of forgetting a user, when their jobs are gone: removes their extra credits, their use of past days, their
-- cool-down and, unless they have asked again, their place in virtual time.
-- ARGV: prefix, user, time of the request to be forgotten, an id for keys.rewrites, then the days whose use of credits
-- is removed
-- Returns { days on which credits had been used, extra credits that were removed }
local user, wishedAt = ARGV[2], tonumber(ARGV[3])
local days = 0
for i = 5, #ARGV do days = days + redis.call('HDEL', key('used:' .. ARGV[i]), user) end
local granted = tonumber(redis.call('HGET', key('grants'), user) or '0')
redis.call('HDEL', key('grants'), user)
redis.call('DEL', key('cooldown:' .. user))
if redis.call('EXISTS', key('history:' .. user)) == 0 then redis.call('HDEL', key('vfinish'), user) end
-- A later request of the same user stays.
local wish = redis.call('ZSCORE', key('forgetting'), user)
if wish and tonumber(wish) <= wishedAt then redis.call('ZREM', key('forgetting'), user) end
redis.call('SADD', key('rewrites'), ARGV[4])
return { days, granted }
