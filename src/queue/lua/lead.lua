-- One beat of a bot: says that it lives, and renews, takes, gives up or looks at the lease of the one that leads. The lease
-- counts its renewals, so that whoever watches it can tell by a clock of their own when the last one came.
-- ARGV: bot id, JSON of the bot without its time, ms that the lease lasts, what is done: "hold" when it leads, "take" when the
--   lease is free, or still what the last argument says, "leave" when it ends, that lease
-- Returns the lease: "" where there is none, "free" where its bot gave it up, else id and number; and how many other bots may
--   be there
local id, lasts, act, expected = ARGV[1], tonumber(ARGV[3]), ARGV[4], ARGV[5]
-- A bot that is cut off is silent for longer than a lease lasts, and may be the one that takes over; one that ends says so.
local maybeThere = 120000
local now = redisTime()
local lease = redis.call('GET', keys.leader) or ''
local isOwn = string.sub(lease, 1, #id + 1) == id .. ' '

local function set(value)
  lease = value
  redis.call('SET', keys.leader, value, 'PX', lasts)
end

if act == 'leave' then
  redis.call('HDEL', keys.bots, id)
  if isOwn then set('free') end
else
  -- The text is put together, as in beat.lua.
  local beat = string.format('{"beatAt":%.0f,', now) .. string.sub(ARGV[2], 2)
  redis.call('HSET', keys.bots, id, beat)
  if act == 'hold' and (isOwn or lease == '') or act == 'take' and (isOwn or lease == 'free' or lease == expected) then
    local count = isOwn and tonumber(string.match(lease, '%d+$')) or 0
    set(id .. ' ' .. (count + 1))
  end
end

local others = 0
local bots = redis.call('HGETALL', keys.bots)
for at = 1, #bots, 2 do
  local beatAt = tonumber(string.match(bots[at + 1], '"beatAt":(%d+)')) or 0
  local age = math.abs(now - beatAt)
  if bots[at] ~= id and age < maybeThere then others = others + 1 end
  if age > 3600000 then redis.call('HDEL', keys.bots, bots[at]) end
end
return { lease, others }
