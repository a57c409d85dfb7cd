-- Removes ids from one set of jobs whose job no longer belongs in it: slots that a lost write has leaked.
-- Own keys: set (of active jobs, or a sorted set of waiting ones)
-- ARGV: what the keys of jobs begin with
-- Returns how many ids were removed.
local set, jobStem = keys.set, ARGV[1]
local kind = redis.call('TYPE', set).ok
local members, remove
if kind == 'set' then
  members, remove = redis.call('SMEMBERS', set), 'SREM'
elseif kind == 'zset' then
  members, remove = redis.call('ZRANGE', set, 0, -1), 'ZREM'
else
  return 0
end
local dropped = 0
for _, id in ipairs(members) do
  local state = redis.call('HGET', jobStem .. id, 'state')
  local belongs = state == 'reserved' or state == 'waiting' or (state == 'running' and kind == 'set')
  if not belongs then dropped = dropped + redis.call(remove, set, id) end
end
return dropped
