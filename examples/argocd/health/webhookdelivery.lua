-- SPDX-License-Identifier: Apache-2.0

-- Health of a WebhookDelivery: Degraded once it has failed for good.
local status = obj.status or {}
local message = ""
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Succeeded" then
    message = condition.message
  end
end
if status.state == "Succeeded" then
  return {status = "Healthy", message = message}
end
if status.state == "Failed" then
  return {status = "Degraded", message = message}
end
return {status = "Progressing", message = message}
