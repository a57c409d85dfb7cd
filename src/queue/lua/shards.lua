-- One beat of a bot that serves some of Discord's shards: renews the leases that it holds, gives some up, and takes others.
-- Each counts its renewals, as that of the leader does (lead.lua). None is taken while another bot divides Discord otherwise,
-- or not at all: two would serve one server.
-- ARGV: bot id, number of shards, ms that a lease lasts, JSON of what is done: lists of shards under "hold" and "free", and
--   under "take" pairs of a shard and what its lease has to be
-- Returns the ids of the living bots that divide Discord so, how many do not, and a list of leases by shard: "" where there is none,
--   "free" where its bot gave it up, else id and number
local id, count, lasts, wish = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), cjson.decode(ARGV[4])
local aliveFor = 10000
local now = redisTime()

local alike, unlike = {}, 0
local bots = redis.call('HGETALL', keys.bots)
for at = 1, #bots, 2 do
  local beatAt = tonumber(string.match(bots[at + 1], '"beatAt":(%d+)')) or 0
  local divided = tonumber(string.match(bots[at + 1], '"shards":(%d+)'))
  if math.abs(now - beatAt) >= aliveFor then -- it died, and counts for nothing
  elseif divided == count then alike[#alike + 1] = bots[at]
  else unlike = unlike + 1 end
end

local function leaseOf(shard) return redis.call('HGET', keys.shards, shard) or '' end
local function isOwn(lease) return string.sub(lease, 1, #id + 1) == id .. ' ' end
local function set(shard, lease) redis.call('HSET', keys.shards, shard, lease) end

for _, shard in ipairs(wish.free) do
  if isOwn(leaseOf(shard)) then set(shard, 'free') end
end
for _, shard in ipairs(wish.hold) do
  if leaseOf(shard) == '' then set(shard, id .. ' 0') end
end
-- Those included that it took without hearing of it: from this beat on it counts with them.
for shard = 0, count - 1 do
  local lease = leaseOf(shard)
  if isOwn(lease) then set(shard, id .. ' ' .. tonumber(string.match(lease, '%d+$')) + 1) end
end
if unlike == 0 then
  for _, pair in ipairs(wish.take) do
    local lease = leaseOf(pair[1])
    if lease == 'free' or lease == pair[2] then set(pair[1], id .. ' 1') end
  end
end
redis.call('PEXPIRE', keys.shards, lasts)

local leases = {}
for shard = 0, count - 1 do leases[shard + 1] = leaseOf(shard) end
return { alike, unlike, leases }
