-- One act of an admin: changes one value and writes down who changed it, in one step.
-- ARGV: prefix, JSON act
--   act: ask by action target reason now, change, and what it needs: key field value least most
--   ask: names this call; the same one again, sent twice by a broken connection, gets the same answer again
-- Changes: set (field of a hash) · delete (field of a hash) · add (to a field, within least and most) ·
--   replace (a whole string; absent when value is '')
-- Returns JSON { changed, before, after }; what did not exist is absent. What changes nothing is not written down.
local act = cjson.decode(ARGV[2])
local askKey = key('asked:' .. act.ask)
local said = redis.call('GET', askKey)
if said then return said end

local target = key(act.key)
local before, after
if act.change == 'replace' then
  before = redis.call('GET', target) or nil
  if act.value == '' then
    redis.call('DEL', target)
  else
    redis.call('SET', target, act.value)
    after = act.value
  end
else
  before = redis.call('HGET', target, act.field) or nil
  if act.change == 'set' then
    after = act.value
  elseif act.change == 'add' then
    local sum = tonumber(before or '0') + act.value
    after = string.format('%.0f', math.max(act.least, math.min(act.most, sum)))
    if not before and after == '0' then after = nil end
  end
  if after then
    redis.call('HSET', target, act.field, after)
  else
    redis.call('HDEL', target, act.field)
  end
end

local changed = before ~= after
if changed then audit(act.now, act.by, act.action, act.target, before, after, act.reason) end
local answer = cjson.encode({ changed = changed, before = before, after = after })
redis.call('SET', askKey, answer, 'EX', 3600)
return answer
