-- Gives keys of a version whose names had no hash tag their new names. BullMQ writes names of keys into its values, too:
-- those are changed in the same step.
-- Keys: an old name and its new one, in turn. They lie in two slots, so this is for a single Redis.
-- ARGV: what names of BullMQ's keys began with, and begin with
-- Returns how many keys there were. What came about under the new name meanwhile stays, and the old one goes.
local from, to = ARGV[1], ARGV[2]
local function startsWith(text, start) return string.sub(text, 1, #start) == start end
local function endsWith(text, ending) return string.sub(text, -#ending) == ending end
local function renamed(name) return startsWith(name, from) and to .. string.sub(name, #from + 1) or name end

-- In JSON, where names stand in quotation marks.
local quoted = '"' .. string.gsub(from, '%p', '%%%0')
local function renamedIn(json) return (string.gsub(json, quoted, function() return '"' .. to end)) end

local function changeFields(hash)
  local fields = redis.call('HGETALL', hash)
  for i = 1, #fields, 2 do
    local name = renamed(fields[i])
    if name ~= fields[i] then
      redis.call('HDEL', hash, fields[i])
      redis.call('HSET', hash, name, fields[i + 1])
    end
  end
end

local function changeJob(job)
  local parent = redis.call('HGET', job, 'parentKey')
  if not parent then return end
  redis.call('HSET', job, 'parentKey', renamed(parent))
  for _, field in ipairs({ 'parent', 'opts' }) do
    local json = redis.call('HGET', job, field)
    if json then redis.call('HSET', job, field, renamedIn(json)) end
  end
end

local function changeValues(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'hash' then
    if endsWith(key, ':processed') or endsWith(key, ':failed') then changeFields(key) else changeJob(key) end
  elseif kind == 'set' and endsWith(key, ':dependencies') then
    for _, member in ipairs(redis.call('SMEMBERS', key)) do
      redis.call('SREM', key, member)
      redis.call('SADD', key, renamed(member))
    end
  elseif kind == 'zset' and endsWith(key, ':unsuccessful') then
    local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      redis.call('ZREM', key, members[i])
      redis.call('ZADD', key, members[i + 1], renamed(members[i]))
    end
  end
end

local found = 0
for i = named + 1, #KEYS, 2 do
  local old, new = KEYS[i], KEYS[i + 1]
  if redis.call('EXISTS', old) == 1 then
    found = found + 1
    if redis.call('EXISTS', new) == 1 then
      redis.call('DEL', old)
    else
      if startsWith(old, from) then changeValues(old) end
      redis.call('RENAME', old, new)
    end
  end
end
return found
