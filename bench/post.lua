-- Posts receipts, each with a run_id of its own; the API keys take turns.
-- Arguments: path, file with one API key a line, receipt as JSON with "RUN_ID" in
-- it, text that begins every run_id, receipts in one request (0: one, no batch), and
-- the member that holds those of a batch.

local HEAD = "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
  .. "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"

local heads, before, after, batch, member = {}, nil, nil, nil, nil
local receipts, requests = 0, 0

local function receipt()
  receipts = receipts + 1
  return ("%s%09d%s"):format(before, receipts, after)
end

local function body()
  if batch == 0 then
    return receipt()
  end
  local members = {}
  for i = 1, batch do
    members[i] = receipt()
  end
  return ('{"%s":['):format(member) .. table.concat(members, ",") .. "]}"
end

function init(args)
  local template = args[3]
  local first, last = template:find("RUN_ID", 1, true)
  before = template:sub(1, first - 1) .. args[4]
  after = template:sub(last + 1)
  batch, member = tonumber(args[5]), args[6]
  for key in io.lines(args[2]) do
    heads[#heads + 1] = HEAD:format(args[1], key, #body())
  end
end

function request()
  requests = requests + 1
  return heads[requests % #heads + 1] .. body()
end

-- Times are in microseconds.
function done(summary, latency)
  local errors = summary.errors
  print(
    ('{"requests":%d,"duration":%d,"p50":%d,"p99":%d,"slowest":%d,"refused":%d,"broken":%d}'):format(
      summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), latency.max,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout
    )
  )
end
