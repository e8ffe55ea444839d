-- SPDX-License-Identifier: Apache-2.0

-- Health of a Webhook. An endpoint that is down leaves it Healthy: what was
-- synced is fine, and no sync has to wait for somebody else's server.
local function find(conditions, name)
  for _, condition in ipairs(conditions or {}) do
    if condition.type == name then
      return condition
    end
  end
  return {}
end

local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the manager to look at it"}
end
local ready = find(status.conditions, "Ready")
local message = ready.message or ""
if find(status.conditions, "Stalled").status == "True" then
  return {status = "Degraded", message = message}
end
if find(status.conditions, "Reconciling").status == "True" or ready.status ~= "True" then
  return {status = "Progressing", message = message}
end
if obj.spec.suspend then
  return {status = "Suspended", message = message}
end
local endpoint = find(status.conditions, "EndpointHealthy")
if endpoint.status == "False" then
  message = endpoint.message
end
return {status = "Healthy", message = message}
